"""The whole system in processes of its own that can be killed and frozen: simulator, Prefect's server, workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from demo.database import start_database
from demo.deployments import create_deployments, load_deployments
from demo.processes import Child, free_port, ready_or_stopped, start
from demo.runs import Runs
from demo.stack import create_work_pool, prefect_environment, start_server, start_worker


class Part:
    """A process of the system."""

    def __init__(self, name: str, begin: Callable[[], Awaitable[Child]]) -> None:
        self.name, self._begin = name, begin
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._child is not None
        return self._child.process.pid

    async def begin(self) -> None:
        """Start it, and wait until it is ready."""
        self._child = await self._begin()

    def signal(self, number: signal.Signals) -> None:
        """To it and its own children."""
        os.killpg(self.pid, number)

    async def killed(self) -> None:
        """Kill it, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        assert self._child is not None
        await self._child.process.wait()

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.stop()


@dataclass(frozen=True)
class System:
    """All parts, and the way to each."""

    host: Part
    server: Part
    workers: list[Part]
    kubeconfig: Path
    runs: Runs


async def _start_host(kubeconfig: Path, port: int, folder: Path, speed: float) -> Child:
    log = folder / "simulator.log"
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--port", str(port)]
    command += ["--speed", f"{speed:g}", "--data-dir", str(folder / "host")]
    child = await start("simulator", command, log=log, env={})

    async def ready() -> bool:
        return "ready" in log.read_text(errors="replace")

    return await ready_or_stopped(child, ready, timeout=60)


@asynccontextmanager
async def a_system(folder: Path, *, speed: float, workers: int) -> AsyncIterator[System]:
    """Everything started, with all deployments; what it keeps (objects, disks, runs) outlives its processes."""
    kubeconfig, port, host_port = folder / "kubeconfig", free_port(), free_port()
    environment = prefect_environment(folder / "prefect", port) | {"CKS_POOL_KUBECONFIG": str(kubeconfig)}
    api = environment["PREFECT_API_URL"]
    async with AsyncExitStack() as stack:
        database = await start_database(folder / "database", log=folder / "database.log", say=print)
        stack.push_async_callback(database.stop)
        log = folder / "server.log"
        begin_server = partial(start_server, folder / "prefect", port, database_url=database.url, log=log)
        server = Part("Prefect's server", begin_server)
        host = Part("the host's API", partial(_start_host, kubeconfig, host_port, folder, speed))
        for part in (server, host):
            stack.push_async_callback(part.stop)
            await part.begin()
        await create_work_pool(api)
        await create_deployments(await asyncio.to_thread(load_deployments), api)
        crew = []
        for number in range(1, workers + 1):
            worker = Part(f"worker {number}", partial(start_worker, environment, log=folder / f"worker{number}.log"))
            stack.push_async_callback(worker.stop)
            await worker.begin()
            crew.append(worker)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=api, timeout=30.0, trust_env=False))
        yield System(host, server, crew, kubeconfig, Runs(client, api.removesuffix("/api")))
