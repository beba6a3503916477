"""Inside the VMs: what a restore brings back, what is new with every boot."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.contract.lab import CORE, Lab, core
from tests.http_api import Api, Obj

pytestmark = [pytest.mark.needs_controllers, pytest.mark.needs_guests]

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
FILE = "/root/damage"


def boot_id(node: Obj) -> str:
    return str(node["status"]["nodeInfo"]["bootID"])


def pod(name: str, kind: str) -> Obj:
    """A pod on the worker that mounts a file of its disk: `FileOrCreate` makes it, `File` wants it there."""
    volume = {"name": "file", "hostPath": {"path": FILE, "type": kind}}
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10"}
    spec = {"nodeName": "wk", "containers": [container], "volumes": [volume]}
    return {"metadata": {"name": name}, "spec": spec}


async def renewed_since(guest: Api, node: str, since: datetime, timeout: float) -> None:
    """Wait for a sign of life of the kubelet after `since`."""

    def fresh(lease: Obj | None) -> bool:
        stamp = (lease or {}).get("spec", {}).get("renewTime", "1970-01-01T00:00:00.000000Z")
        return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) > since

    await guest.until(f"{LEASES}/{node}", fresh, timeout=timeout)


async def rebooted(guest: Api, before: Obj, timeout: float) -> None:
    """Wait until the same node reports another boot."""
    path = f"{CORE}/nodes/{before['metadata']['name']}"

    def other(node: Obj | None) -> Obj | None:
        return node if node and boot_id(node) != boot_id(before) else None

    now = await guest.until(path, other, timeout=timeout)
    assert now["metadata"]["uid"] == before["metadata"]["uid"]


async def damage(guest: Api, timeout: float) -> None:
    """A namespace in etcd, a file on the worker's disk."""
    await guest.create(f"{CORE}/namespaces", {"metadata": {"name": "damage"}})
    await guest.create(core("default", "pods"), pod("writer", "FileOrCreate"))
    path = core("default", "pods", "writer")
    await guest.until(path, lambda one: one and one["status"]["phase"] == "Running", timeout=timeout)


async def failed_mount(guest: Api) -> str:
    """What the kubelet says of the first volume it cannot mount."""
    async for _, event in guest.events(core("default", "events")):
        if event["reason"] == "FailedMount":
            return str(event["message"])
    raise AssertionError("the watch ended")


async def test_a_restore_undoes_the_damage_and_the_kubelets_report_afresh(lab: Lab) -> None:
    patience = lab.api.patience
    await lab.create()
    async with lab.guest() as guest:
        golden = await guest.ready(timeout=patience)
    await lab.stop()
    await lab.snapshot()
    await lab.start()
    async with lab.guest() as guest:
        await guest.ready(timeout=patience)
        await damage(guest, patience)
    await lab.stop(0)
    await lab.restore("reset")
    started = datetime.now(UTC)
    await lab.start()
    async with lab.guest() as guest:
        await guest.answers(timeout=patience)
        assert await guest.find(f"{CORE}/namespaces/damage") is None
        for node in ("cp", "wk"):
            await renewed_since(guest, node, started, patience)
            await rebooted(guest, golden[node], patience)
        await guest.create(core("default", "pods"), pod("reader", "File"))
        assert f"hostPath type check failed: {FILE} is not a file" in await failed_mount(guest)


async def test_right_after_a_restore_nodes_still_read_ready_from_before(lab: Lab) -> None:
    patience = lab.api.patience
    await lab.create()
    async with lab.guest() as guest:
        golden = await guest.ready(timeout=patience)
    await lab.stop()
    await lab.snapshot("cp")
    await lab.restore("reset", "cp")
    # Only the control plane starts: nothing reports for the worker any more.
    await lab.launch("cp")
    async with lab.guest() as guest:
        await guest.answers(timeout=patience)
        worker = await guest.get(f"{CORE}/nodes/wk")
        ready = {one["type"]: one["status"] for one in worker["status"]["conditions"]}["Ready"]
        # True until the node lifecycle controller has waited for its lease: proof of nothing.
        assert ready in ("True", "Unknown")
        assert boot_id(worker) == boot_id(golden["wk"])


async def test_the_cluster_keeps_its_certificate_authority_through_restores(lab: Lab) -> None:
    patience = lab.api.patience
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready(timeout=patience)
    await lab.stop()
    await lab.snapshot()
    for run in ("one", "two"):
        await lab.restore(run)
        for name in ("cp", "wk"):
            await lab.api.delete(
                f"/apis/snapshot.kubevirt.io/v1beta1/namespaces/{lab.namespace}/virtualmachinerestores/{name}-{run}"
            )
        await lab.start()
        # Admitted by a certificate of the CA that the first boot was given, served with one of it.
        async with lab.guest("kubernetes-admin", "kubeadm:cluster-admins") as guest:
            await guest.ready(timeout=patience)
        await lab.stop(0)
