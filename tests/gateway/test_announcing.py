"""Assignments and releases while Prefect's feed takes nothing: nobody waits, and what waits is bounded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from gateway.runs import Runs
from tests.gateway.door import Door, inside, of_lab
from tests.gateway.test_runs_without_prefect import AT_ONCE, BUSY, EMPTY, nobody, server
from tests.pool.lab import Lab


async def goes_on(lab: Lab) -> None:
    """A session comes and goes, each call as fast as with a Prefect."""
    async with inside(of_lab(lab)) as door:
        begin = time.monotonic()
        await live(door, "alice")
        assert time.monotonic() - begin < AT_ONCE


async def live(door: Door, session: str) -> None:
    assigned = await door.http.post("/api/v1/sessions", json={"sessionId": session})
    assert assigned.status_code == 201, assigned.text
    assert (await door.http.delete(f"/api/v1/sessions/{session}")).status_code == 200


@pytest.mark.parametrize("answer", [None, BUSY], ids=["silent", "busy"])
async def test_a_session_lives_while_prefect_does_not_answer(lab: Lab, answer: bytes | None) -> None:
    await lab.pool(1)
    heard: list[bytes] = []
    async with server(answer, heard) as url:
        with temporary_settings({PREFECT_API_URL: url}):
            await goes_on(lab)
    assert heard, "it was tried"


async def test_a_session_lives_while_prefect_is_down(lab: Lab) -> None:
    await lab.pool(1)
    async with nobody() as url:
        with temporary_settings({PREFECT_API_URL: url}):
            await goes_on(lab)


async def test_what_prefect_refuses_keeps_nothing_back_that_comes_after(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    await lab.pool(1)
    async with server(EMPTY) as url:
        with temporary_settings({PREFECT_API_URL: url}):
            await goes_on(lab)
    refused = [one for one in caplog.messages if "does not take" in one]
    assert len(refused) == 2, caplog.messages
    assert "404" in refused[0]


async def test_a_cancellation_that_nobody_asked_for_is_tried_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes out of what is awaited, where something else was cancelled."""
    monkeypatch.setattr("gateway.announcing.AGAIN", 0.0)
    told = Runs.tell
    cancelled: list[int] = []

    async def tell(runs: Runs, events: Sequence[Mapping[str, Any]]) -> None:
        if not cancelled:
            cancelled.append(len(events))
            raise asyncio.CancelledError
        await told(runs, events)

    monkeypatch.setattr(Runs, "tell", tell)
    await lab.pool(1)
    async with server(EMPTY) as url:
        with temporary_settings({PREFECT_API_URL: url}):
            await goes_on(lab)
    assert cancelled
    assert [one for one in caplog.messages if "does not take" in one], "the server was asked"
    assert not [one for one in caplog.messages if "is not told of" in one]


async def test_what_waits_for_prefect_is_bounded(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One change is with the server, one waits, of four."""
    monkeypatch.setattr("gateway.announcing.MOST", 1)
    caplog.set_level(logging.DEBUG, "gateway.announcing")
    await lab.pool(2)
    async with server(None) as url:
        with temporary_settings({PREFECT_API_URL: url}):
            async with inside(of_lab(lab)) as door:
                await live(door, "alice")
                await live(door, "bob")
    left_out = [(one.levelname, one.message) for one in caplog.records if "is not told of" in one.message]
    assert [level for level, _ in left_out] == ["WARNING", "DEBUG", "WARNING"], left_out
    assert "of 2 changes" in left_out[-1][1], "with the server, and waiting, when the gateway ended"
