"""Operations: from which phase they begin, who owns a cluster, how they end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pool.core.clusters import ConditionType, OperationKind, Outage, PooledCluster
from pool.core.errors import (
    AttestationFailed,
    IllegalTransition,
    NotHolder,
    OperationInProgress,
    StaleOperation,
)
from pool.core.lifecycle import TRANSITIONS, ClusterPhase
from pool.core.operation_rules import (
    BEGINS,
    Ownership,
    Request,
    begun,
    failed,
    finished,
    interrupted,
    owned,
    unlocked,
    with_condition,
    with_golden,
)
from pool.core.queue import is_free
from tests.pool.builders import T0, at, cluster, golden, operation, unhealthy

ALL = {kind: f"{kind} seen" for kind in ConditionType}
KINDS_AND_PHASES = [(kind, phase) for kind in OperationKind for phase in ClusterPhase]


def begin(
    there: PooledCluster,
    kind: str = "reset",
    run: str = "run2",
    *,
    now: float = 0,
    word: str = "",
    silent: bool = False,
    **request: Any,
) -> PooledCluster:
    return begun(there, Request(OperationKind(kind), run, **request), at(now), word=word, silent=silent)


def deleted(there: PooledCluster) -> PooledCluster:
    return there.changed(metadata=there.metadata.model_copy(update={"deletion_timestamp": T0}))


def owner(there: PooledCluster) -> Ownership:
    works = there.status.operation
    assert works is not None
    return Ownership(there.name, works.kind, works.run_id, works.word, there.status.epoch, works.attempt)


@pytest.mark.parametrize(("kind", "phase"), KINDS_AND_PHASES)
def test_operations_begin_in_their_phases_only_and_never_leave_a_cluster_assignable(
    kind: OperationKind, phase: ClusterPhase
) -> None:
    there = cluster("c1", phase)
    if kind is OperationKind.TEARDOWN:
        there = deleted(there)
    if (kind, phase) in BEGINS:
        after = begin(there, kind)
        assert after.phase is BEGINS[kind, phase]
        assert not after.status.clean
        assert after.phase not in ("available", "locked")
        assert after.phase is phase or (phase, after.phase) in TRANSITIONS
    else:
        with pytest.raises(IllegalTransition):
            begin(there, kind)


@pytest.mark.parametrize("kind", OperationKind)
def test_a_locked_cluster_is_taken_by_force_only(kind: OperationKind) -> None:
    held = cluster("c1", "locked", assigned_session="s")
    if kind is OperationKind.TEARDOWN:
        held = deleted(held)
    for there in (held, held.with_status(phase="resetting", operation=operation(beat=-60))):
        if kind is not OperationKind.RESET or there is held:
            with pytest.raises(IllegalTransition, match="locked by session s"):
                begin(there, kind, silent=True)


def test_force_takes_the_cluster_from_its_session() -> None:
    after = begin(cluster("c1", "locked", assigned_session="s"), force=True)
    assert (after.phase, after.status.assigned_session) == ("resetting", None)


def test_force_takes_it_only_from_the_holder_that_was_seen() -> None:
    held = cluster("c1", "locked", assigned_session="s", epoch=4)
    assert begin(held, force=True, epoch=4).status.assigned_session is None
    with pytest.raises(NotHolder, match="held by session s at epoch 4"):
        begin(held, force=True, epoch=3)
    assert begin(cluster("c1", "available", epoch=4), force=True, epoch=3).phase is ClusterPhase.RESETTING


def test_a_reset_in_place_keeps_the_session_and_gives_it_a_new_epoch() -> None:
    held = cluster("c1", "locked", assigned_session="s", epoch=4)
    during = begin(held, session_id="s", epoch=4)
    assert (during.phase, during.status.assigned_session, during.status.epoch) == ("resetting", "s", 4)
    after = finished(during, owner(during), ALL, at(30))
    assert (after.phase, after.status.assigned_session, after.status.epoch) == ("locked", "s", 5)
    assert not after.status.clean


@pytest.mark.parametrize(("session_id", "epoch"), [("t", None), ("t", 4), ("s", 3)])
def test_only_the_holder_resets_in_place(session_id: str, epoch: int | None) -> None:
    with pytest.raises(NotHolder):
        begin(cluster("c1", "locked", assigned_session="s", epoch=4), session_id=session_id, epoch=epoch)


@pytest.mark.parametrize("beat", [-86400, -60, 0, 86400])
def test_a_run_is_taken_over_if_it_is_silent_and_not_else_whatever_its_heartbeat_says(beat: float) -> None:
    busy = cluster("c1", "resetting", operation=operation(run="run1", beat=beat))
    with pytest.raises(OperationInProgress, match="run1"):
        begin(busy)
    after = begin(busy, silent=True)
    assert after.status.operation is not None
    assert (after.status.operation.run_id, after.status.operation.heartbeat_at) == ("run2", T0)
    with pytest.raises(StaleOperation, match="run1 does not own c1"):
        owned(after, owner(busy))


def test_takeovers_are_counted_and_are_no_failures_however_many() -> None:
    there = begin(cluster("c1", "creating"), "bootstrap", run="deploy0")
    for deploy in range(1, 11):
        there = begin(there, "bootstrap", run=f"deploy{deploy}", silent=True)
        assert there.status.operation is not None
        assert (there.status.takeovers, there.status.operation.attempt, there.status.failure) == (deploy, 1, None)
    once = failed(there, owner(there), "VMFailed", "no room", at(1), last=2)
    assert once.status.failure is not None
    assert (once.phase, once.status.failure.attempts, once.status.takeovers) == ("creating", 1, 10)
    again = begin(once, "bootstrap", run="another", now=2)
    assert finished(again, owner(again), None, at(3)).status.takeovers == 0


def test_the_same_run_begins_again_without_a_new_attempt() -> None:
    busy = cluster("c1", "resetting", operation=operation(run="run2"))
    after = begin(busy, now=5)
    assert after.status.operation == operation(run="run2", beat=5)
    assert after.status.takeovers == 0


def test_the_same_run_begun_again_makes_its_first_beginning_stale() -> None:
    first = begin(cluster("c1", "resetting"), word="first")
    second = begin(first, word="second")
    with pytest.raises(StaleOperation, match="carried out twice"):
        owned(second, owner(first))
    assert owned(second, owner(second)).word == "second"


def test_an_epoch_that_moved_on_makes_the_run_stale() -> None:
    busy = cluster("c1", "resetting", operation=operation())
    with pytest.raises(StaleOperation):
        owned(busy.with_status(epoch=1), owner(busy))


def test_a_cluster_becomes_available_only_with_all_the_evidence() -> None:
    busy = cluster("c1", "resetting", operation=operation(), golden=golden())
    after = finished(busy, owner(busy), ALL, at(42))
    assert after.phase is ClusterPhase.AVAILABLE
    assert after.status.clean
    assert after.status.last_reset == after.status.last_health_check == at(42)
    assert after.status.last_reset_seconds == 42
    assert {c.type: c.message for c in after.status.conditions} == ALL
    for kind in ConditionType:
        with pytest.raises(AttestationFailed, match=kind):
            finished(busy, owner(busy), {k: v for k, v in ALL.items() if k is not kind}, at(42))
    with pytest.raises(AttestationFailed, match="golden generation"):
        finished(busy.with_status(golden=None), owner(busy), ALL, at(42))


def test_without_evidence_a_finished_cluster_stays_in_its_phase() -> None:
    busy = cluster("c1", "creating", operation=operation("bootstrap"))
    after = finished(busy, owner(busy), None, at(42))
    assert (after.phase, after.status.operation) == ("creating", None)


def test_failed_attempts_add_up_to_an_error_and_success_forgets_them() -> None:
    there = begin(cluster("c1", "resetting", golden=golden()))
    once = failed(there, owner(there), "RestoreFailed", "no space\nleft", at(1), last=2)
    assert (once.phase, once.status.operation) == ("resetting", None)
    again = begin(once, run="run3", now=2)
    assert again.status.operation is not None
    assert again.status.operation.attempt == 2
    over = failed(again, owner(again), "RestoreFailed", "still no space", at(3), last=2)
    assert over.phase is ClusterPhase.ERROR
    assert over.status.failure is not None
    assert (over.status.failure.attempts, over.status.failure.since) == (2, at(1))
    repaired = begin(over, run="run4", now=4)
    assert repaired.status.operation is not None
    assert repaired.status.operation.attempt == 1
    assert finished(repaired, owner(repaired), ALL, at(5)).status.failure is None
    broken = failed(repaired, owner(repaired), "RestoreFailed", "again no space", at(6), last=2)
    assert broken.phase is ClusterPhase.RESETTING


def test_an_outage_is_no_failure_however_long_it_lasts_and_forgets_none_and_is_counted_apart() -> None:
    there = begin(cluster("c1", "resetting", golden=golden()))
    there = failed(there, owner(there), "RestoreFailed", "no space", at(1), last=2)
    for hour in range(1, 11):
        there = begin(there, run=f"run{hour}", now=3600 * hour)
        there = interrupted(there, owner(there), "host:6443 does not\nanswer", at(3600 * hour + 1))
        assert (there.phase, there.status.operation) == ("resetting", None)
    assert there.status.outage == Outage(
        message="host:6443 does not answer", since=at(3601), last_time=at(36001), count=10
    )
    assert there.status.failure is not None
    assert there.status.failure.attempts == 1
    last = begin(there, run="last", now=40000)
    assert failed(last, owner(last), "RestoreFailed", "no space", at(40001), last=2).phase is ClusterPhase.ERROR
    assert finished(last, owner(last), ALL, at(40001)).status.outage is None


def test_a_rebuild_forgets_the_golden_generation() -> None:
    assert begin(cluster("c1"), "rebuild").status.golden is None


def test_what_was_used_never_becomes_golden() -> None:
    with pytest.raises(IllegalTransition):
        begin(cluster("c1", "resetting"), "golden")
    with pytest.raises(IllegalTransition):
        begin(cluster("c1", "resetting", operation=operation("reset")), "golden", silent=True)
    refresh = begin(cluster("c1"), "golden", run="run1")
    assert begin(refresh, "golden", silent=True).phase is ClusterPhase.RESETTING


def test_after_a_rebuild_began_only_a_rebuild_goes_on_for_old_disks_may_be_there() -> None:
    begun_once = begin(cluster("c1", "error"), "rebuild")
    broken = failed(begun_once, owner(begun_once), "VMFailed", "not removed", at(1), last=2)
    for kind in ("bootstrap", "golden"):
        with pytest.raises(IllegalTransition, match="half rebuilt"):
            begin(broken, kind)
    again = begin(broken, "rebuild", now=2)
    done = finished(again, owner(again), None, at(3))
    assert begin(done, "golden").phase is ClusterPhase.CREATING


def test_golden_generations_only_go_forward() -> None:
    after = with_golden(cluster("c1", golden=golden(2)), golden(3), "both ready", T0)
    assert after.status.golden == golden(3)
    with pytest.raises(IllegalTransition):
        with_golden(after, golden(1), "", T0)


def test_a_conditions_time_is_that_of_its_last_change() -> None:
    once = with_condition(cluster("c1"), unhealthy("first"))
    again = with_condition(once, unhealthy("second").changed(last_transition_time=at(9)))
    (condition,) = again.status.conditions
    assert (condition.message, condition.last_transition_time) == ("second", T0)


STEPS = st.lists(st.sampled_from(["begin", "in place", "force", "finish", "attest", "fail", "final", "lock", "leave"]))


@example(steps=["lock", "in place", "leave", "attest"], kinds=[OperationKind.RESET])
@given(steps=STEPS, kinds=st.lists(st.sampled_from(list(OperationKind)), min_size=1))
def test_a_cluster_is_clean_only_if_nobody_could_use_it_since_the_operation_that_attested_it_began(
    steps: list[str], kinds: list[OperationKind]
) -> None:
    there, used, now = cluster("c1"), False, 0.0
    for number, step in enumerate(steps):
        now += 100
        held = there.status.assigned_session is not None
        works = there.status.operation
        try:
            if step == "lock" and is_free(there):
                there = cluster("c1", "locked", assigned_session="s").with_status(epoch=there.status.epoch + 1)
            elif step == "leave" and held:
                there = unlocked(there, ClusterPhase.RESETTING)
            elif step in ("begin", "in place", "force"):
                kind = OperationKind.RESET if step == "in place" else kinds[number % len(kinds)]
                whose = {"session_id": "s"} if step == "in place" else {}
                there = begin(there, kind, f"run{number}", now=now, silent=True, force=step == "force", **whose)
                used = used and held and there.status.assigned_session is not None
            elif works is not None and step in ("finish", "attest"):
                there = finished(there, owner(there), ALL if step == "attest" else None, at(now))
            elif works is not None and step in ("fail", "final"):
                there = failed(there, owner(there), "Trouble", "some", at(now), last=0 if step == "final" else 3)
        except (AttestationFailed, IllegalTransition, NotHolder, OperationInProgress):
            continue
        # Whoever holds it may use it, also while a reset in place restores it.
        used = used or there.status.assigned_session is not None
        assert there.status.clean == (there.phase is ClusterPhase.AVAILABLE)
        assert not (there.status.clean and used)
