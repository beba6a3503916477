"""From a namespace to a healthy cluster, over HTTP: made once, adopted after, and failures named."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import GuestUnhealthy, NotOurs, StaleOperation, VMFailed, WaitTimeout
from pool.core.lifecycle import ClusterPhase
from pool.guest import booting
from pool.guest.identity import ensure_identity
from pool.kube.client import Object
from pool.kube.resources import (
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PVCS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    SECRETS,
    SERVICES,
    VM_SNAPSHOTS,
    VMS,
    VOLUME_SNAPSHOT_CLASSES,
)
from pool.kubevirt.clones import FALLBACK_ANNOTATION
from pool.kubevirt.machines import delete_vm, ensure_vm, wait_running
from pool.kubevirt.manifests import wanted_image
from pool.kubevirt.ownership import Owner, owner
from pool.work import bootstrap
from pool.work.demolition import demolish
from pool.work.rebuild import rebuild
from pool.work.services import ensure_services
from simulator.faults.troubles import Trouble, TroubleKind
from tests.pool.bench import Bench, now
from tests.pool.consoles import Consoles

T = TypeVar("T")

WRITES = ("create", "update", "patch", "delete")
KEPT_AS_WANTED = {
    "customresourcedefinitions",
    "namespaces",
    "roles",
    "rolebindings",
    "networkpolicies",
    "resourcequotas",
}
"""What is written as it is to be each time, since nobody else has a say in it."""


async def test_a_cluster_comes_up_with_both_nodes_on_their_fixed_addresses(bench: Bench) -> None:
    await bench.bootstrap()
    async with bench.guest() as guest:
        nodes = await guest.list(NODES)
    addresses = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in nodes}
    assert addresses == {"cp-cluster1": "10.99.0.1", "wk-cluster1": "10.99.0.2"}


async def test_bootstrapping_again_changes_nothing(bench: Bench) -> None:
    await bench.bootstrap()
    vms = {vm["metadata"]["uid"]: vm["spec"] for vm in await bench.kube.list(VMS, "cluster1")}
    before = Counter(bench.wire.calls)
    await bench.bootstrap()
    after = bench.wire.calls - before
    # Kinds, namespaces and rights are applied as they are; the operation and its conditions are written.
    written = {resource for (verb, resource), count in after.items() if verb in WRITES and count}
    written -= KEPT_AS_WANTED | {"pools", "pooledclusters", "pooledclusters/status", "events"}
    # The VMs are marked as this run's.
    assert written <= {"virtualmachines"}
    assert {vm["metadata"]["uid"]: vm["spec"] for vm in await bench.kube.list(VMS, "cluster1")} == vms


async def test_what_an_interrupted_run_left_is_adopted(bench: Bench) -> None:
    await bench.prepare()
    await ensure_services(bench.kube, bench.cluster)
    identity = await ensure_identity(bench.kube, bench.cluster, now())
    async with bench.interrupted(OperationKind.BOOTSTRAP, "dead") as job:
        await bootstrap.ensure_secrets(job, bench.pool)
        await ensure_vm(job.fence, bench.cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)
    bench.grace_is_over()

    await bench.bootstrap()

    assert await ensure_identity(bench.kube, bench.cluster, now()) == identity


async def test_another_identity_than_the_vms_booted_with_is_refused(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.kube.delete(SECRETS, "cluster-ca", "cluster1")
    with pytest.raises(GuestUnhealthy, match="another CA"):
        await bench.bootstrap()


async def test_a_kubeconfig_of_another_ca_is_made_again(bench: Bench) -> None:
    await bench.prepare()
    async with bench.interrupted(OperationKind.BOOTSTRAP, "run") as job:
        await bootstrap.ensure_secrets(job, bench.pool)
        old = await bench.kube.get(SECRETS, "admin-kubeconfig", "cluster1")
        await bench.kube.delete(SECRETS, "cluster-ca", "cluster1")

        await bootstrap.ensure_secrets(job, bench.pool)

    ca = await bench.kube.get(SECRETS, "cluster-ca", "cluster1")
    new = await bench.kube.get(SECRETS, "admin-kubeconfig", "cluster1")
    assert old["data"] != new["data"]
    text = base64.b64decode(new["data"]["kubeconfig"]).decode()
    assert ca["data"]["ca.crt"] in text


async def test_a_namespace_that_may_not_clone_is_named_as_the_cause(bench: Bench) -> None:
    await bench.prepare()
    await bench.kube.delete(ROLE_BINDINGS, "clone-cluster1", "vm-templates")
    async with bench.interrupted(OperationKind.BOOTSTRAP, "run") as job:
        await bootstrap.ensure_machines(job, wanted_image(bench.pool))
    with pytest.raises(VMFailed) as raised:
        await wait_running(bench.kube, bench.watching, bench.cluster.worker, timeout=10, patience=0.2)
    assert raised.value.reason == "CloneUnauthorized"
    assert "create-namespaces" in raised.value.cure


async def test_disks_that_are_copied_byte_by_byte_are_warned_of(bench: Bench) -> None:
    await bench.prepare()
    warnings: list[str] = []
    async with bench.interrupted(OperationKind.BOOTSTRAP, "run") as plain:
        job = replace(plain, host=replace(plain.host, warn=warnings.append))
        await bootstrap.ensure_machines(job, wanted_image(bench.pool))
        await bootstrap.wait_machines(job)
        assert warnings == []
        await demolish(job)
        # Without a class for snapshots CDI cannot have the storage clone.
        await bench.kube.delete(VOLUME_SNAPSHOT_CLASSES, "standard")
        await bootstrap.ensure_machines(job, wanted_image(bench.pool))
        await bootstrap.wait_machines(job)
    assert len(warnings) == 2
    for warning, machine in zip(sorted(warnings), bench.cluster.machines, strict=True):
        why = "was copied byte by byte: No compatible volumesnapshotclass found"
        assert f"PVC cluster1/{machine.root_disk} {why}" in warning


async def test_a_wait_that_ends_in_vain_names_the_slow_copies(bench: Bench) -> None:
    await bench.prepare()
    await bench.kube.delete(VOLUME_SNAPSHOT_CLASSES, "standard")
    bench.simulator.troubles.add(Trouble(TroubleKind.PENDING_PVC))
    async with bench.interrupted(OperationKind.BOOTSTRAP, "run") as job:
        await bootstrap.ensure_machines(job, wanted_image(bench.pool))

    def copied(claim: Object | None) -> bool:
        return claim is not None and FALLBACK_ANNOTATION in claim["metadata"].get("annotations", {})

    worker = bench.cluster.worker
    await bench.watching.until(PVCS, worker.root_disk, "cluster1", copied, timeout=10, what="its disk to be copied")
    with pytest.raises(WaitTimeout, match="is copied byte by byte: No compatible volumesnapshotclass found"):
        await wait_running(bench.kube, bench.watching, worker, timeout=0.2)


async def test_a_bootstrap_that_does_not_get_on_fails_with_what_its_nodes_say(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "SILENT", 0.0)
    consoles = Consoles(bench.simulator)
    why = "60-cluster: failed: kubeadm join: x509: certificate signed by unknown authority"
    consoles.printed["wk-cluster1"] = f"cks-first-boot: 60-cluster: begins\r\ncks-first-boot: {why}\r\n"
    bench.simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT))
    bench.configured(boot_timeout=0.0, reset_attempts=1)
    with pytest.raises(GuestUnhealthy, match="A bootstrap that does not get on"):
        await bench.bootstrap()
    failure = (await bench.pooled()).status.failure
    assert failure is not None
    assert "got wk-cluster1: 60-cluster: kubeadm join: x509: certificate signed by unknown authority" in failure.message


async def test_an_image_of_another_version_than_the_pools_ends_a_bootstrap_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "SILENT", 0.0)
    await bench.prepare()
    await bench.want(image={"kubernetesVersion": "v1.33.5"})
    bench.configured(reset_attempts=1)
    with pytest.raises(GuestUnhealthy, match=r"change spec\.image\.url or spec\.image\.kubernetesVersion"):
        await bench.bootstrap()
    failure = (await bench.pooled()).status.failure
    assert failure is not None
    assert "50-version: the image carries Kubernetes v1.34.1, the Pool wants v1.33.5" in failure.message
    assert bench.pool.spec.image.url in failure.message


async def test_a_vm_of_somebody_else_is_left_alone(bench: Bench) -> None:
    await bench.prepare()
    vm = await ensure_vm(bench.fence(), bench.cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)
    await bench.kube.patch(VMS, "wk-cluster1", {"metadata": {"labels": {"cks.io/cluster-id": None}}}, "cluster1")
    with pytest.raises(NotOurs, match="VirtualMachine cluster1/wk-cluster1"):
        await ensure_vm(bench.fence(), bench.cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)
    assert (await bench.kube.get(VMS, "wk-cluster1", "cluster1"))["metadata"]["uid"] == vm["metadata"]["uid"]


async def test_a_demolished_cluster_can_be_made_again_with_a_new_identity(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    await bench.reset()
    old = await ensure_identity(bench.kube, bench.cluster, now())

    await bench.demolish(bench.cluster)

    assert set((await bench.volumes()).values()) == {0}
    assert await bench.kube.list(VMS, "cluster1") == []
    assert await bench.kube.get(SERVICES, "cp", "cluster1")
    bench.grace_is_over()
    await rebuild(bench.host(), "cluster1", run_id="another")
    assert (await ensure_identity(bench.kube, bench.cluster, now())).ca != old.ca


async def test_a_cluster_whose_namespace_is_gone_is_rebuilt_with_all_it_needs(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    kinds = (ROLE_BINDINGS, RESOURCE_QUOTAS, NETWORK_POLICIES)
    before = {kind.plural: len(await bench.kube.list(kind, "cluster1")) for kind in kinds}
    found = await bench.kube.get(NAMESPACES, "cluster1")
    await bench.kube.delete(NAMESPACES, "cluster1")

    await rebuild(bench.host(), "cluster1", run_id="another")

    made = await bench.kube.get(NAMESPACES, "cluster1")
    assert made["metadata"]["uid"] != found["metadata"]["uid"]
    assert {kind.plural: len(await bench.kube.list(kind, "cluster1")) for kind in kinds} == before
    assert (await bench.pooled()).phase is ClusterPhase.AVAILABLE
    await bench.reset()


async def test_an_image_that_cannot_be_had_costs_no_cluster_that_there_is(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    before, vms = await bench.pooled(), await bench.kube.list(VMS, "cluster1")
    await bench.want(image={"url": "docker://nowhere.invalid/node:1"})
    with pytest.raises(VMFailed, match=r"nowhere.invalid: no such host.*kubectl edit pool default"):
        await rebuild(bench.host(), "cluster1", run_id=bench.run_id())
    assert await bench.pooled() == before
    left = await bench.kube.list(VMS, "cluster1")
    assert [vm["metadata"]["uid"] for vm in left] == [vm["metadata"]["uid"] for vm in vms]


async def test_what_is_left_of_an_earlier_cluster_of_the_name_is_never_the_new_ones(bench: Bench) -> None:
    """Its resource is lost with its finalizer, as by a restored backup: somebody used the VMs that are still there."""
    await bench.bootstrap()
    await bench.take_golden()
    await bench.damage()
    snapshots, identity = await bench.snapshots(), await ensure_identity(bench.kube, bench.cluster, now())
    await bench.lose()

    await bench.bootstrap()
    await bench.take_golden()

    assert await bench.damaged() is None
    assert set(snapshots.values()).isdisjoint((await bench.snapshots()).values())
    assert await ensure_identity(bench.kube, bench.cluster, now()) != identity
    await bench.reset()
    assert await bench.damaged() is None
    for kind in (VMS, SECRETS, SERVICES, PVCS, VM_SNAPSHOTS):
        for one in await bench.kube.list(kind, "cluster1", labels=bench.cluster.selector):
            assert owner(one, bench.cluster) is Owner.CLUSTER, one["metadata"]["name"]


async def test_a_demolition_that_was_cut_off_is_finished_before_anything_is_made(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.lose()
    await bench.prepare()
    async with bench.interrupted(OperationKind.BOOTSTRAP, "dead") as job:
        await delete_vm(job.fence, job.watching, bench.cluster.worker, timeout=20)
    bench.grace_is_over()

    await bench.bootstrap()

    for vm in await bench.kube.list(VMS, "cluster1"):
        assert owner(vm, bench.cluster) is Owner.CLUSTER


async def test_what_an_overtaken_run_saw_is_not_noted_on_the_cluster_that_has_the_name_by_now(bench: Bench) -> None:
    await bench.prepare()

    async def run_step(name: str, _cluster_id: str, work: Callable[[], Awaitable[T]]) -> T:
        done = await work()
        if name == "wait-guest":
            await bench.lose()
            await bench.prepare()
        return done

    with pytest.raises(StaleOperation):
        await bootstrap.bootstrap(replace(bench.host(), run_step=run_step), "cluster1", run_id="overtaken")
    assert (await bench.pooled()).status.conditions == [], "so it is bootstrapped, not snapshotted as it is"
