"""Parts of a pool's objects gone, on the API alone: nothing used is handed out, nobody holds what another holds.

| lost            | tests                                                        |
|-----------------|--------------------------------------------------------------|
| Sessions        | their clusters are reset                                     |
| PooledClusters  | their sessions end; others of the names are made             |
| the Pool        | nothing is handed out of it; applied again, and begun anew   |
| all, but a dump | made again without status: nothing is free, nothing is done  |
|                 | with status: the same, and what was held is taken back       |
| an hour         | all that was free, held or half made then is begun anew      |

What becomes of machines and disks is in `test_machines.py`. Former machines that are met by a cluster of their name:
tests/pool/work/test_bootstrap.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import Invalid, NoClusterAvailable, UnknownPool, UnknownSession
from pool.core.queue import free
from pool.kube.resources import POOLED_CLUSTERS, POOLS, SESSIONS, Resource
from simulator.app import Simulator
from tests.pool.kubectl import Kubectl, needed
from tests.pool.lab import Lab
from tests.pool.loss.page import commands
from tests.pool.loss.world import keep, set_back
from tests.pool.work.upkeep.hands import Hands


@pytest.fixture
def hands(lab: Lab) -> Hands:
    """The pool `default`, and a worker that does in no time what is started."""
    return Hands(lab)


@pytest.fixture
def kubectl(lab: Lab, api_server: Simulator, tmp_path: Path) -> Kubectl:
    assert api_server.kubeconfig_path is not None
    return Kubectl(api_server.kubeconfig_path, lab.settings.namespace, tmp_path)


async def lose(lab: Lab, *kinds: Resource) -> None:
    """The objects are gone, without a word to whoever would have tidied up after them."""
    for kind in kinds:
        for obj in await lab.kube.list(kind, lab.settings.namespace):
            name = obj["metadata"]["name"]
            await lab.kube.patch(kind, name, {"metadata": {"finalizers": None}}, lab.settings.namespace)
            await lab.kube.delete(kind, name, lab.settings.namespace)


async def begin_anew(kubectl: Kubectl) -> None:
    """As the page says."""
    for command in commands("Begin anew"):
        await kubectl(*command)


async def test_clusters_of_lost_sessions_are_reset_before_anybody_gets_them(hands: Hands) -> None:
    lab = hands.lab
    await hands.settle()
    for name in ("alice", "bob", "carol"):
        await lab.state.assign(name)
    await lose(lab, SESSIONS)
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("dave")
    await hands.keep_up()
    assert await hands.phases() == dict.fromkeys(["cluster1", "cluster2", "cluster3"], "resetting")
    await hands.settle()
    again = await lab.state.assign("alice")
    assert again.status.epoch == 2
    await lab.check()


async def test_sessions_of_lost_clusters_end_and_others_are_made(hands: Hands) -> None:
    lab = hands.lab
    await hands.settle()
    await lab.state.assign("alice")
    before = await lab.state.cluster("cluster1")
    await lose(lab, POOLED_CLUSTERS)
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("bob")
    await hands.keep_up()
    alice = await lab.state.session("alice")
    assert (alice.phase, alice.status.assigned_cluster) == ("Released", None)
    assert "cluster1 is not its cluster any more" in alice.status.message
    assert ("bootstrap", "cluster1") in hands.waiting()
    await hands.settle()
    assert (await lab.state.cluster("cluster1")).metadata.uid != before.metadata.uid
    await lab.check()


@needed
async def test_of_a_lost_pool_nothing_is_handed_out_until_it_is_applied_and_begun_anew(
    hands: Hands, kubectl: Kubectl
) -> None:
    lab = hands.lab
    await hands.settle()
    await lab.state.assign("alice")
    kept = await kubectl(*commands("What to keep")[0][:-2])
    await lose(lab, POOLS)
    with pytest.raises(UnknownPool):
        await lab.state.assign("bob")
    assert (await lab.state.cluster("cluster1")).status.assigned_session == "alice"
    await applied(kubectl, kept)
    assert (await lab.state.cluster("cluster1")).status.assigned_session == "alice", "its holder keeps it"
    assert (await lab.state.assign("bob")).status.assigned_cluster == "cluster2", "which is clean"
    await begin_anew(kubectl)
    assert free(await lab.state.clusters()) == []
    await hands.settle()
    assert (await lab.state.assign("alice")).status.epoch == 1
    await lab.check()


async def applied(kubectl: Kubectl, dump: str) -> None:
    """Apply a dump where its objects are gone."""
    # The simulator has no OpenAPI v2, by which kubectl itself looks over a List.
    await kubectl("apply", "--validate=false", "-f", "-", given=dump)


@needed
async def test_restored_without_status_nothing_is_free_and_nobody_has_a_second_cluster(
    hands: Hands, kubectl: Kubectl
) -> None:
    lab = hands.lab
    await hands.settle()
    await lab.state.assign("alice")
    await lab.state.assign("bob", wait_seconds=3600)
    pools, holders = commands("What to keep")[:2]
    dumps = [await kubectl(*pools[:-2]), await kubectl(*holders[:-2])]
    await lose(lab, POOLS, POOLED_CLUSTERS, SESSIONS)
    for dump in dumps:
        await applied(kubectl, dump)
    assert await hands.phases() == dict.fromkeys(["cluster1", "cluster2", "cluster3"], "creating")
    assert {one.phase for one in await lab.state.sessions()} == {"Pending"}
    assert await lab.state.serve_queue() == 0
    assert free(await lab.state.clusters()) == []
    # No write of anybody's makes them clean.
    forged = f'{{"status": {{"phase": "available", "clean": true, "epoch": 0, "golden": {GOLDEN}}}}}'
    refused = await kubectl(
        "patch", "pcl", "cluster1", "--subresource=status", "--type=merge", "-p", forged, fails=True
    )
    assert "only by the operation that attested it" in refused
    await begin_anew(kubectl)
    await hands.settle()
    with pytest.raises(UnknownSession):
        await lab.state.session("bob")
    await lab.state.assign("alice")
    await lab.check()


async def test_restored_with_status_by_other_means_a_held_cluster_is_taken_back_and_none_is_free(hands: Hands) -> None:
    """As some backup tools can. UIDs are new, and no cluster becomes clean by being written so."""
    lab = hands.lab
    await hands.settle()
    await lab.state.assign("alice")
    kept = {kind: await lab.kube.list(kind, lab.settings.namespace) for kind in (POOLS, SESSIONS, POOLED_CLUSTERS)}
    await lose(lab, *kept)
    refused = []
    for kind, objects in kept.items():
        for obj in objects:
            named = {key: obj["metadata"][key] for key in ("name", "labels", "finalizers") if key in obj["metadata"]}
            head = {"apiVersion": f"{kind.group}/v1alpha1", "kind": kind.kind, "metadata": named}
            made = await lab.kube.create(kind, head | {"spec": obj["spec"]}, lab.settings.namespace)
            try:
                await lab.kube.replace(kind, made | {"status": obj["status"]}, subresource="status")
            except Invalid:
                refused.append(named["name"])
    assert refused == ["cluster2", "cluster3"], "which were clean"
    assert await hands.phases() == {"cluster1": "locked", "cluster2": "creating", "cluster3": "creating"}
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("bob")
    await lab.state.serve_queue()
    assert (await hands.phases())["cluster1"] == "resetting", "it was locked for a session of another UID"
    assert (await lab.state.session("alice")).phase == "Released"
    assert free(await lab.state.clusters()) == []


HALF = '{"name": "cp-snap", "uid": "1"}'
GOLDEN = f'{{"generation": 1, "controlPlane": {HALF}, "worker": {HALF}, "takenAt": "2026-01-01T00:00:00Z"}}'


@asynccontextmanager
async def kept_in(folder: Path) -> AsyncIterator[Lab]:
    """An API server whose objects are kept in the folder."""
    path = folder / "kubeconfig"
    fresh = not (folder / "data").exists()
    async with (
        Simulator(controllers=False, kubeconfig=path, data_dir=folder / "data"),
        Lab.open(path, install=fresh) as lab,
    ):
        yield lab


@needed
async def test_what_was_free_held_or_half_made_an_hour_ago_is_begun_anew_after_the_host_was_set_back(
    tmp_path: Path,
) -> None:
    async with kept_in(tmp_path) as lab:
        await lab.pool(2)
        await lab.state.assign("alice", ttl_seconds=7200)
        await lab.state.ensure_cluster(await lab.state.pool(), "cluster3")
        await lab.begin("cluster3", OperationKind.BOOTSTRAP, "half-way")
    keep(tmp_path)
    async with kept_in(tmp_path) as lab:
        await lab.state.release("alice")
        await lab.reset("cluster1")
        assert {(await lab.state.assign(name)).status.assigned_cluster for name in ("bob", "carol")} == {
            "cluster1",
            "cluster2",
        }
    set_back(tmp_path)
    async with kept_in(tmp_path) as lab:
        # What is true before anybody does something: this is why nobody may be let in before.
        assert [one.name for one in free(await lab.state.clusters())] == ["cluster2"]
        assert (await lab.state.session("alice")).status.assigned_cluster == "cluster1"
        with pytest.raises(UnknownSession):
            await lab.state.session("bob")
        await begin_anew(Kubectl(tmp_path / "kubeconfig", lab.settings.namespace, tmp_path))
        with pytest.raises(NoClusterAvailable):
            await lab.state.assign("dave")
        assert await lab.state.sessions() == []
        hands = Hands(lab)
        await hands.keep_up()
        assert not [one for one in hands.waiting() if one[0] != "teardown"], "nothing is carried on from there"
        await lab.silence()
        await hands.settle()
        assert await hands.phases() == dict.fromkeys(["cluster1", "cluster2", "cluster3"], "available")
        assert {one.status.golden.generation for one in await lab.state.clusters() if one.status.golden} == {1}
        await lab.check()
