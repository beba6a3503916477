"""`python -m demo` as a newcomer runs it, only faster: it holds, or it says which step did not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from demo.__main__ import main
from demo.leftovers import locked
from demo.processes import ChildFailed, free_port, start, until_ready
from demo.screen import Screen, StepFailed

PARTS = ("database", "Prefect server", "simulator", "worker", "deployments", "gateway")
STEPS = (
    "create-namespaces",
    "bootstrap-pool: 3 clusters, in parallel",
    "create-golden-snapshots",
    "POST /api/v1/sessions alice",
    "assign-session bob, a flow run",
    "DELETE /api/v1/sessions/alice, release-session bob; reset-cluster cluster",
    "pool-maintenance is scheduled",
)


@pytest.mark.timeout(300)
@pytest.mark.prefect
def test_the_whole_story_holds_and_what_is_kept_ends_with_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "demo", "--speed", "50", "--folder", str(tmp_path), "--keep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        told = "".join(until(demo.stdout, "Everything stays up until Ctrl-C"))
        demo.send_signal(signal.SIGINT)
        *places, last = demo.stdout.read().splitlines()
    assert demo.returncode == 0, told
    for step in (*PARTS, *STEPS):
        assert f"✓ {step}" in told
    assert len(re.findall(r"✓ cluster\d is clean", told)) == 2
    assert len(re.findall(r"│ cluster\d +│ available", told)) == 3
    assert "/runs/flow-run/" in told
    assert re.search(r"All of it held, in \d+ s: \d+ s to start, \d+ s the story", told)
    where = ["page", "API", "Prefect UI", "Prefect API", "kubeconfig", "database", "logs"]
    assert [place[:14].strip() for place in places] == where
    assert last == "Stopping."
    assert list((tmp_path / "logs").glob("*.pid")) == [], "something was not stopped"


def until(lines: Iterable[str], words: str) -> Iterator[str]:
    """The lines up to the one with these words."""
    for line in lines:
        yield line
        if words in line:
            return


def test_a_folder_that_another_demo_uses_is_left_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path):
        assert main(["--folder", str(tmp_path)]) == 2
    assert f"another demo runs in {tmp_path}" in capsys.readouterr().out


def test_a_setting_that_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CKS_POOL_SIZE", "501")
    assert main(["--folder", str(tmp_path)]) == 2
    assert "CKS_POOL_SIZE" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("speed", ["0", "fast", "2000"])
def test_a_speed_that_cannot_be_is_refused(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--speed", speed])
    assert stopped.value.code == 2
    assert "--speed" in capsys.readouterr().err


def test_a_step_that_does_not_hold_is_named() -> None:
    with Path(os.devnull).open("w") as nowhere:
        screen = Screen(Console(file=nowhere))
        with pytest.raises(StepFailed, match="take snapshots: 5 of 6 are ready"), screen.step("take snapshots"):
            raise AssertionError("5 of 6 are ready")


async def test_a_child_that_ends_too_soon_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such disk')"]
    child = await start("simulator", command, log=tmp_path / "log", env={})

    async def never() -> bool:
        return False

    with pytest.raises(ChildFailed, match=r"simulator ended with status 1[\s\S]*no such disk"):
        await until_ready(child, never, timeout=20)


async def test_stopping_a_child_ends_it_and_its_own_children(tmp_path: Path) -> None:
    program = "import subprocess, sys; print('up', flush=True); subprocess.run([sys.executable, '-c', 'input()'])"
    child = await start("parent", [sys.executable, "-c", program], log=tmp_path / "log", env={})

    async def up() -> bool:
        return "up" in child.tail()

    await until_ready(child, up, timeout=20)
    await child.stop()
    assert child.process.returncode is not None

    # Its own children are told at the same moment, and gone soon.
    async with asyncio.timeout(20):
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.killpg(child.process.pid, 0)
                await asyncio.sleep(0.01)


async def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    assert free_port(taken) != taken
    server.close()
    await server.wait_closed()
