"""`python -m simulator`: what it prints, how it ends, and what it says about bad input."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from simulator.__main__ import main

STARTS_WITHIN = 2.0
"""Seconds on an idle machine; tests share theirs, so they allow three times as much."""


async def start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "simulator", *arguments, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serves_until_stopped(tmp_path: Path, number: signal.Signals) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    begun = time.monotonic()
    process = await start("--kubeconfig", str(kubeconfig), "--speed", "100")
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert time.monotonic() - begun < 3 * STARTS_WITHIN
        assert line.startswith(b"ready https://127.0.0.1:")
        assert kubeconfig.is_file()
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
        _, err = await process.communicate()
    assert err == b""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: --kubeconfig"),
        (("--kubeconfig", "x", "--speed", "0"), "0 is no number above 0"),
        (("--kubeconfig", "x", "--speed", "fast"), "fast is no number above 0"),
        (("--kubeconfig", "x", "--port", "70000"), "70000 is no port"),
        (("--kubeconfig", "x", "--port", "http"), "http is no port"),
        (("--kubeconfig", "x", "--fault", "nonsense"), "there is no fault 'nonsense'"),
        (("--kubeconfig", "x", "--fault", "hang-boot", "--no-controllers"), "--no-controllers leaves them out"),
        (("--kubeconfig", "x", "--clock-offset", "400"), "'400' is no duration such as 90m, 12h or 400d"),
        (("--kubeconfig", "x", "--clock-offset", "9999w"), "a clock moves forward, by 36500 days at most"),
        (("--kubeconfig", "x", "--event-ttl", "1d"), "1d is no duration such as 1h0m0s"),
        (("--kubeconfig", "x", "--event-ttl=-1h"), "-1h is no duration such as 1h0m0s"),
        (("--kubeconfig", "x", "--nonsense"), "unrecognized arguments: --nonsense"),
    ],
)
def test_bad_flag_is_one_line_and_status_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


async def test_file_that_cannot_be_written_is_one_line_and_status_2() -> None:
    process = await start("--kubeconfig", "/proc/nowhere/kubeconfig")
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert "No such file or directory" in err.decode()
    assert err.decode().count("\n") == 1


async def test_taken_port_is_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await start("--kubeconfig", str(tmp_path / "kubeconfig"), "--port", str(port))
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert "address already in use" in err.decode()
    assert err.decode().count("\n") == 1
