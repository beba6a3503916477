"""How large, how many and how long requests may be, and what the log has of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import logs
from gateway.limits import MOST_CALLERS, Rate
from gateway.problems import TooManyRequests
from pool.state import PoolState
from tests.gateway.door import Door, inside, of_lab
from tests.gateway.test_sessions import SESSIONS, ask
from tests.gateway.tokens import bearer, tokens_of_all_roles
from tests.pool.lab import Lab


async def test_a_body_is_read_as_far_as_the_limit_whatever_its_headers_say(lab: Lab) -> None:
    async with inside(of_lab(lab), body_limit=1000) as door:
        told = await door.http.post(SESSIONS, content=b"x" * 1001)
        sent: list[int] = []

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                sent.append(100)
                yield b" " * 100

        untold = await door.http.post(SESSIONS, content=chunks(), headers={"Content-Type": "application/json"})
        for answer in (told, untold):
            assert (answer.status_code, answer.json()["reason"]) == (413, "TooLarge")
        assert sum(sent) <= 1100


async def test_who_asks_too_often_is_told_when_to_ask_again_and_others_are_not_hindered(
    lab: Lab, tmp_path: Path
) -> None:
    tokens = tokens_of_all_roles(tmp_path / "tokens")
    async with inside(of_lab(lab), tokens=tmp_path / "tokens", rate=5) as door:

        async def status(token: str) -> int:
            answer = await door.http.get("/api/v1/me", headers=bearer(token))
            if answer.status_code == 429:
                assert 0 < int(answer.headers["retry-after"]) <= 12
            return answer.status_code

        viewer, session, operator = (tokens[role] for role in ("viewer", "session", "operator"))
        assert [await status(viewer) for _ in range(6)] == [200] * 5 + [429]
        assert [await status("cks_guess") for _ in range(6)] == [401] * 5 + [429]
        assert (await status(session), await status(operator)) == (200, 200)


def test_a_rate_fills_up_again_and_is_forgotten_of_the_longest_silent() -> None:
    now = [0.0]
    rate = Rate(60, lambda: now[0])
    for _ in range(60):
        rate.check("a")
    with pytest.raises(TooManyRequests) as refused:
        rate.check("a")
    assert refused.value.retry_after == 1
    now[0] += 1
    rate.check("a")
    with pytest.raises(TooManyRequests):
        rate.check("a")
    for number in range(MOST_CALLERS):
        rate.check(f"other {number}")
    rate.check("a")


async def test_what_takes_too_long_is_stopped_and_found_by_asking_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.pool(1)
    hangs = asyncio.Event()
    whole = PoolState.request

    async def hang(*given: object, **more: object) -> object:
        done = await whole(*given, **more)  # type: ignore[arg-type]
        await hangs.wait()
        return done

    monkeypatch.setattr(PoolState, "request", hang)
    async with inside(of_lab(lab), request_timeout=0.2) as door:
        late = await ask(door, "alice")
        assert (late.status_code, late.json()["reason"]) == (503, "RequestTimeout")
        assert late.headers["retry-after"] == "1"
    hangs.set()
    async with inside(of_lab(lab)) as door:
        again = await ask(door, "alice")
        assert (again.status_code in (200, 201), again.json()["epoch"]) == (True, 1)
    await lab.check()


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_request_has_one_line_that_says_what_it_was_about_and_never_the_token(
    lab: Lab, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await lab.pool(1)
    token = tokens_of_all_roles(tmp_path / "tokens")["session"]  # type: ignore[index]
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        logs.configure(form)
        async with inside(of_lab(lab), tokens=tmp_path / "tokens") as door:
            door.http.headers.update(bearer(token) | {"X-Request-ID": "r-7"})
            await ask(door, "alice")
            await door.http.get("/metrics")
            await door.http.get("/api/v1/me", headers=bearer("cks_stolen"))
            await door.http.get("/healthz")
            await door.http.get("/forged%0AINFO%20everything%20is%20well")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    text = capsys.readouterr().err
    assert token not in text
    assert "cks_stolen" not in text
    assert not any(line.startswith("INFO everything") for line in text.splitlines()), "no request writes a line"
    lines = [line for line in text.splitlines() if "/api/" in line or "/metrics" in line]
    assert len(lines) == 3
    if form == "json":
        made, forbidden, refused = (json.loads(line) for line in lines)
        facts = {
            "requestId": "r-7",
            "caller": "the session",
            "session": "alice",
            "cluster": "cluster1",
            "pool": "default",
        }
        assert facts.items() <= made.items()
        assert made["message"].startswith(f"POST {SESSIONS} 201 in ")
        assert (forbidden["level"], refused["level"]) == ("warning", "warning")
        assert "the session may not do this" in forbidden["message"]
        assert "unknown token" in refused["message"]
    else:
        assert "requestId=r-7" in lines[0]
        assert 'caller="the session"' in lines[0]
        assert "session=alice" in lines[0]


async def test_what_nobody_foresaw_is_a_problem_that_says_nothing_of_itself(
    lab: Lab, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(PoolState, "session", broken)
    answer = await door.http.get(f"{SESSIONS}/alice", headers={"X-Request-ID": "r-9"})
    assert (answer.status_code, answer.json()["reason"]) == (500, "Unforeseen")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "r-9"
