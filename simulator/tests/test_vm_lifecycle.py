"""A cluster of two VMs from first boot to restore, seen through the host's API and the guest's."""

from __future__ import annotations

import asyncio

from tests.lab import CORE, Lab, core, kubevirt


async def test_first_boot_joins_two_nodes_and_serves_with_the_clusters_ca(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        nodes = await guest.ready()
        assert {node["metadata"]["name"] for node in await guest.items(f"{CORE}/nodes")} == {"cp", "wk"}
        assert nodes["cp"]["status"]["nodeInfo"]["bootID"] != nodes["wk"]["status"]["nodeInfo"]["bootID"]
        names = {one["metadata"]["name"] for one in await guest.items(f"{CORE}/namespaces")}
        assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= names
        assert await guest.find("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/wk")
        assert (await guest.get("/version"))["major"]


async def test_each_start_has_a_new_pod_and_address_and_the_instance_ends_succeeded(lab: Lab) -> None:
    await lab.create()
    seen = set()
    for _ in range(2):
        await lab.running("cp")
        pods = await lab.api.items(core(lab.namespace, "pods"))
        launcher = next(pod for pod in pods if pod["metadata"]["labels"]["vm.kubevirt.io/name"] == "cp")
        seen.add((launcher["metadata"]["name"], launcher["status"]["podIP"]))
        opened = asyncio.Event()
        phases = asyncio.create_task(_phases(lab, "cp", opened))
        await opened.wait()
        await lab.power("cp", "stop")
        path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
        await lab.api.until(path, lambda vmi: vmi is None)
        assert (await phases)[-1] == "Succeeded"
        assert await lab.api.items(core(lab.namespace, "pods")) is not None
        await lab.power("cp", "start")
    assert len({name for name, _ in seen}) == 2
    assert len({address for _, address in seen}) == 2


async def _phases(lab: Lab, name: str, opened: asyncio.Event) -> list[str]:
    phases = []
    async for type_, vmi in lab.api.events(kubevirt(lab.namespace, "virtualmachineinstances"), opened):
        if vmi["metadata"]["name"] == name:
            phases.append(vmi["status"]["phase"])
            if type_ == "DELETED":
                break
    return phases


async def test_a_restart_brings_a_new_instance_with_the_same_disk(lab: Lab) -> None:
    await lab.create()
    before = await lab.running("cp")
    path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
    old = await lab.api.get(path)
    await lab.power("cp", "restart", {"gracePeriodSeconds": 0})
    await lab.api.until(path, lambda vmi: vmi and vmi["metadata"]["uid"] != old["metadata"]["uid"])
    after = await lab.running("cp")
    assert before["spec"] == after["spec"]


async def test_a_halted_vm_gets_its_disk_and_stays_stopped(lab: Lab) -> None:
    await lab.create(strategy="Halted")
    vm = await lab.api.until(
        kubevirt(lab.namespace, "virtualmachines", "cp"),
        lambda vm: (
            vm
            if vm
            and (vm.get("status") or {}).get("printableStatus") == "Stopped"
            and any(one.get("enabled") for one in vm["status"].get("volumeSnapshotStatuses") or [])
            else None
        ),
    )
    assert not vm["status"].get("created")
    claim = core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk")
    await lab.api.until(claim, lambda claim: claim and claim["status"]["phase"] == "Bound")
    assert await lab.api.find(kubevirt(lab.namespace, "virtualmachineinstances", "cp")) is None
