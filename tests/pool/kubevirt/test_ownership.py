"""What carries another pool's identity, or none, is never touched; what an earlier cluster left is never adopted.

| pool's UID | cluster's ID | cluster's UID | whose         | adopted | removed |
|------------|--------------|---------------|---------------|---------|---------|
| ours       | ours         | ours          | the cluster's | yes     | yes     |
| ours       | ours         | another       | former's      | no      | yes     |
| ours       | another      | any           | others'       | no      | no      |
| another    | any          | any           | others'       | no      | no      |
| none       | any          | any           | others'       | no      | no      |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from pool.core.clusters import ConditionType, OperationKind
from pool.core.errors import FormerCluster, NotOurs, PoolError
from pool.guest.cloudinit import ensure_cloud_init
from pool.guest.identity import ensure_identity, make_identity
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.client import Kube
from pool.kube.resources import DATA_VOLUMES, PVCS, SECRETS, SERVICES, VM_RESTORES, VM_SNAPSHOTS, VMS
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.former import left_of_former
from pool.kubevirt.machines import delete_vm, ensure_vm
from pool.kubevirt.manifests import restore, snapshot, wanted_image
from pool.kubevirt.ownership import Owner, owned, owner, removable, remove_exactly
from pool.kubevirt.restores import delete_restores, run_restore
from pool.kubevirt.snapshots import delete_snapshot, ensure_snapshot
from pool.work.generations import taken
from pool.work.reset import stop_both
from pool.work.services import ensure_services
from pool.work.upkeep.health import look
from simulator.api.requests import Target
from tests.pool.bench import CLUSTER, Bench, now
from tests.pool.builders import cluster as pooled
from tests.pool.builders import member, pool

LATER = member(uid="uid-later")
THEIRS = member(of=pool("theirs"))
WRITES = ("create", "update", "patch", "delete")
Step = Callable[[Bench, Cluster], Awaitable[object]]
KINDS = (VMS, DATA_VOLUMES, PVCS, SECRETS, SERVICES, VM_SNAPSHOTS, VM_RESTORES)


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        (CLUSTER.labels, Owner.CLUSTER),
        (CLUSTER.labels | {"app": "more"}, Owner.CLUSTER),
        (CLUSTER.labels | {"cks.io/pool": "renamed"}, Owner.CLUSTER),
        (LATER.labels, Owner.FORMER),
        ({key: text for key, text in CLUSTER.labels.items() if key != "cks.io/cluster-uid"}, Owner.FORMER),
        (member("cluster2").labels, Owner.OTHERS),
        (THEIRS.labels, Owner.OTHERS),
        ({"cks.io/cluster-id": "cluster1", "cks.io/cluster-uid": CLUSTER.uid}, Owner.OTHERS),
        ({}, Owner.OTHERS),
    ],
)
def test_whose_an_object_is(labels: dict[str, str], whose: Owner) -> None:
    obj = VMS.manifest("cp-cluster1", "cluster1", labels=labels)
    assert owner(obj, CLUSTER) is whose
    checks = {Owner.CLUSTER: [], Owner.FORMER: [(owned, FormerCluster)]}
    for check, error in checks.get(whose, [(owned, NotOurs), (removable, NotOurs)]):
        with pytest.raises(error, match="VirtualMachine cluster1/cp-cluster1"):
            check(obj, CLUSTER)


def test_a_cluster_is_known_by_its_pooled_cluster_and_that_by_its_pool() -> None:
    found = pooled("cluster1")
    assert Cluster.of(found) == CLUSTER
    nobodys = found.changed(metadata=found.metadata.model_copy(update={"labels": {}}))
    with pytest.raises(NotOurs, match="PooledCluster cluster1"):
        Cluster.of(nobodys)


async def identities(kube: Kube) -> dict[str, tuple[str, dict[str, str]]]:
    """UID and labels of every object that belongs to a cluster."""
    found = [obj["metadata"] | {"kind": obj["kind"]} for kind in KINDS for obj in await kube.list(kind, "cluster1")]
    return {f"{meta['kind']} {meta['name']}": (meta["uid"], meta["labels"]) for meta in found}


def writes(bench: Bench) -> Counter[tuple[str, str]]:
    """What was asked of the API so far beyond reading. A restore's creation is: its name is the run's own.

    What is said of the cluster's operation is not counted.
    """
    asked = {call: count for call, count in bench.wire.calls.items() if call[0] in WRITES}
    own = ("pooledclusters", "pooledclusters/status", "events")
    uncounted = {("create", "virtualmachinerestores"), *((verb, plural) for verb in WRITES for plural in own)}
    return Counter({call: count for call, count in asked.items() if call not in uncounted})


def later(bench: Bench) -> Cluster:
    """The cluster that comes after the bench's, of the same name and pool."""
    return replace(bench.cluster, uid="uid-later")


def theirs(bench: Bench) -> Cluster:
    """Another pool's cluster of the same name."""
    return replace(bench.cluster, pool="theirs", pool_uid="uid-theirs")


async def refusals(steps: dict[str, Step], bench: Bench, cluster: Cluster) -> dict[str, type[Exception] | None]:
    """How each step ends, None for one that is carried out."""
    ends: dict[str, type[Exception] | None] = {}
    for name, step in steps.items():
        try:
            await step(bench, cluster)
            ends[name] = None
        except PoolError as error:
            ends[name] = type(error)
    return ends


@pytest.fixture
async def made(bench: Bench) -> Bench:
    """A cluster with all it has, its golden snapshots and a restore included."""
    await bench.bootstrap()
    await bench.take_golden()
    stopped = restore(bench.cluster.worker, "wk-snap", "run")
    await bench.kube.create(VM_RESTORES, stopped)  # of a running VM: it fails, and stays
    return bench


async def _vm(bench: Bench, cluster: Cluster) -> None:
    await ensure_vm(bench.fence(), cluster.worker, bench.pool, wanted_image(bench.pool), bench.settings)


async def _cloud_init(bench: Bench, cluster: Cluster) -> None:
    identity = make_identity(now())
    await ensure_cloud_init(bench.kube, cluster, cluster.worker, identity, "10.0.0.1:51820", bench.pool)


async def test_both_nodes_are_made_of_what_the_pool_said_when_the_first_was(bench: Bench) -> None:
    """A run that goes on after the Pool was changed makes no pair of halves."""
    await bench.bootstrap()
    vm = bench.cluster.worker
    there = await bench.kube.get(VMS, vm.name, vm.namespace)
    await bench.kube.delete(VMS, vm.name, vm.namespace)
    await bench.watching.gone(VMS, there, timeout=5, what="the VM to go")
    before = await bench.kube.get(SECRETS, vm.cloud_init_secret, vm.namespace)
    identity = await ensure_identity(bench.kube, bench.cluster, now())
    await ensure_cloud_init(bench.kube, bench.cluster, vm, identity, "10.0.0.9:51820", bench.pool)
    assert await bench.kube.get(SECRETS, vm.cloud_init_secret, vm.namespace) == before


async def _snapshot(bench: Bench, cluster: Cluster) -> None:
    await ensure_snapshot(bench.fence(), bench.watching, cluster.worker, "wk-snap", {}, bench.settings)


async def _delete_vm(bench: Bench, cluster: Cluster) -> None:
    fence = bench.fence()
    await fence.take(*cluster.machines)
    await delete_vm(fence, bench.watching, cluster.worker, timeout=5)


async def _delete_snapshot(bench: Bench, cluster: Cluster) -> None:
    found = await bench.kube.get(VM_SNAPSHOTS, "wk-snap", "cluster1")
    await delete_snapshot(bench.fence(), bench.watching, cluster, found, timeout=5)


async def _delete_restores(bench: Bench, cluster: Cluster) -> None:
    found = await bench.kube.list(VM_RESTORES, "cluster1")
    await delete_restores(bench.fence(), bench.watching, cluster, found, timeout=5)


ADOPTING: dict[str, Step] = {
    "VM": _vm,
    "identity": lambda bench, cluster: ensure_identity(bench.kube, cluster, now()),
    "kubeconfig": lambda bench, cluster: ensure_kubeconfig(bench.kube, cluster, make_identity(now()), now()),
    "cloud-init": _cloud_init,
    "snapshot": _snapshot,
    "restore": lambda bench, cluster: run_restore(
        bench.fence(), bench.watching, cluster.worker, "wk-snap", "run", timeout=5
    ),
}
REMOVING: dict[str, Step] = {
    "VM": _delete_vm,
    "snapshot": _delete_snapshot,
    "restores": _delete_restores,
    "all of it": lambda bench, cluster: bench.demolish(cluster),
}


async def test_nothing_of_another_pool_is_adopted_changed_or_removed(made: Bench) -> None:
    before, asked = await identities(made.kube), writes(made)
    steps = ADOPTING | {f"removal of {name}": step for name, step in REMOVING.items()}
    steps["services"] = lambda bench, cluster: ensure_services(bench.kube, cluster)
    assert await refusals(steps, made, theirs(made)) == dict.fromkeys(steps, NotOurs)
    assert await taken(made.kube, theirs(made), 1) is None
    assert await left_of_former(made.kube, theirs(made)) == []
    assert writes(made) == asked
    assert await identities(made.kube) == before


async def test_nothing_that_an_earlier_cluster_left_is_adopted(made: Bench) -> None:
    before, asked = await identities(made.kube), writes(made)
    assert await refusals(ADOPTING, made, later(made)) == dict.fromkeys(ADOPTING, FormerCluster)
    assert await taken(made.kube, later(made), 1) is None
    assert await taken(made.kube, made.cluster, 1) is not None
    assert writes(made) == asked
    assert await identities(made.kube) == before


async def test_a_reset_stops_nobody_elses_vms(made: Bench) -> None:
    async with made.interrupted(OperationKind.RESET, "reset") as job:
        for whose in (later(made), theirs(made)):
            with pytest.raises(NotOurs, match="VirtualMachine cluster1/"):
                await stop_both(replace(job, cluster=whose))
    assert await made.power() == ["Always", "Always"]


async def test_a_guest_of_an_earlier_cluster_is_no_healthy_one(made: Bench) -> None:
    await made.lose()
    await made.prepare()
    await look(made.host(), "cluster1")
    seen = (await made.pooled()).status.condition(ConditionType.GUEST_HEALTHY)
    assert seen is not None
    assert (seen.status, seen.reason) == ("False", "FormerCluster")


async def test_what_an_earlier_cluster_left_is_told_demolished_and_made_anew(made: Bench) -> None:
    await made.damage()
    old = await ensure_identity(made.kube, made.cluster, now())
    assert await left_of_former(made.kube, made.cluster) == []
    left = await left_of_former(made.kube, later(made))
    assert {one.split()[0] for one in left} == {kind.kind for kind in KINDS if kind is not SERVICES}

    await made.lose()
    await made.bootstrap()

    assert await left_of_former(made.kube, made.cluster) == []
    assert await made.damaged() is None
    assert (await ensure_identity(made.kube, made.cluster, now())).ca != old.ca
    for kind in KINDS:
        for obj in await made.kube.list(kind, "cluster1"):
            assert made.cluster.labels.items() <= obj["metadata"]["labels"].items(), obj["metadata"]["name"]


async def test_a_secret_alone_tells_of_an_earlier_cluster(bench: Bench) -> None:
    await bench.prepare()
    await ensure_identity(bench.kube, bench.cluster, now())
    assert await left_of_former(bench.kube, later(bench)) == ["Secret cluster1/cluster-ca"]


async def test_all_that_is_made_for_a_cluster_carries_its_identity(made: Bench) -> None:
    for kind in KINDS:
        found = await made.kube.list(kind, "cluster1")
        assert found, kind.kind
        for obj in found:
            assert made.cluster.labels.items() <= obj["metadata"]["labels"].items(), obj["metadata"]["name"]


async def test_a_restored_disk_keeps_the_identity_of_the_one_it_replaces(bench: Bench) -> None:
    await bench.bootstrap()
    await bench.take_golden()
    await bench.reset()
    for kind in (DATA_VOLUMES, PVCS):
        for obj in await bench.kube.list(kind, "cluster1"):
            assert obj["metadata"]["name"].startswith("restore-")
            assert owner(obj, bench.cluster) is Owner.CLUSTER


async def test_an_object_made_anew_under_the_same_name_is_not_removed_for_the_old_one(bench: Bench) -> None:
    await bench.prepare()
    wanted = snapshot(bench.cluster.worker, "wk-snap", bench.settings)
    found = await bench.kube.create(VM_SNAPSHOTS, wanted)

    async def replaced(target: Target) -> None:
        if target.verb != "delete":
            return
        bench.wire.before = None
        await remove_exactly(bench.kube, VM_SNAPSHOTS, found)
        await bench.watching.until(
            VM_SNAPSHOTS,
            "wk-snap",
            "cluster1",
            lambda seen: True if seen is None else None,
            timeout=10,
            what="it to go",
        )
        await bench.kube.create(VM_SNAPSHOTS, wanted)

    bench.wire.before = replaced
    assert await remove_exactly(bench.kube, VM_SNAPSHOTS, found) is False
    assert (await bench.kube.get(VM_SNAPSHOTS, "wk-snap", "cluster1"))["metadata"]["uid"] != found["metadata"]["uid"]
