"""Benchmarks run, in tiny sizes; what they measure is for people to read, never for a test to judge."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys

import psutil
import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.hosts import names
from benchmarks.promises import held_twice, lateness
from benchmarks.reset import clusters_of
from benchmarks.usage import memory
from benchmarks.waits import TooLate, until
from pool.core.errors import ApiUnavailable
from pool.core.lifecycle import SessionPhase
from pool.core.sessions import Session, SessionStatus
from pool.work.reset import reset
from tests.pool.builders import at
from tests.pool.kubectl import needed as kubectl_needed

LONGER = {
    "scale": [pytest.mark.xdist_group("prefect-2"), pytest.mark.timeout(600)],
    "install": [pytest.mark.xdist_group("prefect-2"), pytest.mark.timeout(600), kubectl_needed],
}
"""Those that start a Prefect server, and wait for what takes a minute at any size."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONGER.get(name, [])) for name in NAMES])
def test_a_benchmark_runs_and_prints_its_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--quick"]) == 0
    assert "ratio" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["speed-of-light"])
    assert stopped.value.code == 2
    assert f"there are {', '.join(NAMES)}" in capsys.readouterr().err


def had(name: str, since: float, until: float | None, epoch: int, end: float = 60) -> Session:
    """A session that held c1 from `since` until `until`, which was to end after `end` seconds; not ended: None."""
    status = SessionStatus(
        phase=SessionPhase.ACTIVE if until is None else SessionPhase.EXPIRED,
        assigned_cluster="c1",
        cluster_lock_time=at(since),
        expires_at=at(end),
        ended_at=None if until is None else at(until),
        epoch=epoch,
    )
    return Session.model_validate({"metadata": {"name": name}, "status": status.model_dump(by_alias=True)})


def test_the_soak_finds_a_cluster_that_two_sessions_hold() -> None:
    assert held_twice([had("b", 70, None, 2), had("a", 0, 60, 1)]) == []
    for second in (had("b", 59, None, 2), had("b", 70, 80, 1)):
        assert held_twice([second, had("a", 0, 60, 1)]) == ["c1 was held by a and b at once"]
    assert held_twice([had("a", 0, None, 1), had("b", 70, None, 2)]) == ["c1 was held by a and b at once"]


def test_the_soak_counts_how_late_a_session_ended_while_the_host_answered() -> None:
    due = at(60).timestamp()
    assert lateness(had("a", 0, 61, 1), []) == 1
    assert lateness(had("a", 0, 100, 1), [(due + 5, due + 35)]) == 10
    assert lateness(had("a", 0, 100, 1), [(due - 30, due - 10), (due + 50, due + 90)]) == 40
    assert lateness(had("a", 0, None, 1), []) is None


async def test_a_wait_that_is_too_long_says_what_was_last_seen() -> None:
    async def refused() -> str:
        raise ApiUnavailable(503, "ServiceUnavailable", "etcd is full")

    async def never() -> str:
        return await asyncio.Future()

    async def found() -> str:
        return ""

    await until("it", found, timeout=1)
    with pytest.raises(TooLate, match=r"the pool: not within 0\.05 s; last seen: .*etcd is full"):
        await until("the pool", refused, timeout=0.05, pause=0.01)
    with pytest.raises(TooLate, match="no look was answered"):
        await until("the pool", never, timeout=0.01)


def test_of_children_that_end_while_their_memory_is_read_none_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    child = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    children = psutil.Process.children

    def listed_as_they_end(process: psutil.Process, *, recursive: bool) -> list[psutil.Process]:
        listed = children(process, recursive=recursive)
        child.kill()
        child.wait()
        return listed

    monkeypatch.setattr(psutil.Process, "children", listed_as_they_end)
    assert memory(os.getpid()) > 1


async def test_resets_side_by_side_leave_nothing_behind_though_some_are_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The simulator is a process of its own: every task of the loop is the pool's."""
    loop, before = asyncio.get_running_loop(), asyncio.all_tasks()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    gc.collect()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "asyncio"):
        async with clusters_of(3, 1000.0) as host:
            loop.set_debug(True)
            loop.slow_callback_duration = 60  # a machine with other work makes any callback slow
            resets = [asyncio.create_task(reset(host, name, run_id=f"run-{name}")) for name in names(3)]
            await asyncio.wait(resets, return_when=asyncio.FIRST_COMPLETED)
            for one in resets:
                one.cancel()
            await asyncio.wait(resets)
        assert any(not one.cancelled() for one in resets)
        for one in resets:
            assert one.cancelled() or one.result()
        gc.collect()
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert complaints == []
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
