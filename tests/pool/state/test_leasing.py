"""Sessions get clusters and wait for them; what was promised holds whatever goes wrong in between.

session      cluster           assign again gives       release does
(none)       available         a cluster                UnknownSession
Pending      locked for it     that cluster             session ends, cluster resetting
Pending      none free         waits or fails           session ends
Active       locked by it      the same cluster         cluster resetting, session ends
Active       somebody else's   a new one                session ends, that cluster is left alone
ended        any               begins anew              nothing
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.errors import (
    ApiUnavailable,
    InvalidInput,
    NoClusterAvailable,
    UnknownCluster,
    UnknownPool,
)
from pool.core.pools import Pool
from pool.core.resource import Metadata
from pool.core.sessions import Session, SessionSpec
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS
from pool.state import PoolState
from pool.state.handover import Handover
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.builders import operation
from tests.pool.lab import Lab


async def test_a_session_gets_the_longest_rested_cluster_with_its_end_and_epoch(lab: Lab) -> None:
    await lab.add("c1", last_reset=lab.clock() - timedelta(seconds=60), epoch=4)
    await lab.add("c2", last_reset=lab.clock() - timedelta(seconds=90), epoch=7)
    session = await lab.state.assign("alice", ttl_seconds=600)
    cluster = await lab.state.cluster("c2")
    assert session.status.assigned_cluster == "c2"
    assert session.status.epoch == cluster.status.epoch == 8
    assert session.status.cluster_lock_time == cluster.status.lock_time == lab.clock()
    assert session.status.expires_at == cluster.status.expires_at == lab.clock() + timedelta(seconds=600)
    await lab.check()


async def test_assigning_reads_the_pool_once_when_nobody_follows_it(lab: Lab) -> None:
    await lab.pool(3)
    lab.kube.counted()
    await lab.state.assign("alice")
    assert lab.kube.counted() == [
        "GET pools/default",
        "POST sessions",
        "GET pooledclusters",
        "GET sessions",
        "PUT pooledclusters/cluster1/status",
        "PUT sessions/alice/status",
    ]


async def test_assigning_takes_three_calls_while_the_pool_is_followed(lab: Lab) -> None:
    await lab.pool(3)
    async with lab.state.following():
        lab.kube.counted()
        await lab.state.assign("alice")
        assert lab.kube.counted() == [
            "POST sessions",
            "PUT pooledclusters/cluster1/status",
            "PUT sessions/alice/status",
        ]
        served = [await lab.state.assign(name) for name in ("bob", "cid")]
        with pytest.raises(NoClusterAvailable):
            await lab.state.assign("dee")
    assert [session.status.assigned_cluster for session in served] == ["cluster2", "cluster3"]
    await lab.check()


async def test_assigning_again_gives_the_same_cluster(lab: Lab) -> None:
    await lab.pool(3)
    first = await lab.state.assign("alice")
    assert await lab.state.assign("alice") == first
    assert await asyncio.gather(*(lab.state.assign("alice") for _ in range(5))) == [first] * 5
    assert (await lab.state.stats()).locked_clusters == 1


async def test_no_cluster_free_and_no_pool_are_different_errors_and_change_nothing(lab: Lab) -> None:
    with pytest.raises(UnknownPool, match=r"no pool exam .*bootstrap-pool"):
        await lab.state.assign("alice", "exam")
    with pytest.raises(NoClusterAvailable, match="no clusters"):
        await lab.state.assign("alice")
    await lab.add("c1", "locked", assigned_session="bob")
    await lab.add("c2", "resetting")
    before = await lab.state.clusters()
    with pytest.raises(NoClusterAvailable) as caught:
        await lab.state.assign("alice")
    assert caught.value.counts == {"creating": 0, "available": 0, "locked": 1, "resetting": 1, "error": 0}
    assert await lab.state.clusters() == before
    assert await lab.state.sessions() == []


async def test_the_error_says_when_a_cluster_is_expected(lab: Lab) -> None:
    began = operation().changed(started_at=lab.clock() - timedelta(seconds=30))
    await lab.add("c1", "resetting", operation=began, last_reset_seconds=100)
    with pytest.raises(NoClusterAvailable) as caught:
        await lab.state.assign("alice")
    assert caught.value.expected_at == lab.clock() + timedelta(seconds=70)


@pytest.mark.parametrize("phase", ["creating", "resetting", "error"])
async def test_a_cluster_that_is_not_attested_is_never_assigned(lab: Lab, phase: str) -> None:
    await lab.add("c1", phase)
    await lab.add("c2", cordoned=True)
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice")


async def test_two_clusters_three_sessions_the_oldest_two_are_served_the_third_waits_its_turn(lab: Lab) -> None:
    await lab.pool(2)
    await lab.state.assign("first")
    await lab.state.assign("second")
    third = asyncio.create_task(lab.state.assign("third", wait_seconds=20))
    await lab.watching.until(SESSIONS, "third", "cks-pool", lambda s: s, timeout=10, what="the claim")
    assert (await lab.state.session("third")).status.message == "place 1 of 1 in the queue"
    await lab.state.release("first")
    await lab.reset("cluster1")
    assert (await third).status.assigned_cluster == "cluster1"
    await lab.check()


async def test_a_wait_that_ends_in_vain_leaves_no_trace(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice", wait_seconds=0.3)
    assert await lab.state.sessions() == []


async def test_the_queue_is_first_come_first_served_but_for_priority(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    waiting = {}
    for name, priority in (("slow", 0), ("late", 0), ("exam", 50)):
        waiting[name] = asyncio.create_task(lab.state.assign(name, priority=priority, wait_seconds=30))
        await lab.watching.until(SESSIONS, name, "cks-pool", lambda s: s, timeout=10, what="the claim")
        lab.clock.forward(1)
    order = []
    for turn in range(3):
        await lab.reset("c1", f"run{turn}")
        done, _ = await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED, timeout=10)
        (name,) = (n for n, task in waiting.items() if task in done)
        order.append(name)
        waiting.pop(name)
        await lab.state.release(name)
    assert order == ["exam", "slow", "late"]


async def test_released_and_assigned_four_times_all_four_clusters_get_their_turn(lab: Lab) -> None:
    await lab.pool(4)
    served = []
    for turn in range(4):
        lab.clock.forward(60)
        session = await lab.state.assign(f"s{turn}")
        served.append(session.status.assigned_cluster)
        released = await lab.state.release(f"s{turn}")
        assert released.cluster_id is not None
        await lab.reset(released.cluster_id, f"run{turn}")
    assert sorted(map(str, served)) == ["cluster1", "cluster2", "cluster3", "cluster4"]


async def test_a_crash_between_lock_and_session_is_finished_by_the_retry(lab: Lab) -> None:
    await lab.pool(3)
    session = await claimed(lab, "alice")
    locked = await _locked(lab, "cluster2", session)
    served = await lab.state.assign("alice")
    assert (served.status.assigned_cluster, served.status.epoch) == ("cluster2", locked.status.epoch)
    await lab.check()


async def test_a_crash_between_lock_and_session_is_finished_by_anybody(lab: Lab) -> None:
    await lab.pool(1)
    await _locked(lab, "cluster1", await claimed(lab, "alice"))
    assert await lab.state.serve_queue() == 1
    assert (await lab.state.session("alice")).status.assigned_cluster == "cluster1"
    await lab.check()


async def test_a_lock_left_by_a_crash_long_ago_starts_its_time_when_it_is_handed_out(lab: Lab) -> None:
    await lab.pool(1)
    await _locked(lab, "cluster1", await claimed(lab, "alice"))
    lab.clock.forward(30_000)
    session = await lab.state.assign("alice")
    assert session.status.expires_at == lab.clock() + timedelta(seconds=3600)
    await lab.check()


async def test_silence_is_counted_from_when_it_could_be_broken_not_from_a_lock_left_by_a_crash(lab: Lab) -> None:
    await lab.pool(1)
    promised = SessionSpec(requested_at=lab.clock(), wait_seconds=3000, heartbeat_timeout_seconds=60)
    alice = await claimed(lab, "alice", promised)
    await _locked(lab, "cluster1", alice)
    lab.clock.forward(120)
    assert await lab.state.serve_queue() == 1
    assert await lab.end_due() == []
    lab.clock.forward(60)
    assert [released.cluster_id for released in await lab.end_due()] == ["cluster1"]


async def test_an_assignment_cancelled_while_it_is_served_leaves_no_place_in_the_queue(
    lab: Lab, api_server: Simulator
) -> None:
    await lab.pool(1)
    api_server.faults.add(Fault(FaultKind.LATENCY, verbs=("update",), resource="pooledclusters", seconds=60))
    caller = asyncio.create_task(lab.state.assign("alice", wait_seconds=3000))
    await lab.watching.until(
        SESSIONS, "alice", "cks-pool", lambda found: found is not None or None, timeout=10, what="her place"
    )
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert await lab.state.sessions() == []


async def test_who_waits_for_a_session_longer_is_not_left_alone_by_who_asked_for_it_first(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    first = asyncio.create_task(lab.state.assign("alice", wait_seconds=0.5))
    await lab.watching.until(SESSIONS, "alice", "cks-pool", lambda found: found, timeout=10, what="the claim")
    longer = asyncio.create_task(lab.state.assign("alice", wait_seconds=60))
    with pytest.raises(NoClusterAvailable):
        await first
    await lab.reset("c1")
    assert (await longer).status.assigned_cluster == "c1"


async def test_who_waits_for_a_session_last_leaves_no_trace_of_it(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    await claimed(lab, "alice", SessionSpec(requested_at=lab.clock(), wait_seconds=0))
    lab.clock.forward(lab.settings.queue_grace / 2)
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice", wait_seconds=0.3)
    assert await lab.state.sessions() == []


async def test_a_claim_whose_answer_was_lost_leaves_no_trace_either(lab: Lab, api_server: Simulator) -> None:
    await lab.add("c1", "resetting")
    lost = api_server.faults.add(Fault(FaultKind.RESET, verbs=("create",), resource="sessions", count=1, after=True))
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice")
    assert lost.total == 1
    assert await lab.state.sessions() == []


@pytest.mark.parametrize("ends", ["cancelled", "in vain"])
async def test_a_wait_leaves_no_task_of_its_own_watches_behind(lab: Lab, ends: str) -> None:
    await lab.add("c1", "resetting")
    state = PoolState(lab.kube, lab.settings, now=lab.clock)
    before = {task.get_name() for task in asyncio.all_tasks()}
    waiting = asyncio.create_task(state.assign("alice", wait_seconds=0.3 if ends == "in vain" else 3000), name="waits")
    await lab.watching.until(SESSIONS, "alice", "cks-pool", lambda found: found, timeout=10, what="the claim")
    if ends == "cancelled":
        waiting.cancel()
    await asyncio.wait([waiting])
    own = {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("watch pool", "event"))}
    assert own <= before
    assert await lab.state.sessions() == []


async def test_a_lock_that_is_gone_does_not_keep_a_session_from_the_next_cluster(lab: Lab) -> None:
    await lab.pool(2)
    alice = await claimed(lab, "alice")
    async with lab.state.following():
        held = await _locked(lab, "cluster1", alice)
        view = lab.state.view
        while view.clusters["cluster1"].phase != "locked":
            with view.news() as news:
                await asyncio.wait_for(news.wait(), 10)
        await lab.begin("cluster1", OperationKind.RESET, "run", force=True)
        # The watch is behind: it still shows the lock.
        view._changed(PooledCluster, view.clusters, held.to_object(), True)
        assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster2"
    await lab.check()


async def test_two_helpers_lock_two_clusters_for_one_session_and_one_is_reset(lab: Lab) -> None:
    await lab.pool(2)
    session, handover = await claimed(lab, "alice"), Handover(lab.state._store)
    one = await _locked(lab, "cluster1", session)
    two = await _locked(lab, "cluster2", session)
    first, second = await asyncio.gather(handover.activate(session, one), handover.activate(session, two))
    assert first is not None
    assert second is not None
    assert first.status == second.status
    stats = await lab.state.stats()
    assert (stats.locked_clusters, stats.resetting_clusters) == (1, 1)
    await lab.check()


async def test_a_surplus_lock_left_by_a_crash_is_reset(lab: Lab) -> None:
    await lab.pool(2)
    session, handover = await claimed(lab, "alice"), Handover(lab.state._store)
    one = await _locked(lab, "cluster1", session)
    await _locked(lab, "cluster2", session)
    await handover.activate(session, one)
    await lab.state.serve_queue()
    assert (await lab.state.cluster("cluster2")).phase == "resetting"
    await lab.check()


async def test_a_lock_of_a_session_that_is_gone_is_reset_never_handed_on(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    await lab.kube.delete(SESSIONS, "alice", "cks-pool")
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice")
    assert (await lab.state.cluster("cluster1")).phase == "locked"
    await lab.state.serve_queue()
    assert (await lab.state.cluster("cluster1")).phase == "resetting"


async def test_bad_input_is_refused_before_anything_is_called(lab: Lab) -> None:
    for attempt in (
        lab.state.assign("Not A Name"),
        lab.state.assign("alice", ttl_seconds=5),
        lab.state.assign("alice", priority=1000),
        lab.state.extend("alice", 0),
        lab.state.cluster("NO"),
        lab.state.ensure_cluster(Pool(metadata=Metadata(name="default")), "a.b"),
    ):
        with pytest.raises(InvalidInput):
            await attempt
    assert lab.kube.counted() == []
    with pytest.raises(UnknownCluster):
        await lab.state.cluster("cluster9")


async def test_a_retry_after_a_long_while_still_gets_the_cluster_locked_for_it(lab: Lab) -> None:
    await lab.pool(2)
    made = SESSIONS.manifest("alice", "cks-pool", spec={"waitSeconds": 0})
    session = Session.from_object(await lab.kube.create(SESSIONS, made, "cks-pool"))
    await _locked(lab, "cluster2", session)
    lab.clock.forward(1800)
    assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster2"
    await lab.check()


async def test_an_abandoned_pending_session_found_by_a_retry_is_served(lab: Lab) -> None:
    await lab.pool(1)
    await lab.kube.create(SESSIONS, SESSIONS.manifest("alice", "cks-pool", spec={"waitSeconds": 0}), "cks-pool")
    lab.clock.forward(3600)
    session = await lab.state.assign("alice")
    assert session.status.assigned_cluster == "cluster1"


async def test_an_outage_never_looks_like_an_empty_pool(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with Simulator(controllers=False, kubeconfig=tmp_path / "kubeconfig"):
            lab = await stack.enter_async_context(Lab.open(tmp_path / "kubeconfig"))
            await lab.pool(1)
        lab.kube._patience = 0.1
        for attempt in (lab.state.assign("alice"), lab.state.stats(), lab.end_due(), lab.state.serve_queue()):
            with pytest.raises(ApiUnavailable):
                await attempt


async def test_a_cluster_cordoned_in_the_last_moment_is_not_locked(lab: Lab) -> None:
    await lab.pool(1)
    seen = await lab.state.cluster("cluster1")
    await lab.kube.patch(POOLED_CLUSTERS, "cluster1", {"spec": {"cordoned": True}}, "cks-pool")
    assert await Handover(lab.state._store).lock(seen, await claimed(lab, "alice")) is None
    assert (await lab.state.cluster("cluster1")).phase == "available"


async def claimed(lab: Lab, name: str, spec: SessionSpec | None = None) -> Session:
    """A session whose caller got no further than the claim."""
    session = Session(metadata=Metadata(name=name, namespace=lab.settings.namespace), spec=spec or SessionSpec())
    return await lab.state._store.create_session(session)


async def _locked(lab: Lab, cluster: str, session: Session) -> PooledCluster:
    """The cluster, locked for the session by somebody who got no further."""
    locked = await Handover(lab.state._store).lock(await lab.state.cluster(cluster), session)
    assert locked is not None
    return locked
