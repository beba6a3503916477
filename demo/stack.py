"""What runs beside the story: the simulator, the Prefect server, the deployments and a worker that serves them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from demo.processes import Child, ChildFailed, answers, free_port, start, until_ready

PROJECT = Path(__file__).resolve().parent.parent
"""The folder with prefect.yaml."""

WORK_POOL = "cks-pool"
"""The work pool that prefect.yaml deploys to."""

UI_PORT = 4200
"""Prefect's own default port; another one is taken when it is in use."""


@dataclass(frozen=True)
class Stack:
    """Where the parts of a running stack are reached."""

    kubeconfig: Path
    ui_url: str
    api_url: str
    environment: dict[str, str]
    logs: Path


def prefect_environment(home: Path, port: int) -> dict[str, str]:
    """Environment of every Prefect process: state under `home`, the server on loopback at `port`, no telemetry."""
    api = f"http://127.0.0.1:{port}/api"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api,
        "PREFECT_UI_API_URL": api,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A run waits for the next poll; the default of 15 s is longer than an assignment may take.
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_CLI_COLORS": "false",
        # In memory, the default, a run that holds a deployment's concurrency slot holds it for ever once the server
        # restarts: maintenance would never run again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


async def start_server(home: Path, port: int, *, log: Path) -> Child:
    """Start a Prefect server and wait until it is healthy (up to 30 s with a new database)."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    child = await start("Prefect server", command, log=log, env=prefect_environment(home, port))
    return await _ready_or_stopped(child, lambda: answers(f"http://127.0.0.1:{port}/api/health"), timeout=120)


async def start_simulator(kubeconfig: Path, *, speed: float, log: Path, port: int = 0) -> Child:
    """Start the simulator, its delays divided by `speed`, and wait for the kubeconfig it writes when it serves."""
    kubeconfig.unlink(missing_ok=True)
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--speed", str(speed)]
    child = await start("simulator", [*command, "--port", str(port)], log=log, env={})

    async def ready() -> bool:
        return "ready" in log.read_text(errors="replace")

    return await _ready_or_stopped(child, ready, timeout=30)


async def create_work_pool(api_url: str) -> None:
    """Create the work pool if it is missing; the worker completes its job template when it first syncs."""
    async with httpx.AsyncClient(base_url=api_url, timeout=30.0, trust_env=False) as client:
        answer = await client.post("/work_pools/", json={"name": WORK_POOL, "type": "cks-warm"})
    if answer.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
        raise ChildFailed(f"could not create the work pool: the server answered {answer.status_code} {answer.text}")


async def deploy(environment: dict[str, str], *, log: Path) -> None:
    """Create a deployment for every entry of prefect.yaml."""
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    command = [*prefect, "deploy", "--all", "--prefect-file", str(PROJECT / "prefect.yaml")]
    child = await start("deploy", command, log=log, env=environment)
    if await child.process.wait() != 0:
        raise ChildFailed(f"could not deploy the flows; the log says:\n{child.tail(20)}")


async def start_worker(environment: dict[str, str], *, log: Path) -> Child:
    """Start a warm worker for the work pool and wait until it polls."""
    command = [sys.executable, "-m", "flows.worker", "--pool", WORK_POOL, "--name", "warm"]
    child = await start("worker", command, log=log, env=environment)

    async def ready() -> bool:
        return "started" in log.read_text(errors="replace")

    return await _ready_or_stopped(child, ready, timeout=60)


@asynccontextmanager
async def running(folder: Path, *, speed: float, say: Callable[[str], None]) -> AsyncIterator[Stack]:
    """Run the whole stack with its state and logs under `folder`; everything started is stopped at the end.

    `say` is told what is being waited for. Raises ChildFailed when a part does not come up.
    """
    logs, kubeconfig = folder / "logs", folder / "kubeconfig"
    port = free_port(UI_PORT)
    environment = prefect_environment(folder / "prefect", port) | {"CKS_POOL_KUBECONFIG": str(kubeconfig)}
    async with AsyncExitStack() as children:
        say("starting the simulator and the Prefect server")
        simulator = start_simulator(kubeconfig, speed=speed, log=logs / "simulator.log")
        server = start_server(folder / "prefect", port, log=logs / "prefect-server.log")
        await _together(children, simulator, server)
        say("deploying the flows and starting the worker")
        api = environment["PREFECT_API_URL"]
        await create_work_pool(api)
        worker = start_worker(environment, log=logs / "worker.log")
        await _together(children, worker, deploy(environment, log=logs / "deploy.log"))
        yield Stack(kubeconfig, api.removesuffix("/api"), api, environment, logs)


async def _together(children: AsyncExitStack, *starts: Coroutine[Any, Any, Child | None]) -> None:
    """Await all `starts`, hand every child to `children` to be stopped at the end, then raise the first failure."""
    results = await asyncio.gather(*starts, return_exceptions=True)
    for child in results:
        if isinstance(child, Child):
            children.push_async_callback(child.stop)
    for failure in results:
        if isinstance(failure, BaseException):
            raise failure


async def _ready_or_stopped(child: Child, ready: Callable[[], Awaitable[bool]], *, timeout: float) -> Child:
    try:
        await until_ready(child, ready, timeout=timeout)
    except BaseException:
        await child.stop()
        raise
    return child
