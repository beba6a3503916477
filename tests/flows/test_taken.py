"""Who is silent: whose heartbeat was watched for the whole grace, without a break, and did not move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun

from flows.taken import Silence

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
GRACE, GAP = 45.0, 15.0


def run(worker: str | None) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="run", infrastructure_pid=worker)


def ended_after(
    seconds: float, lost: FlowRun, *, moves: bool = False, every: float = 5.0, pause_at: float = -1
) -> bool:
    """Whether the run counts as lost within so many seconds of looks; `pause_at`: then nobody looks for a minute."""
    silence, clock, heartbeat = Silence(GRACE, GAP), 1000.0, START
    for _ in range(int(seconds / every)):
        if silence.lost([lost], {"other": heartbeat}, clock, "own", []):
            return True
        clock += 60 if 0 <= pause_at - (clock - 1000) < every else every
        heartbeat += timedelta(seconds=every) if moves else timedelta()
    return False


def test_a_worker_that_says_nothing_for_the_grace_has_lost_its_runs() -> None:
    assert not ended_after(40, run("other"))
    assert ended_after(60, run("other"))


def test_one_whose_heartbeat_moves_has_not_whatever_its_clock_says() -> None:
    assert not ended_after(600, run("other"), moves=True)


def test_one_that_the_server_does_not_know_has() -> None:
    assert ended_after(60, run("never heard of"))


def test_a_run_that_says_nobodys_name_is_watched_for_itself() -> None:
    assert not ended_after(40, run(None))
    assert ended_after(60, run(None))


def test_a_watch_that_was_interrupted_begins_anew() -> None:
    assert not ended_after(60, run("other"), pause_at=40)


def test_an_own_run_that_does_not_say_so_yet_is_not() -> None:
    silence, own = Silence(GRACE, GAP), run(None)
    assert [silence.lost([own], {}, clock, "own", [own.id]) for clock in range(0, 100, 10)] == [[]] * 10


def test_an_own_run_that_is_not_under_way_is_lost_at_once() -> None:
    silence, own = Silence(GRACE, GAP), run("own")
    assert silence.lost([own], {}, 0.0, "own", [own.id]) == []
    assert silence.lost([own], {}, 1.0, "own", []) == [own]
