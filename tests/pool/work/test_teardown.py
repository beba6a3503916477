"""Removals: a deleted cluster is on its way out whatever happens to the runs that remove it; nothing brings it back.

| what happens                                    | what follows                                              |
|-------------------------------------------------|-----------------------------------------------------------|
| nothing special                                 | namespace, right to clone and resource are gone           |
| the run dies after any step                     | the next one goes on                                      |
| the namespace does not go, attempts are used up | `error` and still being removed; torn down again          |
| a session holds the cluster                     | it goes on; the cluster is removed after it, never reset  |
| the namespace is somebody else's by now         | it is left alone, the cluster stays and says so           |
| its resource does not say whose it is           | it goes, unless a namespace was made for it               |
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import IllegalTransition, NamespaceNotOurs, NotOurs, UnknownCluster, WaitTimeout
from pool.core.lifecycle import ClusterPhase, SessionPhase
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import Action, StartTeardown
from pool.kube.resources import CONFIG_MAPS, NAMESPACES, POOLED_CLUSTERS, POOLS, ROLE_BINDINGS
from pool.work import bootstrap, golden, rebuild, reset, teardown
from tests.pool.bench import Bench

KEPT = {"metadata": {"finalizers": ["example.com/somebody-is-not-done"]}}


@pytest.fixture
async def made(bench: Bench) -> Bench:
    await bench.bootstrap()
    await bench.take_golden()
    return bench


async def delete(bench: Bench) -> None:
    """As `kubectl delete pcl cluster1`."""
    await bench.kube.delete(POOLED_CLUSTERS, "cluster1", bench.settings.namespace)


async def tear_down(bench: Bench, *, force: bool = False) -> None:
    await teardown.teardown(bench.host(), "cluster1", run_id=bench.run_id(), force=force)


async def planned(bench: Bench) -> list[Action]:
    """What maintenance would do to the cluster once the present run counts as dead."""
    bench.grace_is_over()
    sessions, clusters = await bench.state.sessions(), await bench.state.clusters()
    observed = Observed.of(bench.pool, sessions, clusters, bench.state.silent(clusters))
    now = bench.host().now()
    return [one for one in plan(observed, PlanConfig.of(bench.settings), now) if "cluster1" in str(one)]


async def check_gone(bench: Bench) -> None:
    with pytest.raises(UnknownCluster):
        await bench.pooled()
    assert await bench.kube.find(NAMESPACES, "cluster1") is None
    assert await bench.kube.find(ROLE_BINDINGS, "clone-cluster1", "vm-templates") is None


async def test_a_deleted_cluster_is_there_until_nothing_is_left_of_it(made: Bench) -> None:
    await delete(made)
    assert (await made.pooled()).removing
    await tear_down(made)
    await check_gone(made)


async def test_what_is_wanted_is_not_torn_down(made: Bench) -> None:
    with pytest.raises(IllegalTransition, match="not being removed"):
        await tear_down(made)
    assert (await made.pooled()).phase is ClusterPhase.AVAILABLE


@pytest.mark.parametrize("done", [1, 2])
async def test_a_removal_that_was_cut_off_is_carried_on_by_the_next_run(made: Bench, done: int) -> None:
    await delete(made)
    async with made.interrupted(OperationKind.TEARDOWN, "dead") as job:
        for step in (teardown.remove_namespace, teardown.remove_right_to_clone)[:done]:
            await step(job)
    assert [type(action) for action in await planned(made)] == [StartTeardown]
    await tear_down(made)
    await check_gone(made)


async def test_a_failed_removal_stays_a_removal(made: Bench) -> None:
    await made.kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("kept", "cluster1", data={}))
    await made.kube.patch(CONFIG_MAPS, "kept", KEPT, "cluster1")
    await delete(made)
    made.configured(delete_timeout=0.5)

    with pytest.raises(WaitTimeout, match="namespace cluster1 to be deleted"):
        await tear_down(made)

    failed = await made.pooled()
    assert (failed.phase, failed.removing) == (ClusterPhase.ERROR, True)
    assert failed.status.failure is not None
    assert failed.status.failure.attempts == made.settings.reset_attempts
    made.ahead += timedelta(minutes=15)
    assert [type(action) for action in await planned(made)] == [StartTeardown]
    for work in (
        reset.reset(made.host(), "cluster1", run_id="reset"),
        rebuild.rebuild(made.host(), "cluster1", run_id="rebuild"),
        bootstrap.bootstrap(made.host(), "cluster1", run_id="bootstrap"),
        golden.take(made.host(), "cluster1", run_id="golden"),
    ):
        with pytest.raises(IllegalTransition, match="is being removed"):
            await work

    await made.kube.patch(CONFIG_MAPS, "kept", {"metadata": {"finalizers": None}}, "cluster1")
    made.configured(delete_timeout=20)
    await tear_down(made)
    await check_gone(made)


async def test_a_session_keeps_a_cluster_that_is_to_go_and_nobody_gets_it_after_that(made: Bench) -> None:
    await made.state.assign("alice")
    await delete(made)
    with pytest.raises(IllegalTransition, match="locked by session alice"):
        await tear_down(made)
    assert await planned(made) == []
    assert (await made.state.session("alice")).phase is SessionPhase.ACTIVE

    await made.state.release("alice")
    assert [type(action) for action in await planned(made)] == [StartTeardown]
    await tear_down(made)
    await check_gone(made)


async def test_by_force_the_session_is_ended_and_told(made: Bench) -> None:
    await made.state.assign("alice")
    await delete(made)
    await tear_down(made, force=True)
    await check_gone(made)
    session = await made.state.session("alice")
    assert (session.phase, session.status.message) == (SessionPhase.RELEASED, "taken back by an operator")


async def test_a_namespace_that_became_somebody_elses_is_left_alone(made: Bench) -> None:
    await made.kube.patch(NAMESPACES, "cluster1", {"metadata": {"labels": {"cks.io/pool-uid": "another"}}})
    await delete(made)
    with pytest.raises(NamespaceNotOurs):
        await tear_down(made)
    assert await made.kube.find(NAMESPACES, "cluster1")
    assert (await made.pooled()).removing


async def test_a_whole_pool_goes_with_its_clusters(made: Bench) -> None:
    await teardown.ask_removal(made.host(), "default", [await made.pooled()], whole=True)
    await teardown.finish_removal(made.host(), "default")
    assert (await made.state.pool()).removing, "it waits for its clusters"
    await tear_down(made)
    await teardown.finish_removal(made.host(), "default")
    await check_gone(made)
    assert await made.kube.find(POOLS, "default", made.settings.namespace) is None
    await teardown.finish_removal(made.host(), "default")


async def test_nothing_is_deleted_while_one_of_them_is_held(made: Bench) -> None:
    await made.state.assign("alice")
    clusters = await made.state.clusters()
    with pytest.raises(IllegalTransition, match="cluster1 by alice"):
        teardown.check_nobody_holds(clusters, force=False)
    teardown.check_nobody_holds(clusters, force=True)


async def test_a_rebuild_that_is_not_due_any_more_does_nothing(made: Bench) -> None:
    before = await made.pooled()
    assert await rebuild.rebuild(made.host(), "cluster1", run_id="again", if_due=True) is None
    assert await made.pooled() == before

    await made.want(image={"url": "docker://registry.example/newer:1"})
    assert await rebuild.rebuild(made.host(), "cluster1", run_id="newer", if_due=True)
    assert await rebuild.rebuild(made.host(), "cluster1", run_id="repeated", if_due=True) is None


async def test_a_cluster_that_nothing_was_made_for_since_it_is_nobodys_just_goes(bench: Bench) -> None:
    await bench.prepare()
    by_hand = POOLED_CLUSTERS.manifest("stray", bench.settings.namespace, spec={"namespace": "cluster1"})
    await bench.kube.create(POOLED_CLUSTERS, by_hand)
    await bench.state.delete_cluster(await bench.state.cluster("stray"))
    await teardown.teardown(bench.host(), "stray", run_id="run")
    assert [one.name for one in await bench.state.clusters()] == ["cluster1"]
    assert await bench.kube.find(NAMESPACES, "cluster1") is not None


async def test_a_cluster_that_has_lost_its_label_stays_until_it_has_it_again(bench: Bench) -> None:
    await bench.prepare()
    uid = bench.pool.metadata.uid

    async def label(value: str | None) -> None:
        change = {"metadata": {"labels": {"cks.io/pool-uid": value}}}
        await bench.kube.patch(POOLED_CLUSTERS, "cluster1", change, bench.settings.namespace)

    await label(None)
    await delete(bench)
    with pytest.raises(NotOurs, match=f"kubectl -n cks-pool label pcl cluster1 cks.io/pool-uid={uid}"):
        await tear_down(bench)
    assert await bench.kube.find(NAMESPACES, "cluster1") is not None
    await label(uid)
    await tear_down(bench)
    await check_gone(bench)
