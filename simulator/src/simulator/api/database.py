"""Keeps a store in SQLite: every write is there again after the process was killed.

Written within the write itself, as etcd's log is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import orjson

from simulator.api.store import Change, Collection, Key, Store, Stored

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
  api_group TEXT, plural TEXT, namespace TEXT, name TEXT, version INTEGER, json BLOB,
  PRIMARY KEY (api_group, plural, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (name TEXT PRIMARY KEY, value BLOB);
"""
_PUT = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM objects WHERE api_group = ? AND plural = ? AND namespace = ? AND name = ?"
_ITEM = "INSERT OR REPLACE INTO items VALUES (?, ?)"


def opened(path: Path, tables: str) -> sqlite3.Connection:
    """A file with these tables, made if missing, readable by its owner only: it holds secrets.

    With a write-ahead log in the operating system's cache a crash of the process loses nothing, a loss of power the
    last moment at most. Raises sqlite3.Error (an unusable file) and OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(tables)
    return connection


class Database:
    """One file. Raises sqlite3.Error (an unusable file) and OSError."""

    def __init__(self, path: Path) -> None:
        self._connection = opened(path, _TABLES)

    def load(self) -> Store:
        """The store as it was, from now on kept here."""
        content: dict[Collection, dict[Key, Stored]] = {}
        for group, plural, namespace, name, version, json in self._connection.execute("SELECT * FROM objects"):
            content.setdefault((group, plural), {})[namespace, name] = Stored(orjson.loads(json), version)
        # Versions of deleted objects are never given again, or a watcher would miss what came after.
        store = Store.load(content, int(self.item("version") or b"1"))
        store.listen(self._write)
        return store

    def _write(self, change: Change) -> None:
        place = (*change.collection, *change.key)
        with self._connection:
            self._connection.execute("BEGIN")
            if change.type == "DELETED":
                self._connection.execute(_REMOVE, place)
            else:
                self._connection.execute(_PUT, (*place, change.version, change.stored.json))
            self._connection.execute(_ITEM, ("version", str(change.version).encode()))

    def item(self, name: str) -> bytes | None:
        """A value that belongs to the server: its keys, its tokens."""
        found = self._connection.execute("SELECT value FROM items WHERE name = ?", (name,)).fetchone()
        return bytes(found[0]) if found else None

    def item_or(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The value, made now if there is none."""
        value = self.item(name)
        if value is None:
            value = make()
            self.keep(name, value)
        return value

    def keep(self, name: str, value: bytes) -> None:
        self._connection.execute(_ITEM, (name, value))

    def close(self) -> None:
        self._connection.close()
