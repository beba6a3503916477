"""The server's time from whole seconds: never further off than a round trip and a second, and soon much nearer."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.errors import ApiUnavailable, NotFound
from pool.kube.client import Kube
from pool.kube.clock import ServerClock
from pool.kube.credentials.config import find_access
from pool.kube.resources import NAMESPACES
from simulator.api.errors import ApiError as Refusal
from simulator.app import Simulator
from tests.pool.wire import Wire

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def date(of: datetime) -> str:
    return format_datetime(of, usegmt=True)


def heard(clock: ServerClock, true: datetime, sent: float, received: float, told: float | None = None) -> None:
    """An answer of a server whose clock shows `true` at the monotonic clock's 0, written at `told`."""
    written = true + timedelta(seconds=(sent + received) / 2 if told is None else told)
    clock.heard(date(written), sent, received)


def off(clock: ServerClock, true: datetime, moment: float) -> float:
    told = clock.at(moment)
    assert told is not None
    return (told - true).total_seconds() - moment


calls = st.tuples(st.floats(0, 5), st.floats(0, 3), st.floats(0, 1))


@given(st.lists(calls, min_size=1, max_size=30), st.floats(0, 1))
def test_the_servers_time_is_within_the_bounds_whatever_came_when(
    answers: list[tuple[float, float, float]], fraction: float
) -> None:
    clock, moment, true = ServerClock(), 0.0, NOON + timedelta(seconds=fraction)
    for pause, trip, share in answers:
        sent, received = moment + pause, moment + pause + trip
        heard(clock, true, sent, received, sent + share * trip)
        moment = received
        assert clock.bounds is not None
        least, most = clock.bounds
        assert least - 1e-5 <= true.timestamp() <= most + 1e-5
        assert most - least <= 1 + min(trip for _, trip, _ in answers[:1]) + 1e-5


def test_answers_all_through_a_second_tell_it_to_a_hundredth() -> None:
    clock = ServerClock()
    for number in range(100):
        heard(clock, NOON, number * 0.11, number * 0.11 + 0.005)
    assert abs(off(clock, NOON, 11.0)) < 0.01


@pytest.mark.parametrize("set_by", [86400, -86400, 5, -5])
def test_a_server_whose_clock_is_set_is_believed_at_once(set_by: int) -> None:
    clock = ServerClock()
    for number in range(50):
        heard(clock, NOON, number * 0.11, number * 0.11 + 0.005)
    heard(clock, NOON + timedelta(seconds=set_by), 60.0, 60.005)
    assert abs(off(clock, NOON + timedelta(seconds=set_by), 60.0)) < 0.6


def test_it_does_not_go_back_for_a_correction() -> None:
    clock = ServerClock()
    heard(clock, NOON + timedelta(seconds=0.01), 0.0, 0.005)
    first = clock.at(0.01)
    heard(clock, NOON, 0.98, 0.985)
    second = clock.at(0.015)
    assert first is not None
    assert second is not None
    assert first < second < first + timedelta(seconds=0.01)


def test_nothing_is_known_before_an_answer_and_nonsense_tells_nothing() -> None:
    clock = ServerClock()
    clock.heard("yesterday, or so", 0, 1)
    assert clock.at(1.0) is None


async def test_the_time_is_the_servers_however_far_off_this_machine_is(api_server: Simulator) -> None:
    api_server.clock.advance(days=3)
    async with Kube.connect(api_server.kubeconfig_path) as kube:
        assert abs(kube.now() - api_server.clock.now()) < timedelta(seconds=2)
        assert abs(kube.ahead - timedelta(days=3)) < timedelta(seconds=2)
        api_server.clock.advance(days=400)
        await kube.list(NAMESPACES)
        assert abs(kube.now() - api_server.clock.now()) < timedelta(seconds=2)


@pytest.mark.parametrize("code", [401, 404, 409, 422, 500])
async def test_refusals_tell_the_time_as_well(api_server: Simulator, wire: Wire, code: int) -> None:
    async with Kube.connect(api_server.kubeconfig_path) as kube:
        kube._patience = 0
        api_server.clock.advance(days=3)
        wire.refuse(Refusal(code, "Refused", "no"), verb="list")
        with pytest.raises(Exception, match="no"):
            await kube.list(NAMESPACES)
        assert abs(kube.now() - api_server.clock.now()) < timedelta(seconds=2)


async def test_a_connection_that_heard_nothing_knows_no_time(api_server: Simulator) -> None:
    async with Kube.using(find_access(api_server.kubeconfig_path)) as kube:
        with pytest.raises(ApiUnavailable, match="time"):
            kube.now()
        with pytest.raises(NotFound):
            await kube.get(NAMESPACES, "none")
        assert abs(kube.now() - api_server.clock.now()) < timedelta(seconds=2)


@pytest.mark.parametrize(("days", "said"), [(0, False), (2, True)])
async def test_a_machine_whose_clock_is_off_is_told_so_once(
    api_server: Simulator, caplog: pytest.LogCaptureFixture, days: int, said: bool
) -> None:
    api_server.clock.advance(days=days)
    with caplog.at_level(logging.WARNING, logger="pool.kube.client"):
        async with Kube.connect(api_server.kubeconfig_path) as kube:
            await kube.list(NAMESPACES)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == said
    assert not said or "2 days, 0:00:00 behind" in texts[0]
