"""From a namespace to a healthy cluster, over HTTP: made once, adopted after, and failures named."""

from __future__ import annotations

import base64
from collections import Counter

import pytest

from pool.core.errors import GuestUnhealthy, NotOurs, VMFailed, WaitTimeout
from pool.guest.identity import ensure_identity
from pool.kube.client import Object
from pool.kube.resources import NODES, PVCS, ROLE_BINDINGS, SECRETS, SERVICES, VMS, VOLUME_SNAPSHOT_CLASSES
from pool.kubevirt.clones import FALLBACK_ANNOTATION
from pool.kubevirt.machines import ensure_vm, wait_running
from pool.kubevirt.manifests import wanted_image
from pool.work import provision
from simulator.troubles import Trouble, TroubleKind
from tests.pool.kubevirt.conftest import Bench, now

WRITES = ("create", "update", "patch", "delete")


async def test_a_cluster_comes_up_with_both_nodes_on_their_fixed_addresses(bench: Bench) -> None:
    await bench.bootstrap()
    async with bench.guest() as guest:
        nodes = await guest.list(NODES)
    addresses = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in nodes}
    assert addresses == {"cp-cluster1": "10.99.0.1", "wk-cluster1": "10.99.0.2"}


async def test_bootstrapping_again_changes_nothing(bench: Bench) -> None:
    await bench.bootstrap()
    before = Counter(bench.wire.calls)
    await provision.ensure_cluster(bench.kube, bench.watching, bench.cluster, bench.pool, bench.settings, now=now)
    after = bench.wire.calls - before
    assert {call: count for call, count in after.items() if call[0] in WRITES} == {}


async def test_what_an_interrupted_run_left_is_adopted(bench: Bench) -> None:
    await bench.prepare()
    await provision.ensure_services(bench.kube, bench.cluster)
    identity = await ensure_identity(bench.kube, bench.cluster, now())
    await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())
    await ensure_vm(bench.kube, bench.cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)

    await provision.ensure_cluster(bench.kube, bench.watching, bench.cluster, bench.pool, bench.settings, now=now)

    assert await ensure_identity(bench.kube, bench.cluster, now()) == identity


async def test_another_identity_than_the_vms_booted_with_is_refused(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.kube.delete(SECRETS, "cluster-ca", "cluster1")
    with pytest.raises(GuestUnhealthy, match="another CA"):
        await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())


async def test_a_kubeconfig_of_another_ca_is_made_again(bench: Bench) -> None:
    await bench.prepare()
    await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())
    old = await bench.kube.get(SECRETS, "admin-kubeconfig", "cluster1")
    await bench.kube.delete(SECRETS, "cluster-ca", "cluster1")

    await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())

    ca = await bench.kube.get(SECRETS, "cluster-ca", "cluster1")
    new = await bench.kube.get(SECRETS, "admin-kubeconfig", "cluster1")
    assert old["data"] != new["data"]
    text = base64.b64decode(new["data"]["kubeconfig"]).decode()
    assert ca["data"]["ca.crt"] in text


async def test_a_namespace_that_may_not_clone_is_named_as_the_cause(bench: Bench) -> None:
    await bench.prepare()
    await bench.kube.delete(ROLE_BINDINGS, "clone-cluster1", "vm-templates")
    await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())
    await provision.ensure_vms(bench.kube, bench.cluster, bench.pool, wanted_image(bench.pool), bench.settings)
    with pytest.raises(VMFailed) as raised:
        await wait_running(bench.kube, bench.watching, bench.cluster.worker, timeout=10, patience=0.2)
    assert raised.value.reason == "CloneUnauthorized"
    assert "create-namespaces" in raised.value.cure


async def test_disks_that_are_copied_byte_by_byte_are_warned_of(bench: Bench) -> None:
    await bench.bootstrap()
    assert await provision.wait_vms(bench.kube, bench.watching, bench.cluster, bench.settings) == []
    await provision.demolish(bench.kube, bench.watching, bench.cluster, bench.settings)
    # Without a class for snapshots CDI cannot have the storage clone.
    await bench.kube.delete(VOLUME_SNAPSHOT_CLASSES, "standard")
    await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())
    await provision.ensure_vms(bench.kube, bench.cluster, bench.pool, wanted_image(bench.pool), bench.settings)
    warnings = await provision.wait_vms(bench.kube, bench.watching, bench.cluster, bench.settings)
    assert len(warnings) == 2
    for warning, machine in zip(sorted(warnings), bench.cluster.machines, strict=True):
        why = "was copied byte by byte: No compatible volumesnapshotclass found"
        assert f"PVC cluster1/{machine.root_disk} {why}" in warning


async def test_a_wait_that_ends_in_vain_names_the_slow_copies(bench: Bench) -> None:
    await bench.prepare()
    await bench.kube.delete(VOLUME_SNAPSHOT_CLASSES, "standard")
    bench.simulator.troubles.add(Trouble(TroubleKind.PENDING_PVC))
    await provision.ensure_secrets(bench.kube, bench.cluster, bench.pool, now())
    await provision.ensure_vms(bench.kube, bench.cluster, bench.pool, wanted_image(bench.pool), bench.settings)

    def copied(claim: Object | None) -> bool:
        return claim is not None and FALLBACK_ANNOTATION in claim["metadata"].get("annotations", {})

    worker = bench.cluster.worker
    await bench.watching.until(PVCS, worker.root_disk, "cluster1", copied, timeout=10, what="its disk to be copied")
    with pytest.raises(WaitTimeout, match="is copied byte by byte: No compatible volumesnapshotclass found"):
        await wait_running(bench.kube, bench.watching, worker, timeout=0.2)


async def test_a_vm_of_somebody_else_is_left_alone(bench: Bench) -> None:
    await bench.prepare()
    vm = await ensure_vm(bench.kube, bench.cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)
    await bench.kube.patch(VMS, "wk-cluster1", {"metadata": {"labels": {"cks.io/cluster-id": None}}}, "cluster1")
    with pytest.raises(NotOurs, match="VirtualMachine cluster1/wk-cluster1"):
        await ensure_vm(bench.kube, bench.cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)
    assert (await bench.kube.get(VMS, "wk-cluster1", "cluster1"))["metadata"]["uid"] == vm["metadata"]["uid"]


async def test_a_demolished_cluster_can_be_made_again_with_a_new_identity(bench: Bench) -> None:
    await bench.bootstrap()
    taken = await bench.take_golden()
    await bench.reset(taken, "run")
    old = await ensure_identity(bench.kube, bench.cluster, now())

    await provision.demolish(bench.kube, bench.watching, bench.cluster, bench.settings)

    assert set((await bench.volumes()).values()) == {0}
    assert await bench.kube.list(VMS, "cluster1") == []
    assert await bench.kube.get(SERVICES, "cp", "cluster1")
    await provision.ensure_cluster(bench.kube, bench.watching, bench.cluster, bench.pool, bench.settings, now=now)
    assert (await ensure_identity(bench.kube, bench.cluster, now())).ca != old.ca
