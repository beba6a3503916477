"""Disks as content: what a guest wrote, what a snapshot holds and a restore brings back."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.api.store import Store


@dataclass
class Disk:
    """A root disk. Values in `files` are whole file contents, never changed in place, so that copies share them."""

    bootable: bool = False
    """Carries an operating system with kubeadm; a blank disk never boots."""
    files: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    """What the installed system remembers: instance-id, role, node name, whether kubeadm succeeded."""
    etcd: Store | None = None
    """The data of the guest's API server; live while the control plane runs."""

    def copy(self) -> Disk:
        """A disk of its own with the content of this moment."""
        etcd = Store.load(self.etcd.dump()) if self.etcd is not None else None
        return Disk(self.bootable, dict(self.files), dict(self.machine), etcd)


def image() -> Disk:
    """A fresh disk with the operating system and kubeadm on it, nothing set up."""
    return Disk(bootable=True, files={"/etc/os-release": "ID=ubuntu\n", "/usr/bin/kubeadm": "", "/usr/bin/kubelet": ""})


@dataclass(frozen=True)
class Snapshot:
    """A disk as it was, and the handle of the volume it was taken from."""

    disk: Disk
    source: str
    dies_with_source: bool = False


class Disks:
    """The storage backend behind the CSI driver: volumes and snapshots by handle."""

    def __init__(self) -> None:
        self.volumes: dict[str, Disk] = {}
        self.snapshots: dict[str, Snapshot] = {}

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
