"""Disks kept in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.api.store import Store
from simulator.guests.disk import Disk, Disks
from simulator.guests.disk_database import DiskDatabase
from simulator.guests.images import image

MAPS = ("", "configmaps")


@contextmanager
def kept(path: Path) -> Iterator[Disks]:
    """What a process over `path` finds; nothing is said to it at its end."""
    database = DiskDatabase(path)
    try:
        yield database.load()
    finally:
        database.close()


def put(store: Store, name: str) -> None:
    store.put(MAPS, ("default", name), {"metadata": {"name": name}}, expected=None)


def names(disk: Disk) -> list[str]:
    assert disk.etcd is not None
    return [stored.obj["metadata"]["name"] for stored in disk.etcd.list(MAPS)]


def test_each_change_of_a_volume_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "disks.db"
    with kept(path) as disks:
        disk = disks.volumes["a"] = image()
        disk.files |= {"/etc/hosts": "x", "/tmp/y": ""}
        disk.files["/etc/hosts"] = "z"
        del disk.files["/tmp/y"]
        disk.machine["role"] = "worker"
        disk.machine.setdefault("node", "wk")
        disk.machine.pop("node")
        disk.etcd = Store()
        for name in ("one", "two"):
            put(disk.etcd, name)
        gone = disk.etcd.get(MAPS, ("default", "two"))
        assert gone is not None
        disk.etcd.remove(MAPS, ("default", "two"), gone.obj, expected=gone.version)
        version = disk.etcd.version
    with kept(path) as disks:
        disk = disks.volumes["a"]
        assert disk.bootable
        assert disk.files["/etc/hosts"] == "z"
        assert "/tmp/y" not in disk.files
        assert dict(disk.machine) == {"role": "worker"}
        assert names(disk) == ["one"]
        # Versions go on, or a client's watch would miss what comes next.
        assert disk.etcd is not None
        assert disk.etcd.version == version
        put(disk.etcd, "three")
    with kept(path) as disks:
        assert names(disks.volumes["a"]) == ["one", "three"]


def test_what_is_written_to_data_that_left_the_disk_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "disks.db"
    with kept(path) as disks:
        disk = disks.volumes["a"] = image()
        old = disk.etcd = Store()
        put(old, "before")
        disk.etcd = Store.load(old.dump())
        put(old, "after")
    with kept(path) as disks:
        assert names(disks.volumes["a"]) == ["before"]


def test_a_snapshot_stays_as_it_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "disks.db"
    with kept(path) as disks:
        disk = disks.volumes["a"] = image()
        disk.etcd = Store()
        put(disk.etcd, "early")
        disks.snapshot("s", "a", dies_with_source=True)
        put(disk.etcd, "late")
        disk.files["/late"] = ""
    with kept(path) as disks:
        snapshot = disks.snapshots["s"]
        assert (snapshot.source, snapshot.dies_with_source) == ("a", True)
        assert names(snapshot.disk) == ["early"]
        assert "/late" not in snapshot.disk.files
        disks.volumes["b"] = snapshot.disk.copy()
    with kept(path) as disks:
        assert names(disks.volumes["b"]) == ["early"]
        disks.drop_volume("a")
    with kept(path) as disks:
        assert list(disks.volumes) == ["b"]
        assert list(disks.snapshots) == []


def test_a_disk_that_cannot_be_written_whole_is_not_there_at_all(tmp_path: Path) -> None:
    path = tmp_path / "disks.db"
    with kept(path) as disks:
        broken = image()
        broken.files["/last"] = object()  # type: ignore[assignment]
        with pytest.raises(sqlite3.Error):
            disks.volumes["a"] = broken
    with kept(path) as disks:
        assert list(disks.volumes) == []
        disks.volumes["a"] = image()


def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "disks.db"
    with kept(path):
        assert path.stat().st_mode & 0o077 == 0
