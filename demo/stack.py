"""What runs beside the story: the simulator, the Prefect server, the deployments and a worker that serves them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.database import start_database
from demo.leftovers import end_leftovers, locked
from demo.processes import Child, answers, free_port, ready_or_stopped, start
from demo.screen import Screen
from flows import WORK_POOL

UI_PORT = 4200
"""Prefect's own default port; another one is taken when it is in use."""
PAGE_PORT = 8080
"""The gateway's own, likewise."""


@dataclass(frozen=True)
class Stack:
    """Where the parts of a running stack are reached."""

    page_url: str
    kubeconfig: Path
    ui_url: str
    api_url: str
    database_url: str
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
        # A run waits for the next poll; the default of 10 s is longer than an assignment may take.
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_CLI_COLORS": "false",
        # In memory, the default, a run that holds a deployment's concurrency slot holds it for ever once the server
        # restarts: maintenance would never run again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


async def start_server(home: Path, port: int, *, database_url: str, log: Path, auth: str = "") -> Child:
    """Start a Prefect server and wait until it is healthy (some 10 s with a new database).

    `auth`: what its clients have to show, `USER:PASSWORD`.
    """
    environment = prefect_environment(home, port) | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url}
    if auth:
        environment["PREFECT_SERVER_API_AUTH_STRING"] = auth
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    child = await start("Prefect server", command, log=log, env=environment)
    return await ready_or_stopped(child, lambda: answers(f"http://127.0.0.1:{port}/api/health"), timeout=120)


async def start_simulator(kubeconfig: Path, *, speed: float, log: Path, port: int = 0) -> Child:
    """Start the simulator, its delays divided by `speed`, and wait for the kubeconfig it writes when it serves."""
    kubeconfig.unlink(missing_ok=True)
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--speed", str(speed)]
    child = await start("simulator", [*command, "--port", str(port)], log=log, env={})

    async def ready() -> bool:
        return "ready" in log.read_text(errors="replace")

    return await ready_or_stopped(child, ready, timeout=30)


async def start_worker(environment: dict[str, str], *, log: Path) -> Child:
    """Start a warm worker for the work pool, and wait until it polls; it begins once there is the work pool."""
    work_pool = f"{environment['PREFECT_API_URL']}/work_pools/{WORK_POOL}"
    arguments = ["flows.worker:main", "--pool", WORK_POOL, "--name", "warm"]
    command = [sys.executable, "-m", "demo.warm", work_pool, *arguments]
    child = await start("worker", command, log=log, env=environment)

    async def ready() -> bool:
        return "started" in log.read_text(errors="replace")

    return await ready_or_stopped(child, ready, timeout=180)


async def start_gateway(environment: dict[str, str], port: int, *, log: Path) -> Child:
    """Start the gateway, and wait until it answers; it follows the pool once there are its kinds."""
    given = environment | {"CKS_GATEWAY_LISTEN": f"127.0.0.1:{port}"}
    child = await start("gateway", [sys.executable, "-m", "cks_pool", "serve"], log=log, env=given)
    return await ready_or_stopped(child, lambda: answers(f"http://127.0.0.1:{port}/healthz"), timeout=60)


def _load_setup() -> Callable[[str], Awaitable[None]]:
    """What sets a server up, by its API's address. Loading it takes seconds, as it loads Prefect and the flows."""
    from prefect.client.orchestration import PrefectClient

    from flows.setup import Setup

    setup = Setup.load()

    async def set_up(api_url: str) -> None:
        async with PrefectClient(api_url) as client:
            await setup.at(client)

    return set_up


@asynccontextmanager
async def running(folder: Path, *, speed: float, screen: Screen) -> AsyncIterator[Stack]:
    """Run the whole stack with its state and logs under `folder`; everything started is stopped at the end.

    All parts start at once, the screen shows when each is ready. Raises ChildFailed when a part does not come up,
    FolderInUse when another demo runs in `folder`.
    """
    logs, kubeconfig, home = folder / "logs", folder / "kubeconfig", folder / "prefect"
    port, page_port = free_port(UI_PORT), free_port(PAGE_PORT)
    environment = prefect_environment(home, port) | {"CKS_POOL_KUBECONFIG": str(kubeconfig)}
    api = environment["PREFECT_API_URL"]
    async with AsyncExitStack() as children:
        children.enter_context(locked(folder))
        await end_leftovers(logs)
        # Needs Prefect, which loads while the server starts.
        loading = asyncio.create_task(asyncio.to_thread(_load_setup))

        async def server() -> str:
            database = await start_database(folder / "database", log=logs / "database.log", say=screen.line)
            children.push_async_callback(database.stop)
            screen.ready("database")
            child = await start_server(home, port, database_url=database.url, log=logs / "prefect-server.log")
            children.push_async_callback(child.stop)
            screen.ready("Prefect server")
            await (await loading)(api)
            screen.ready("deployments")
            return database.url

        async def simulator() -> None:
            child = await start_simulator(kubeconfig, speed=speed, log=logs / "simulator.log")
            children.push_async_callback(child.stop)
            screen.ready("simulator")

        async def worker() -> None:
            child = await start_worker(environment, log=logs / "worker.log")
            children.push_async_callback(child.stop)
            screen.ready("worker")

        async def gateway() -> None:
            child = await start_gateway(environment, page_port, log=logs / "gateway.log")
            children.push_async_callback(child.stop)
            screen.ready("gateway")

        try:
            async with asyncio.TaskGroup() as starting:
                serving = starting.create_task(server())
                for part in (simulator, worker, gateway):
                    starting.create_task(part())
        except BaseExceptionGroup as failures:
            # The first one; the others were ended because of it.
            raise failures.exceptions[0] from None
        page = f"http://127.0.0.1:{page_port}"
        yield Stack(page, kubeconfig, api.removesuffix("/api"), api, serving.result(), environment, logs)
