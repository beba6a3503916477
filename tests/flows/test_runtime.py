"""The worker's connection to the host cluster: one for all runs, kept open between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import runtime
from flows.runtime import connected, standing_by
from pool.kube.resources import POOLS
from pool.work.upkeep.acting import Work
from pool.work.upkeep.standby import StandBy
from simulator.app import Simulator
from tests.pool.lab import Lab


@pytest.fixture
def kubeconfig(api_server: Simulator, prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The simulated host, for whatever connects; what it tells of pools goes to the session's Prefect server."""
    assert api_server.kubeconfig_path is not None
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(api_server.kubeconfig_path))
    return api_server.kubeconfig_path


async def test_runs_one_after_the_other_share_a_connection_that_is_kept(kubeconfig: Path) -> None:
    async with Lab.open(kubeconfig) as lab:
        await lab.pool(2)
        async with standing_by(unasked, unstarted):
            async with connected() as first, first.state.following():
                """Whoever stands by has read the pool now."""
            async with connected() as second:
                assert second is first
    async with connected() as third:
        assert third is not first


async def test_a_pool_that_is_not_made_yet_is_followed_as_soon_as_it_is(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "STAND_BY_AGAIN", 0.01)
    with said("not following the pools") as tried, said("following the pools of cks-pool") as follows:
        async with standing_by(unasked, unstarted):
            await asyncio.wait_for(tried.wait(), 10)
            async with Lab.open(kubeconfig):
                await asyncio.wait_for(follows.wait(), 10)


async def test_a_host_that_cannot_be_reached_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", "/nowhere/kubeconfig")
    monkeypatch.setattr(runtime, "STAND_BY_AGAIN", 0.01)
    with said("/nowhere/kubeconfig") as tried:
        async with standing_by(unasked, unstarted):
            await asyncio.wait_for(tried.wait(), 10)


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), asyncio.CancelledError("of what it awaited")])
async def test_whatever_ends_standing_by_does_not_end_it_for_good(
    fault: BaseException, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "STAND_BY_AGAIN", 0.01)
    tries, again = [], asyncio.Event()

    async def breaks(_self: StandBy) -> None:
        tries.append(1)
        if len(tries) > 1:
            again.set()
        raise fault

    monkeypatch.setattr(StandBy, "run", breaks)
    async with Lab.open(kubeconfig), standing_by(unasked, unstarted):
        await asyncio.wait_for(again.wait(), 10)


async def test_maintenance_of_a_pool_that_somebody_made_is_started_once_by_whoever_stands_by(kubeconfig: Path) -> None:
    asked: list[str] = []
    once = asyncio.Event()

    async def maintain(pool: str, _reason: str) -> None:
        asked.append(pool)
        once.set()

    async with Lab.open(kubeconfig) as lab, standing_by(maintain, unstarted):
        await asyncio.wait_for(once.wait(), 10)
        await lab.watching.until(
            POOLS, "default", "cks-pool", lambda pool: (pool or {}).get("status"), timeout=10, what="a status"
        )
    assert asked == ["default"]


async def unasked(_pool: str, _reason: str) -> None:
    """Maintenance is not what these tests are about."""


async def unstarted(_work: Work) -> str:
    """Neither is other work."""
    return ""


@contextmanager
def said(words: str) -> Iterator[asyncio.Event]:
    """An event that is set when the runtime logs a message that begins with, or names, these words."""
    event = asyncio.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if words in record.getMessage():
                event.set()

    handler, level = Listening(), runtime.logger.level
    runtime.logger.addHandler(handler)
    runtime.logger.setLevel(logging.INFO)
    try:
        yield event
    finally:
        runtime.logger.removeHandler(handler)
        runtime.logger.setLevel(level)
