"""Keeps disks and their snapshots in SQLite: the content is there again after the process was killed.

Each write of a guest is a transaction of its own, and so is a new volume or a snapshot with all its content: a disk
is found as a power cut would leave it, a snapshot whole or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from simulator.api.database import opened
from simulator.api.store import Change, Collection, Key, Store, Stored
from simulator.guests.disk import Disk, Disks, Snapshot

_TABLES = """
CREATE TABLE IF NOT EXISTS disks (
  handle TEXT PRIMARY KEY, is_snapshot INTEGER, source TEXT, dies INTEGER, bootable INTEGER, etcd_version INTEGER
);
CREATE TABLE IF NOT EXISTS files (disk TEXT, path TEXT, content TEXT, PRIMARY KEY (disk, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (disk TEXT, name TEXT, value TEXT, PRIMARY KEY (disk, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
  disk TEXT, api_group TEXT, plural TEXT, namespace TEXT, name TEXT, version INTEGER, json BLOB,
  PRIMARY KEY (disk, api_group, plural, namespace, name)
) WITHOUT ROWID;
"""
_FILE = "INSERT OR REPLACE INTO files VALUES (?, ?, ?)"
_FACT = "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)"
_OBJECT = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)"
_NO_OBJECT = "DELETE FROM objects WHERE disk = ? AND api_group = ? AND plural = ? AND namespace = ? AND name = ?"
_VERSION = "UPDATE disks SET etcd_version = ? WHERE handle = ?"


class DiskDatabase:
    """One file. Raises sqlite3.Error (an unusable file) and OSError."""

    def __init__(self, path: Path) -> None:
        self._connection = opened(path, _TABLES)

    def load(self) -> Disks:
        """The disks as they were, from now on kept here."""
        disks = Disks()
        rows = self._connection.execute("SELECT handle, is_snapshot, source, dies, bootable, etcd_version FROM disks")
        for handle, is_snapshot, source, dies, bootable, version in rows.fetchall():
            disk = self._disk(handle, bool(bootable), version)
            if is_snapshot:
                disks.snapshots[handle] = Snapshot(disk, source, bool(dies))
            else:
                disk.record(DiskRecorder(self, handle))
                disks.volumes[handle] = disk
        disks.volumes.changed = self._volume
        disks.snapshots.changed = self._snapshot
        return disks

    def _disk(self, handle: str, bootable: bool, version: int | None) -> Disk:
        run = self._connection.execute
        files = dict(run("SELECT path, content FROM files WHERE disk = ?", (handle,)).fetchall())
        facts = dict(run("SELECT name, value FROM facts WHERE disk = ?", (handle,)).fetchall())
        if version is None:
            return Disk(bootable, files, facts)
        content: dict[Collection, dict[Key, Stored]] = {}
        columns = "api_group, plural, namespace, name, version, json"
        for group, plural, namespace, name, written, json in run(
            f"SELECT {columns} FROM objects WHERE disk = ?",  # noqa: S608  # a constant
            (handle,),
        ):
            content.setdefault((group, plural), {})[namespace, name] = Stored(orjson.loads(json), written)
        return Disk(bootable, files, facts, Store.load(content, version))

    def _volume(self, handle: str, disk: Disk | None) -> None:
        if disk is None:
            self._drop(handle)
            return
        self._add(handle, disk, (0, "", 0))
        disk.record(DiskRecorder(self, handle))

    def _snapshot(self, handle: str, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            self._drop(handle)
            return
        self._add(handle, snapshot.disk, (1, snapshot.source, int(snapshot.dies_with_source)))

    def _add(self, handle: str, disk: Disk, about: tuple[int, str, int]) -> None:
        with self.transaction() as connection:
            row = (handle, *about, int(disk.bootable), disk.etcd.version if disk.etcd else None)
            connection.execute("INSERT INTO disks VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.executemany(_FILE, [(handle, *item) for item in disk.files.items()])
            connection.executemany(_FACT, [(handle, *item) for item in disk.machine.items()])
            connection.executemany(_OBJECT, _rows(handle, disk.etcd))

    def _drop(self, handle: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM disks WHERE handle = ?", (handle,))
            for table in ("files", "facts", "objects"):
                connection.execute(f"DELETE FROM {table} WHERE disk = ?", (handle,))  # noqa: S608  # one of these

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing."""
        with self._connection:
            self._connection.execute("BEGIN")
            yield self._connection

    def close(self) -> None:
        self._connection.close()


class DiskRecorder:
    """Writes the changes of one volume."""

    def __init__(self, database: DiskDatabase, handle: str) -> None:
        self._database = database
        self._handle = handle

    def file(self, path: str, content: str | None) -> None:
        with self._database.transaction() as connection:
            if content is None:
                connection.execute("DELETE FROM files WHERE disk = ? AND path = ?", (self._handle, path))
            else:
                connection.execute(_FILE, (self._handle, path, content))

    def fact(self, name: str, value: str | None) -> None:
        with self._database.transaction() as connection:
            if value is None:
                connection.execute("DELETE FROM facts WHERE disk = ? AND name = ?", (self._handle, name))
            else:
                connection.execute(_FACT, (self._handle, name, value))

    def data(self, etcd: Store | None) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM objects WHERE disk = ?", (self._handle,))
            connection.executemany(_OBJECT, _rows(self._handle, etcd))
            connection.execute(_VERSION, (etcd.version if etcd else None, self._handle))

    def object(self, change: Change) -> None:
        place = (self._handle, *change.collection, *change.key)
        with self._database.transaction() as connection:
            if change.type == "DELETED":
                connection.execute(_NO_OBJECT, place)
            else:
                connection.execute(_OBJECT, (*place, change.version, change.stored.json))
            connection.execute(_VERSION, (change.version, self._handle))


def _rows(handle: str, etcd: Store | None) -> Iterable[tuple[str, str, str, str, str, int, bytes]]:
    for collection, objects in (etcd.dump() if etcd else {}).items():
        for key, stored in objects.items():
            yield handle, *collection, *key, stored.version, stored.json
