"""Operations over HTTP: claims, heartbeats, takeovers, resets in place, failures, and what was seen of a guest."""

from __future__ import annotations

import asyncio

import pytest

from pool.core.clusters import ClusterCondition, ConditionType, OperationKind
from pool.core.errors import AttestationFailed, IllegalTransition, NotHolder, OperationInProgress, StaleOperation
from pool.core.lifecycle import ClusterPhase
from pool.core.resource import ConditionStatus
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool.builders import golden
from tests.pool.lab import ATTESTED, Lab

RESET, BOOTSTRAP, GOLDEN = OperationKind.RESET, OperationKind.BOOTSTRAP, OperationKind.GOLDEN


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
