"""SQLite files that keep the simulated world: what was written is there again after the process was killed."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def opened(path: Path, tables: str) -> sqlite3.Connection:
    """The file with these tables, made if missing, readable by its owner only: it holds secrets.

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
