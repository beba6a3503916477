"""The whole system in processes of its own that can be killed and frozen: simulator, Prefect's server, workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import httpx
from prefect.client.orchestration import PrefectClient

from demo.database import Database, start_database
from demo.processes import Child, ChildFailed, free_port, ready_or_stopped, start
from demo.runs import Runs, prefect_api
from demo.stack import prefect_environment, start_server, start_worker
from flows.setup import Setup


class Part:
    """A process of the system, begun again and again, each time with a log file of its own in the folder."""

    def __init__(self, kind: str, folder: Path, begin: Callable[[Path], Awaitable[Child]], number: int = 1) -> None:
        self.kind, self._logs, self._begin = kind, folder / f"{kind.replace(' ', '-')}{number}", begin
        self._times = 0
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now. Raises ChildFailed if it has ended by itself."""
        assert self._child is not None
        if self._child.process.returncode is not None:
            code = self._child.process.returncode
            raise ChildFailed(f"{self.kind} ended with status {code}; its log says:\n{self._child.tail()}")
        return self._child.process.pid

    async def begin(self) -> None:
        """Start it, and wait until it is ready. Raises ChildFailed."""
        self._times += 1
        self._child = await self._begin(self._logs.with_name(f"{self._logs.name}-{self._times}.log"))

    def signal(self, number: signal.Signals) -> None:
        """To it and its own children. Raises ChildFailed if it has ended by itself."""
        os.killpg(self.pid, number)

    async def killed(self) -> None:
        """Kill it, and wait until it is gone. Raises ChildFailed if it was already."""
        self.signal(signal.SIGKILL)
        assert self._child is not None
        async with asyncio.timeout(30):
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


@contextmanager
def a_folder(name: str) -> Iterator[Path]:
    """A folder for all there is, removed at the end unless that is a failure: then it has the logs."""
    folder = Path(tempfile.mkdtemp(prefix=f"cks-pool-{name}-"))
    try:
        yield folder
    except BaseException:
        print(f"{name}: the logs are in {folder}", flush=True)
        raise
    shutil.rmtree(folder)


async def _start_host(kubeconfig: Path, port: int, data: Path, speed: float, log: Path) -> Child:
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--port", str(port)]
    command += ["--speed", f"{speed:g}", "--data-dir", str(data)]
    child = await start("simulator", command, log=log, env={})

    async def ready() -> bool:
        return "ready" in log.read_text(errors="replace")

    return await ready_or_stopped(child, ready, timeout=60)


@dataclass(frozen=True)
class Prefect:
    """Prefect's server with all deployments, and its database."""

    server: Part
    database: Database
    environment: dict[str, str]
    """Of every process that speaks to it."""
    runs: Runs
    client: httpx.AsyncClient

    async def stored(self) -> int:
        """Bytes in its database, which is a PostgreSQL."""
        connection = await asyncpg.connect(self.database.url.replace("+asyncpg", ""))
        try:
            return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
        finally:
            await connection.close()


@asynccontextmanager
async def a_prefect(folder: Path) -> AsyncIterator[Prefect]:
    """The server started and set up; what it keeps outlives its process."""
    port = free_port()
    environment = prefect_environment(folder / "prefect", port)
    api = environment["PREFECT_API_URL"]
    async with AsyncExitStack() as stack:
        database = await start_database(folder / "database", log=folder / "database.log", say=print)
        stack.push_async_callback(database.stop)

        def begin_server(log: Path) -> Awaitable[Child]:
            return start_server(folder / "prefect", port, database_url=database.url, log=log)

        server = Part("Prefect's server", folder, begin_server)
        stack.push_async_callback(server.stop)
        await server.begin()
        async with PrefectClient(api) as client:
            await (await asyncio.to_thread(Setup.load)).at(client)
        http = await stack.enter_async_context(prefect_api(api))
        yield Prefect(server, database, environment, Runs(http, api.removesuffix("/api")), http)


@asynccontextmanager
async def a_system(folder: Path, *, speed: float, workers: int) -> AsyncIterator[System]:
    """Everything started, with all deployments; what it keeps (objects, disks, runs) outlives its processes."""
    kubeconfig, host_port = folder / "kubeconfig", free_port()
    async with AsyncExitStack() as stack:
        prefect = await stack.enter_async_context(a_prefect(folder))
        environment = prefect.environment | {"CKS_POOL_KUBECONFIG": str(kubeconfig)}

        def begin_worker(log: Path) -> Awaitable[Child]:
            return start_worker(environment, log=log)

        host = Part("the host's API", folder, partial(_start_host, kubeconfig, host_port, folder / "host", speed))
        crew = [Part("a worker", folder, begin_worker, number) for number in range(1, workers + 1)]
        for part in (host, *crew):
            stack.push_async_callback(part.stop)
            await part.begin()
        yield System(host, prefect.server, crew, kubeconfig, prefect.runs)
