"""The real Prefect server and engine, one server for all tests of the session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import certifi
import httpx
import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    temporary_settings,
)

from demo.database import Database, end_leftover, start_database
from demo.leftovers import FolderInUse, end_leftovers, locked
from demo.processes import Child, free_port
from demo.runs import prefect_api
from demo.stack import start_server
from flows.runtime import connected
from pool.work.steps import Host
from simulator.app import Simulator
from tests.flows.started import Started, deployed

SERVERS = Path(__file__).resolve().parents[2] / ".run" / "tests"
"""A folder for the server of each test session: at a place that the next session finds."""

AUTH = "cks-pool:1-and_the-same-for-every-session"
"""What the server wants to be shown, as an installation's does (cks_pool.secrets)."""

END = "-----END CERTIFICATE-----"


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have these run in two processes, so that there are two Prefect servers however many processes test.

    Tests of workers, and what waits for what does not come, are about half of the time.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            slow = "worker" in item.path.name or "automations" in item.path.name
            item.add_marker(pytest.mark.xdist_group("prefect-2" if slow else "prefect"))
            # The session's first one waits for the server too, which takes a minute when every core is busy.
            item.add_marker(pytest.mark.timeout(300))


class PrefectServer:
    """The server of the session, for tests that have it die or stand still."""

    def __init__(
        self, runner: asyncio.Runner, start: Callable[[], Coroutine[Any, Any, Child]], database: Database
    ) -> None:
        self._runner, self._start, self._database = runner, start, database
        self.start()

    def start(self) -> None:
        """Start it, again on the same port and the same database; some 10 s. Blocks: a test calls it in a thread."""
        self._child = self._runner.run(self._start())

    def stop(self) -> None:
        """As an operator would."""
        self._runner.run(self._child.stop())

    def begin_anew(self) -> None:
        """Kill it, and start it on an empty database; as long as `start`."""
        self.signal(signal.SIGKILL)
        self.stop()
        self._runner.run(emptied(self._database))
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT: to it and its own children."""
        os.killpg(self._child.process.pid, number)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[PrefectServer]:
    """A Prefect server on loopback with a database of its own; some 10 s to start."""
    SERVERS.mkdir(parents=True, exist_ok=True)
    folder, port = Path(tempfile.mkdtemp(dir=SERVERS)), free_port()
    with locked(folder), asyncio.Runner() as runner:
        runner.run(remove_abandoned())
        database = runner.run(start_database(folder, log=folder / "database.log", say=print))
        try:
            log = folder / "server.log"
            start = partial(start_server, folder / "home", port, database_url=database.url, log=log, auth=AUTH)
            server = PrefectServer(runner, start, database)
            try:
                # Each client reads them, though it needs none: one takes no time, certifi's all 20 ms.
                certificate = folder / "ca.pem"
                certificate.write_text(Path(certifi.where()).read_text().partition(END)[0] + END)
                here = {PREFECT_API_URL: f"http://127.0.0.1:{port}/api", PREFECT_API_AUTH_STRING: AUTH}
                with temporary_settings(here | {PREFECT_API_SSL_CERT_FILE: str(certificate)}):
                    yield server
                    # What is still to be reported, while there is somebody to report it to.
                    APILogWorker.drain_all(timeout=30)
                    EventsWorker.drain_all(timeout=30)
            finally:
                server.stop()
        finally:
            runner.run(database.stop())
            shutil.rmtree(folder)


def environment() -> dict[str, str]:
    """How a process finds the server of the session."""
    return {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_API_AUTH_STRING": AUTH}


def plain_client() -> httpx.AsyncClient:
    """The API of the session's server without Prefect's client, as others call it."""
    return prefect_api(PREFECT_API_URL.value(), auth=AUTH)


async def emptied(database: Database) -> None:
    """Nothing is in it any more."""
    if database.server is None:
        file = Path(database.url.partition("///")[2])
        for part in file.parent.glob(f"{file.name}*"):
            part.unlink()
        return
    connection = await asyncpg.connect(database.url.replace("+asyncpg", ""))
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()


async def remove_abandoned() -> None:
    """End and remove what test sessions left that were killed. One that still runs holds its folder's lock."""
    for folder in SERVERS.iterdir():
        with contextlib.suppress(FolderInUse), locked(folder):
            await end_leftovers(folder)
            await end_leftover(folder)
            shutil.rmtree(folder)


@pytest.fixture
async def host(simulator: Simulator, prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    """A simulated host cluster that the flows of this test connect to, and the pool's connection to it.

    Deadlines are short: what takes longer here would never come.
    """
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(simulator.kubeconfig_path))
    for name in ("STOP", "SNAPSHOT", "RESTORE", "PROVISION", "BOOT", "HEALTH", "IMPORT", "DELETE"):
        monkeypatch.setenv(f"CKS_POOL_{name}_TIMEOUT", "20")
    monkeypatch.setenv("CKS_POOL_GOLDEN_STOP_GRACE", "10")
    async with connected() as connection:
        yield connection


@pytest.fixture
async def resets(host: Host) -> AsyncIterator[Started]:
    """reset-cluster, as a deployment."""
    async with deployed("reset-cluster", "flows.reset:reset_cluster") as started:
        yield started


@pytest.fixture
async def rebuilds(host: Host) -> AsyncIterator[Started]:
    """rebuild-cluster, as a deployment."""
    async with deployed("rebuild-cluster", "flows.admin:rebuild_cluster") as started:
        yield started
