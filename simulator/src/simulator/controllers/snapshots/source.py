"""The VM that a snapshot is taken of: what is seen of it, whether it can be locked. Pure but for the caches read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulator.client import Obj
from simulator.client.meta import condition, controller_of, deleting, is_true
from simulator.client.resources import (
    DATA_VOLUMES,
    PODS,
    PVCS,
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VMIS,
    VOLUME_SNAPSHOT_CLASSES,
)
from simulator.controllers.runtime.manager import Context
from simulator.controllers.storage.claims import bound, class_of, users
from simulator.controllers.storage.snapshot_classes import snapshot_class

MESSAGES = {
    "Online": "Snapshot taken while the VM was running. Consistency depends on guest-agent quiescing.",
    "GuestAgent": "Guest agent was active and attempted to quiesce the filesystem for application consistency.",
    "NoGuestAgent": "Guest agent was not available. Snapshot is crash-consistent and may not be "
    "application-consistent.",
    "Paused": "Snapshot taken while the VM was paused. Snapshot is crash-consistent and may not be "
    "application-consistent.",
    "QuiesceTimeout": "Guest agent quiesced the filesystem, but the freeze window timed out before completion. "
    "Snapshot is crash-consistent and may not be application-consistent.",
    "PartialSnapshot": "Not all snapshotable volumes were included in the snapshot. Check status.snapshotVolumes for "
    "excluded volumes and VM VolumeSnapshotStatus for details.",
}


@dataclass(frozen=True)
class SourceVolume:
    """A volume of the VM backed by a claim; `claim` is None when that does not exist (yet)."""

    name: str
    claim_name: str
    claim: Obj | None
    data_volume: Obj | None


def claim_name(volume: Obj) -> str | None:
    """The claim behind a VM's volume, None for a volume of another kind."""
    for kind, key in (("dataVolume", "name"), ("persistentVolumeClaim", "claimName"), ("memoryDump", "claimName")):
        if kind in volume:
            return str(volume[kind][key])
    return None


class SnapshotSource:
    """A VM as the snapshot controllers see it."""

    def __init__(self, context: Context, vm: Obj) -> None:
        self._context = context
        self.vm = vm
        self.namespace = vm["metadata"]["namespace"]
        self.name = vm["metadata"]["name"]
        self.vmi = context.cache(VMIS).get(self.namespace, self.name)

    @property
    def online(self) -> bool:
        """The instance's object exists, whatever its phase."""
        return self.vmi is not None

    @property
    def locked_by(self) -> str | None:
        name: str | None = self.vm.get("status", {}).get("snapshotInProgress")
        return name

    def volumes(self) -> Iterator[SourceVolume]:
        """Claim-backed volumes of the VM's template."""
        for volume in self.vm["spec"]["template"]["spec"].get("volumes") or []:
            claim = claim_name(volume)
            if claim is None:
                continue
            found = self._context.cache(PVCS).get(self.namespace, claim)
            yield SourceVolume(volume["name"], claim, found, self._filled_by(claim, found))

    def _filled_by(self, name: str, claim: Obj | None) -> Obj | None:
        """The DataVolume that a claim belongs to, or that is to make it."""
        if claim is not None:
            reference = controller_of(claim)
            if reference is None or reference["kind"] != "DataVolume":
                return None
            name = reference["name"]
        return self._context.cache(DATA_VOLUMES).get(self.namespace, name)

    def volume_names(self) -> list[str]:
        return [volume["name"] for volume in self.vm["spec"]["template"]["spec"].get("volumes") or []]

    def class_for(self, claim: Obj) -> str | None:
        """The VolumeSnapshotClass for a claim. Raises Ambiguous."""
        storage_class = class_of(claim, self._context.cache(STORAGE_CLASSES))
        if storage_class is None:
            return None
        profile = self._context.cache(STORAGE_PROFILES).get("", storage_class["metadata"]["name"])
        return snapshot_class(storage_class, profile, list(self._context.cache(VOLUME_SNAPSHOT_CLASSES)))

    def backups(self) -> list[tuple[SourceVolume, str]]:
        """Volumes that can be snapshotted, with their class. Raises Ambiguous."""
        found = []
        for volume in self.volumes():
            if volume.claim is None or not bound(volume.claim):
                continue
            class_name = self.class_for(volume.claim)
            if class_name is not None:
                found.append((volume, class_name))
        return found

    def obstacle(self, snapshot: str) -> str | None:
        """What keeps the VM from being locked for `snapshot`: text behind "Source not locked", None to go ahead."""
        volumes = sorted(self.volumes(), key=lambda volume: volume.claim_name)
        for volume in volumes:
            fault = _fault(volume)
            if fault is not None:
                return f" source {self.namespace}/{self.name} volume {fault}: {volume.claim_name}"
        pods = [] if self.online else self._context.cache(PODS).inside(self.namespace)
        claims = [volume.claim_name for volume in volumes]
        using = {pod["metadata"]["uid"] for claim in claims for pod in users(claim, pods)}
        if using:
            return f" source is offline but {len(using)} pods using PVCs [{' '.join(claims)}]"
        if self.locked_by not in (None, snapshot):
            return f' snapshot "{self.locked_by}" in progress'
        return None

    def indications(self) -> list[str]:
        """What the snapshot's quality depends on; nothing for an offline VM."""
        if self.vmi is None:
            return []
        conditions = self.vmi.get("status", {}).get("conditions")
        if is_true(conditions, "Paused"):
            return ["Online", "Paused"]
        agent = condition(conditions, "AgentConnected") is not None
        return ["GuestAgent" if agent else "NoGuestAgent", "Online"]


def _fault(volume: SourceVolume) -> str | None:
    """Why a volume cannot be captured yet."""
    if volume.claim is None:
        return "doesnt exist"
    if deleting(volume.claim):
        return "is being deleted"
    if not bound(volume.claim):
        return "not bound"
    phase = ((volume.data_volume or {}).get("status") or {}).get("phase")
    return "not populated" if volume.data_volume is not None and phase != "Succeeded" else None
