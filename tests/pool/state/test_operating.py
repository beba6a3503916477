"""Operations over HTTP: claims, heartbeats, takeovers, resets in place, failures, and the story they leave behind."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

import pytest

from pool.core.clusters import ClusterCondition, ConditionType, OperationKind
from pool.core.errors import (
    ApiUnavailable,
    AttestationFailed,
    IllegalTransition,
    InvalidInput,
    NoClusterAvailable,
    NotHolder,
    OperationInProgress,
    StaleOperation,
    UnknownCluster,
    UnknownPool,
)
from pool.core.lifecycle import ClusterPhase
from pool.core.resource import ConditionStatus
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import EVENTS, POOLED_CLUSTERS, POOLS, SESSIONS
from pool.kubevirt.cluster import pool_labels
from pool.state import PoolState, Transition, events
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.builders import golden
from tests.pool.lab import ATTESTED, CountingKube, Lab

RESET, BOOTSTRAP, GOLDEN = OperationKind.RESET, OperationKind.BOOTSTRAP, OperationKind.GOLDEN


async def test_a_clusters_whole_life_is_told_by_its_events(lab: Lab) -> None:
    state = lab.state
    await state.ensure_cluster(await state.pool(), "c1")
    async with state.operation("c1", BOOTSTRAP, "boot-run"):
        pass
    async with state.operation("c1", GOLDEN, "golden-run") as work:
        await work.record_golden(golden(), "both snapshots verified")
        await work.finish(attested=ATTESTED, reason="golden snapshots taken")
    await state.assign("alice")
    await state.release("alice")
    async with state.operation("c1", RESET, "reset-run") as work:
        await work.finish(attested=ATTESTED)
    assert await lab.events("c1") == [
        "creating: joined the pool, epoch 0",
        "creating -> available: golden snapshots taken (run golden-run), epoch 0",
        "available -> locked: assigned, session alice, epoch 1",
        "locked -> resetting: released by its owner, session alice, epoch 1",
        "resetting -> available: reset done (run reset-run), epoch 1",
    ]
    await lab.check()


async def test_whoever_listens_is_told_every_transition(lab: Lab) -> None:
    told: list[Transition] = []

    async def listen(transition: Transition) -> None:
        told.append(transition)

    state = PoolState(lab.kube, lab.settings, now=lab.clock, events=listen)
    await lab.add("c1")
    await state.assign("alice")
    assert [(t.cluster.name, t.before, t.to, t.at) for t in told] == [("c1", "available", "locked", lab.clock())]


async def test_an_event_that_takes_too_long_is_given_up_with_the_connection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "DRAIN_SECONDS", 0.05)
    told = asyncio.Event()

    async def listen(_transition: Transition) -> None:
        told.set()
        await asyncio.Event().wait()

    await lab.add("c1")
    before = asyncio.all_tasks()
    async with aclosing(PoolState(lab.kube, lab.settings, now=lab.clock, events=listen)) as state:
        await state.assign("alice")
        await told.wait()
    assert {task for task in asyncio.all_tasks() - before if "event" in task.get_name()} == set()
    assert "1 events are not written" in caplog.text


async def test_an_event_that_cannot_be_written_is_logged_and_fails_nothing(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    class NoEvents(CountingKube):
        async def create(self, resource: object, obj: Object, namespace: str | None = None) -> Object:
            if resource is EVENTS:
                raise ApiUnavailable(503, "ServiceUnavailable", "etcd is full")
            return await super().create(resource, obj, namespace)  # type: ignore[arg-type]

    lab.kube.__class__ = NoEvents
    await lab.add("c1")
    with caplog.at_level(logging.WARNING, "pool.state"):
        assert (await lab.state.assign("alice")).phase == "Active"
    assert "no event for c1 available -> locked" in caplog.text


async def test_ensuring_a_cluster_twice_adopts_it_with_its_pools_identity(lab: Lab) -> None:
    pool = await lab.state.pool()
    first = await lab.state.ensure_cluster(pool, "c1")
    assert first.phase == "creating"
    assert (first.spec.pool, first.spec.namespace) == ("default", "c1")
    assert first.metadata.labels == {"cks.io/pool": "default", "cks.io/pool-uid": pool.metadata.uid}
    assert first.metadata.finalizers == ["cks.io/teardown"]
    lab.clock.forward(9)
    assert await lab.state.ensure_cluster(pool, "c1") == first


async def test_another_pools_cluster_or_nobodys_is_refused_with_the_cure(lab: Lab) -> None:
    ours = await lab.state.pool()
    await lab.state.ensure_cluster(ours, "c1")
    another = ours.changed(metadata=ours.metadata.model_copy(update={"uid": "of-an-earlier-pool"}))
    spec = {"pool": "default", "namespace": "c2"}
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c2", "cks-pool", spec=spec))
    for pool, name in ((another, "c1"), (ours, "c2"), (await lab.state.ensure_pool("other"), "c1")):
        before = await lab.state.cluster(name)
        with pytest.raises(
            InvalidInput, match=f"cluster {name} is not of pool .*kubectl -n cks-pool delete pcl {name}"
        ):
            await lab.state.ensure_cluster(pool, name)
        assert await lab.state.cluster(name) == before


async def test_a_cluster_that_lives_in_another_namespace_is_refused(lab: Lab) -> None:
    pool = await lab.state.pool()
    spec, labels = {"pool": pool.name, "namespace": "elsewhere"}, pool_labels(pool)
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c1", "cks-pool", labels=labels, spec=spec))
    with pytest.raises(InvalidInput, match="namespace c1, got elsewhere"):
        await lab.state.ensure_cluster(pool, "c1")


async def test_no_cluster_joins_a_pool_that_is_being_removed(lab: Lab) -> None:
    await lab.kube.delete(POOLS, "default", "cks-pool")
    with pytest.raises(IllegalTransition, match="pool default is being removed"):
        await lab.state.ensure_cluster(await lab.state.pool(), "c1")
    with pytest.raises(UnknownPool, match="no pool none"):
        await lab.state.pool("none")


async def test_two_runs_that_begin_at_once_one_gets_it(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    begun = await asyncio.gather(*(lab.begin("c1", RESET, f"run{n}") for n in range(8)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in begun) == 1
    assert sum(isinstance(one, OperationInProgress) for one in begun) == 7


async def test_a_silent_run_is_taken_over_and_its_next_write_is_stale_and_changes_nothing(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    old = await lab.begin("c1", RESET, "old")
    await lab.silence()
    new = await lab.begin("c1", RESET, "new")
    assert new.attempt == 1
    assert (await lab.state.cluster("c1")).status.takeovers == 1
    before = await lab.state.cluster("c1")
    for write in (
        old.heartbeat(),
        old.finish(attested=ATTESTED),
        old.fail("Late", "too late"),
        old.record_golden(golden(2)),
        old.update(control_plane_vm="other"),
        old.remove(),
    ):
        with pytest.raises(StaleOperation):
            await write
    assert await lab.state.cluster("c1") == before
    assert (await new.finish(attested=ATTESTED)).phase == "available"


async def test_a_run_carried_out_twice_is_its_last_beginners(lab: Lab) -> None:
    """It is run again while its first process is only frozen: the run's ID is the same, the process is not."""
    await lab.add("c1")
    first = await lab.begin("c1", RESET, "run")
    second = await lab.begin("c1", RESET, "run")
    with pytest.raises(StaleOperation, match="carried out twice"):
        await first.finish(attested=ATTESTED)
    with pytest.raises(StaleOperation):
        await first.heartbeat()
    after = await second.finish(attested=ATTESTED)
    assert (after.phase, after.status.takeovers) == (ClusterPhase.AVAILABLE, 0)


async def test_a_beginning_whose_answer_was_lost_is_found_done(lab: Lab, api_server: Simulator) -> None:
    await lab.add("c1")
    lost = api_server.faults.add(
        Fault(FaultKind.RESET, verbs=("update",), resource="pooledclusters", count=1, after=True)
    )
    work = await lab.begin("c1", RESET, "run")
    assert lost.total == 1
    assert (await work.finish(attested=ATTESTED)).phase is ClusterPhase.AVAILABLE


async def test_heartbeats_keep_a_run_alive(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    work = await lab.begin("c1", RESET, "old")
    for _ in range(5):
        lab.clock.forward(lab.settings.operation_grace - 1)
        await work.heartbeat()
    with pytest.raises(OperationInProgress):
        await lab.begin("c1", RESET, "new")


async def test_a_running_operation_beats_by_itself(lab: Lab) -> None:
    state = lab.another(settings=Settings(operation_heartbeat=0.02), watching=None)
    await lab.add("c1", "resetting")
    async with state.operation("c1", RESET, "run"):
        lab.clock.forward(30)
        assert await lab.watching.until(POOLED_CLUSTERS, "c1", "cks-pool", _beaten, timeout=10, what="a beat")


def _beaten(obj: Object | None) -> bool | None:
    operation = (obj or {}).get("status", {}).get("operation") or {}
    return True if operation.get("heartbeatAt") != operation.get("startedAt") else None


async def test_an_overtaken_run_is_stopped_loudly_while_it_works(lab: Lab) -> None:
    state = lab.another(settings=Settings(operation_heartbeat=0.02), watching=None)
    await lab.add("c1", "resetting")

    async def work() -> None:
        async with state.operation("c1", RESET, "old"):
            await asyncio.Event().wait()

    running = asyncio.create_task(work())
    await lab.watching.until(POOLED_CLUSTERS, "c1", "cks-pool", _operation, timeout=10, what="the claim")
    # Beats go by the same clock: the takeover needs a moment in which it has just moved on.
    for _ in range(100):
        await lab.silence()
        try:
            await lab.begin("c1", RESET, "new")
            break
        except OperationInProgress:
            continue
    with pytest.raises(StaleOperation, match="run old does not own c1"):
        async with asyncio.timeout(10):
            await running


def _operation(obj: Object | None) -> bool | None:
    return True if (obj or {}).get("status", {}).get("operation") else None


async def test_a_body_that_raises_fails_the_operation_with_its_words(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    with pytest.raises(RuntimeError):
        async with lab.state.operation("c1", RESET, "run"):
            raise RuntimeError("disk full")
    failure = (await lab.state.cluster("c1")).status.failure
    assert failure is not None
    assert (failure.reason, failure.message, failure.attempts) == ("RuntimeError", "disk full", 1)


async def test_a_body_that_is_cancelled_leaves_the_operation_to_be_taken_over(lab: Lab) -> None:
    await lab.add("c1", "resetting")

    async def work() -> None:
        async with lab.state.operation("c1", RESET, "old"):
            await asyncio.Event().wait()

    running = asyncio.create_task(work())
    await lab.watching.until(POOLED_CLUSTERS, "c1", "cks-pool", _operation, timeout=10, what="the claim")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await lab.silence()
    await lab.begin("c1", RESET, "new")
    assert (await lab.state.cluster("c1")).status.takeovers == 1


async def test_attempts_used_up_end_in_error_with_the_cause_and_a_repair_brings_it_back(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    for attempt in (1, 2):
        work = await lab.begin("c1", RESET, f"run{attempt}")
        assert work.attempt == attempt
        await work.fail("RestoreFailed", "PVC never bound")
    assert (await lab.state.cluster("c1")).phase == "error"
    assert (await lab.events("c1"))[-1].startswith("resetting -> error: reset failed, RestoreFailed: PVC never bound")
    assert (await lab.reset("c1", "repair")).phase == "available"


async def test_a_reset_in_place_keeps_the_session_with_a_new_epoch(lab: Lab) -> None:
    await lab.pool(1)
    session = await lab.state.assign("alice")
    with pytest.raises(NotHolder):
        await lab.begin("cluster1", RESET, "run", session_id="bob")
    async with lab.state.operation("cluster1", RESET, "run", session_id="alice", epoch=1) as work:
        assert (await lab.state.cluster("cluster1")).phase == "resetting"
        await lab.check()
        await work.finish(attested=ATTESTED)
    after = await lab.state.session("alice")
    assert (after.status.assigned_cluster, after.status.epoch) == ("cluster1", 2)
    assert after.status.expires_at == session.status.expires_at
    with pytest.raises(NotHolder):
        await lab.state.release("alice", epoch=1)
    await lab.check()


@pytest.mark.parametrize("leaves", ["release", "expire", "deleted"])
async def test_a_session_that_leaves_during_its_reset_in_place_voids_it_and_the_cluster_waits_for_another(
    lab: Lab, leaves: str
) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=60)
    work = await lab.begin("cluster1", RESET, "in-place", session_id="alice")
    lab.clock.forward(60)
    if leaves == "deleted":
        await lab.kube.delete(SESSIONS, "alice", "cks-pool")
        await lab.state.serve_queue()
    else:
        released = await getattr(lab.state, leaves)("alice")
        assert (released.cluster_id, released.epoch) == ("cluster1", 1), "so that whoever asked starts its reset"
    with pytest.raises(StaleOperation):
        await work.finish(attested=ATTESTED)
    left = await lab.state.cluster("cluster1")
    assert (left.phase, left.status.clean, left.status.operation) == ("resetting", False, None)
    assert (await lab.reset("cluster1", "of-its-own")).status.clean
    await lab.check()


async def test_a_used_cluster_is_not_clean_until_it_is_attested(lab: Lab) -> None:
    await lab.pool(1)
    assert (await lab.state.cluster("cluster1")).status.clean
    await lab.state.assign("alice")
    seen = [await lab.state.cluster("cluster1")]
    async with lab.state.operation("cluster1", RESET, "in-place", session_id="alice") as work:
        seen += [await lab.state.cluster("cluster1"), await work.finish(attested=ATTESTED)]
    await lab.state.release("alice")
    work = await lab.begin("cluster1", RESET, "run")
    seen += [await lab.state.cluster("cluster1"), await work.finish()]
    assert not any(cluster.status.clean for cluster in seen)
    assert (await lab.reset("cluster1", "again")).status.clean


async def test_a_reset_in_place_that_fails_for_good_ends_the_session(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    work = await lab.begin("cluster1", RESET, "run", session_id="alice")
    assert (await work.fail("RestoreFailed", "no", final=True)).phase == "error"
    session = await lab.state.session("alice")
    assert (session.phase, session.status.message) == ("Released", "its cluster failed: RestoreFailed")
    await lab.check()


async def test_a_locked_cluster_is_left_alone_unless_forced(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    for kind in set(OperationKind) - {OperationKind.TEARDOWN}:
        with pytest.raises(IllegalTransition, match="locked by session alice"):
            await lab.begin("cluster1", kind, "run")
    await lab.begin("cluster1", RESET, "run", force=True)
    session = await lab.state.session("alice")
    assert (session.phase, session.status.message) == ("Released", "taken back by an operator")
    await lab.check()


async def test_nothing_becomes_available_without_its_proof(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    work = await lab.begin("c1", RESET, "run")
    with pytest.raises(AttestationFailed):
        await work.finish(attested={ConditionType.GUEST_HEALTHY: "readyz"})
    for fields in ({"phase": ClusterPhase.AVAILABLE}, {"clean": True}, {"operation": None}):
        with pytest.raises(TypeError):
            await work.update(**fields)
    assert (await lab.state.cluster("c1")).phase == "resetting"


async def test_a_cluster_that_becomes_available_goes_to_who_waits(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    waiting = asyncio.create_task(lab.state.assign("alice", wait_seconds=20))
    async with lab.state.operation("c1", RESET, "run") as work:
        await work.finish(attested=ATTESTED)
    assert (await waiting).status.assigned_cluster == "c1"


async def test_a_teardown_ends_with_the_cluster_gone(lab: Lab) -> None:
    await lab.state.delete_cluster(await lab.add("c1"))
    async with lab.state.operation("c1", OperationKind.TEARDOWN, "run") as work:
        await work.remove()
    with pytest.raises(UnknownCluster):
        await lab.state.cluster("c1")


@pytest.mark.parametrize("phase", ["creating", "available", "resetting", "error"])
async def test_a_deleted_cluster_is_never_free_and_only_torn_down(lab: Lab, phase: str) -> None:
    await lab.add("c1", phase)
    deleted = await lab.delete("c1")
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("alice")
    for kind in set(OperationKind) - {OperationKind.TEARDOWN}:
        with pytest.raises(IllegalTransition, match="c1 is being removed"):
            await lab.begin("c1", kind, "run")
    assert await lab.state.cluster("c1") == deleted
    await (await lab.begin("c1", OperationKind.TEARDOWN, "run")).remove()
    assert await lab.state.clusters() == []


async def test_a_cluster_that_is_wanted_is_not_torn_down(lab: Lab) -> None:
    await lab.add("c1")
    with pytest.raises(IllegalTransition, match=r"not being removed.*kubectl -n cks-pool delete pcl c1"):
        await lab.begin("c1", OperationKind.TEARDOWN, "run")


async def test_a_teardown_that_fails_leaves_a_cluster_that_can_only_be_torn_down(lab: Lab) -> None:
    await lab.add("c1")
    await lab.delete("c1")
    for attempt in (1, 2):
        work = await lab.begin("c1", OperationKind.TEARDOWN, f"run{attempt}")
        await work.fail("WaitTimeout", "the namespace does not go")
    broken = await lab.state.cluster("c1")
    assert (broken.phase, broken.removing) == ("error", True)
    for kind in (RESET, OperationKind.REBUILD):
        with pytest.raises(IllegalTransition, match="being removed"):
            await lab.begin("c1", kind, "run")
    await (await lab.begin("c1", OperationKind.TEARDOWN, "run3")).remove()
    assert await lab.state.clusters() == []


async def test_a_deleted_cluster_stays_its_sessions_until_that_ends_and_says_that_it_goes(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    await lab.delete("cluster1")
    assert (await lab.state.extend("alice", 60)).expires_at
    with pytest.raises(IllegalTransition, match="locked by session alice"):
        await lab.begin("cluster1", OperationKind.TEARDOWN, "run")
    released = await lab.state.release("alice")
    assert (released.cluster_id, released.removing) == ("cluster1", True)
    await (await lab.begin("cluster1", OperationKind.TEARDOWN, "run")).remove()
    assert await lab.state.clusters() == []


async def test_a_cluster_that_changed_while_it_was_let_go_is_not_let_go(lab: Lab) -> None:
    await lab.add("c1")
    await lab.delete("c1")
    work = await lab.begin("c1", OperationKind.TEARDOWN, "old")
    await lab.silence()
    await lab.begin("c1", OperationKind.TEARDOWN, "new")
    with pytest.raises(StaleOperation):
        await work.remove()
    assert (await lab.state.cluster("c1")).removing


async def test_deleting_a_cluster_without_the_finalizer_keeps_it_until_it_is_torn_down(lab: Lab) -> None:
    spec = {"pool": "default", "namespace": "c2"}
    await lab.kube.create(POOLED_CLUSTERS, POOLED_CLUSTERS.manifest("c2", "cks-pool", spec=spec))
    await lab.state.delete_cluster(await lab.state.cluster("c2"))
    assert (await lab.state.cluster("c2")).removing


async def test_a_health_check_is_noted_whoever_holds_the_cluster(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    lab.clock.forward(9)
    condition = ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=ConditionStatus.FALSE,
        reason="NodeNotReady",
        message="wk is not Ready",
        last_transition_time=lab.clock(),
    )
    after = await lab.state.set_condition("cluster1", condition)
    assert after.status.last_health_check == lab.clock()
    assert after.status.condition(ConditionType.GUEST_HEALTHY) == condition
    await lab.check()


async def test_what_was_seen_of_a_guest_is_not_said_of_the_clean_one_after_its_reset(lab: Lab) -> None:
    seen = await lab.add("cluster1", "resetting")
    await lab.reset("cluster1")
    ill = ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=ConditionStatus.FALSE,
        reason="GuestUnhealthy",
        message="wk is not Ready",
        last_transition_time=lab.clock(),
    )
    after = await lab.state.set_condition("cluster1", ill, seen=seen)
    found = after.status.condition(ConditionType.GUEST_HEALTHY)
    assert found is not None
    assert found.status is ConditionStatus.TRUE
