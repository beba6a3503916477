"""A worker's loops end when they are told to and not otherwise; the manifest's probe sees whether they go round."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from demo.processes import free_port
from flows import loops
from flows.loops import repeatedly, signs_of_life
from flows.worker import serve
from pool.core.errors import InvalidInput

WORKER = Path(__file__).resolve().parents[2] / "deployments" / "base" / "worker.yaml"
IN_THE_POD = "/tmp/alive"

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: away
contexts: [{{name: away, context: {{cluster: away, user: away}}}}]
clusters: [{{name: away, cluster: {{server: "https://127.0.0.1:{port}"}}}}]
users: [{{name: away, user: {{token: none}}}}]
"""


@pytest.fixture
def alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, which is touched more often than in a pod."""
    monkeypatch.setattr(loops, "SIGN", 0.01)
    return tmp_path / "alive"


def passes(alive: Path) -> bool:
    """Whether the container's liveness probe passes, run as the kubelet runs it."""
    pod = next(iter(yaml.safe_load_all(WORKER.read_text())))["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    assert worker["args"][worker["args"].index("--alive") + 1] == IN_THE_POD
    command = [word.replace(IN_THE_POD, str(alive)) for word in worker["livenessProbe"]["exec"]["command"]]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def two_minutes_pass(alive: Path) -> None:
    """For whoever looks at the file."""
    os.utime(alive, (time.time() - 120,) * 2)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - files have no events
            await asyncio.sleep(0.01)


async def test_the_probe_fails_while_the_event_loop_hangs_and_passes_when_it_goes_round(alive: Path) -> None:
    async with signs_of_life(alive):
        two_minutes_pass(alive)
        # Nobody awaits here: the loop stands still until the probe has ended.
        assert not passes(alive)
        await until(partial(passes, alive))


def test_the_probe_fails_before_there_is_a_sign(alive: Path) -> None:
    assert not passes(alive)


async def test_a_worker_is_alive_while_prefect_and_the_host_are_away(
    alive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = free_port()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(port=nobody))
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(kubeconfig))
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{nobody}/api"}):
        worker = asyncio.create_task(serve("cks-pool", alive=alive))
        try:
            await until(alive.exists)
            for _ in range(3):
                two_minutes_pass(alive)
                await until(partial(passes, alive))
            assert not worker.done()
        finally:
            worker.cancel()
            await asyncio.wait([worker])


async def test_a_file_that_cannot_be_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--alive needs a file in a folder that is written to"):
        async with signs_of_life(tmp_path / "nowhere" / "alive"):
            pass


async def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    async with signs_of_life(None):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), asyncio.CancelledError()])
async def test_a_loop_goes_on_whatever_comes_out_of_its_work(fault: BaseException) -> None:
    times, again = [], asyncio.Event()

    async def work() -> None:
        times.append(1)
        if len(times) > 1:
            again.set()
        raise fault

    loop = asyncio.create_task(repeatedly(work, 0.01))
    await asyncio.wait_for(again.wait(), 10)
    loop.cancel()
    await asyncio.wait_for(asyncio.wait([loop]), 10)
    assert loop.cancelled()
