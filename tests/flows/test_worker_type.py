"""Prefect's own commands, as its users type them: from a checkout, and from an installed wheel."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from prefect import get_client
from prefect.client.schemas.objects import StateType

from flows import WORK_POOL
from flows.setup import Setup
from tests.flows.conftest import environment
from tests.flows.test_worker import finished

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")


def prefect(folder: Path, *arguments: str, path: Path | None = None) -> dict[str, Any]:
    """How to run Prefect's command in `folder`; with `path` first among the places that Python imports from."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CKS_POOL_")}
    env |= environment() | {"PREFECT_HOME": str(folder / "home")}
    env |= {"PREFECT_WORKER_QUERY_SECONDS": "0.2", "KUBECONFIG": str(folder / "there-is-none")}
    env |= {"PYTHONPATH": str(path)} if path else {}
    return {
        "args": [sys.executable, "-P", "-m", "prefect", "--no-prompt", *arguments],
        "env": env,
        "cwd": folder,
    }


@asynccontextmanager
async def started(command: dict[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command while it runs; what it says can be read."""
    said = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command.pop("args"), **command, **said)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Where the product is installed from its wheel, without what it needs."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    target = tmp_path / "installed"
    install = [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--target", target, built]
    subprocess.run(install, check=True, capture_output=True)
    return target


async def serves_and_stops(command: dict[str, Any]) -> str:
    """Start the worker, have a run taken by it, and tell it to stop. Returns what it said."""
    async with get_client() as client, started(command) as process:
        deployment = await client.read_deployment_by_name("pool-status/pool-status")
        run = await client.create_flow_run_from_deployment(deployment.id)
        ended = await finished(client, run.id)
        assert (ended.infrastructure_pid or "").startswith("lab-")
        # The flow was found and begun; there is no host cluster for it.
        assert ended.state_type is StateType.FAILED
        assert "KubeconfigError" in ((ended.state and ended.state.message) or "")
        process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, said.decode()
        return said.decode()


@pytest.mark.prefect
async def test_prefects_command_starts_the_worker_of_a_checkout(prefect_server: None, tmp_path: Path) -> None:
    async with get_client() as client:
        await Setup.load().at(client)
    said = await serves_and_stops(prefect(tmp_path, "worker", "start", "--pool", WORK_POOL, "--name", "lab"))
    assert "Discovered type 'cks-warm' for work pool 'cks-pool'" in said
    assert "worker stopped by SIGTERM" in said


@pytest.mark.prefect
async def test_prefects_commands_work_with_an_installed_wheel(
    prefect_server: None, tmp_path: Path, wheel: Path
) -> None:
    async with get_client() as client:
        await Setup.load().at(client)
    deploy = prefect(tmp_path, "deploy", "--all", "--prefect-file", str(wheel / "flows" / "prefect.yaml"), path=wheel)
    start = prefect(tmp_path, "worker", "start", "--pool", WORK_POOL, "--name", "lab", "--limit", "3", path=wheel)
    deploying = asyncio.create_task(asyncio.to_thread(subprocess.run, **deploy, capture_output=True, text=True))
    await serves_and_stops(start)
    deployed = await deploying
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr


def test_to_find_the_worker_loads_nothing_of_it() -> None:
    """Prefect's server imports it too."""
    looking = (
        "import sys\n"
        "from prefect.workers.base import BaseWorker\n"
        "before = set(sys.modules)\n"
        "assert 'cks-warm' in BaseWorker.get_all_available_worker_types()\n"
        "print(*(set(sys.modules) - before))\n"
    )
    found = subprocess.run([sys.executable, "-c", looking], check=True, capture_output=True, text=True)
    assert {name for name in found.stdout.split() if not name.startswith("prefect")} == {"flows", "flows.worker_type"}
