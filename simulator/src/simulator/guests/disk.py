"""Disks as content: what a guest wrote, what a snapshot holds and a restore brings back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from simulator.api.store import Change, Store
from simulator.guests.watched import Watched

KUBERNETES = "kubernetes"
"""In what a system remembers: the version that its kubeadm and kubelet are of, unless they fit whatever is wanted."""


class Recorder(Protocol):
    """Is told of each change of a disk, as it happens."""

    def file(self, path: str, content: str | None) -> None:
        """A file got that content, or was removed."""

    def fact(self, name: str, value: str | None) -> None:
        """The same of what the installed system remembers."""

    def data(self, etcd: Store | None) -> None:
        """The data of the API server was put there as a whole."""

    def object(self, change: Change) -> None:
        """One write to that data."""


class Disk:
    """A root disk. Values in `files` are whole file contents, never changed in place, so that copies share them.

    `bootable`: carries an operating system; a blank disk never boots. `machine`: what the installed system remembers:
    instance-id, role, node name, which Kubernetes it carries.
    """

    def __init__(
        self,
        bootable: bool = False,
        files: Mapping[str, str] | None = None,
        machine: Mapping[str, str] | None = None,
        etcd: Store | None = None,
    ) -> None:
        self.bootable = bootable
        self.files = Watched(files)
        self.files.changed = self._written
        self.machine = Watched(machine)
        self._etcd = etcd
        self._recorder: Recorder | None = None
        self._stop: Callable[[], None] | None = None
        self._unsynced: set[str] | None = None

    @property
    def etcd(self) -> Store | None:
        """The data of the guest's API server; live while the control plane runs."""
        return self._etcd

    @etcd.setter
    def etcd(self, store: Store | None) -> None:
        self._etcd = store
        if self._recorder is not None:
            self._recorder.data(store)
        self._listen()

    def record(self, recorder: Recorder | None) -> None:
        """Tell `recorder` of each change from now on; None: nobody."""
        self._recorder = recorder
        self.machine.changed = recorder.fact if recorder else None
        self._listen()

    def hold(self) -> None:
        """From now on files are lost with the power unless they are synced."""
        self._unsynced = self._unsynced or set()

    def sync(self, *paths: str) -> None:
        """All that was written, or those files, is there to stay."""
        if self._unsynced is not None:
            self._unsynced -= set(paths) if paths else set(self._unsynced)

    def moved(self, source: str, target: str) -> None:
        """A file has another name: it is as safe as it was."""
        if self._unsynced is not None and source not in self._unsynced:
            self._unsynced.discard(target)

    def settle(self) -> None:
        """Sync, and hold nothing any more."""
        self._unsynced = None

    def lose(self) -> None:
        """The power is gone: of files that were not synced only the names are left. (Seen on ext4, which allocates
        late, after its journal was replayed.)"""
        lost, self._unsynced = self._unsynced or set(), None
        for path in lost & set(self.files):
            self.files[path] = ""

    def _written(self, path: str, content: str | None) -> None:
        if self._unsynced is not None and content is not None:
            self._unsynced.add(path)
        if self._recorder is not None:
            self._recorder.file(path, content)

    def _listen(self) -> None:
        """Follow the store that is on the disk now, and no other any more."""
        if self._stop is not None:
            self._stop()
        recorded = self._etcd is not None and self._recorder is not None
        self._stop = self._etcd.listen(self._recorder.object) if recorded else None  # type: ignore[union-attr]

    def copy(self) -> Disk:
        """A disk of its own with the content of this moment."""
        etcd = Store.load(self.etcd.dump(), self.etcd.version) if self.etcd is not None else None
        return Disk(self.bootable, self.files, self.machine, etcd)


@dataclass(frozen=True)
class Snapshot:
    """A disk as it was, and the handle of the volume it was taken from."""

    disk: Disk
    source: str
    dies_with_source: bool = False


class Disks:
    """The storage backend behind the CSI driver: volumes and snapshots by handle."""

    def __init__(self) -> None:
        self.volumes: Watched[Disk] = Watched()
        self.snapshots: Watched[Snapshot] = Watched()

    def snapshot(self, handle: str, volume: str, *, dies_with_source: bool = False) -> None:
        """Capture `volume` as it is now. Raises KeyError when there is no such volume."""
        self.snapshots.setdefault(handle, Snapshot(self.volumes[volume].copy(), volume, dies_with_source))

    def drop_volume(self, handle: str) -> None:
        """Remove a volume, and the snapshots that live inside it."""
        self.volumes.pop(handle, None)
        for name, snapshot in list(self.snapshots.items()):
            if snapshot.dies_with_source and snapshot.source == handle:
                del self.snapshots[name]

    def drop_snapshot(self, handle: str) -> None:
        self.snapshots.pop(handle, None)
