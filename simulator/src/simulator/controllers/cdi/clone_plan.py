"""By which strategy CDI clones a claim, and why it falls back to copying. Pure. (CDI: pkg/controller/clone.)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulator.api.quantities import quantity
from simulator.client import Obj
from simulator.controllers.storage.claims import request
from simulator.controllers.storage.populating import ClonePhase


class Strategy(StrEnum):
    """Values of `cloneStrategy` of a StorageProfile and of the annotation `cloneType`."""

    COPY = "copy"
    """Two pods read and write every byte (host-assisted): takes as long as the disk is large."""
    CSI_CLONE = "csi-clone"
    SNAPSHOT = "snapshot"


PHASES = {
    Strategy.COPY: (ClonePhase.HOST_CLONE, ClonePhase.REBIND),
    Strategy.CSI_CLONE: (ClonePhase.CSI_CLONE, ClonePhase.PREP_CLAIM, ClonePhase.REBIND),
    Strategy.SNAPSHOT: (
        ClonePhase.SNAPSHOT,
        ClonePhase.SNAPSHOT_CLONE,
        ClonePhase.PREP_CLAIM,
        ClonePhase.REBIND,
    ),
}
"""What a clone goes through, in order. One from a VolumeSnapshot begins at the second of `snapshot`."""


class CloneError(Exception):
    """The clone cannot be made as things are. CDI tries again for ever, and never calls it Failed."""


@dataclass(frozen=True)
class Plan:
    """The strategy taken; if it is not the one that was asked for: the event's reason and the text that says why."""

    strategy: Strategy
    reason: str = ""
    fallback: str = ""


@dataclass(frozen=True)
class Clone:
    """What is known of a clone. `storage_class`: the target's; `driver`: of the source's volume; `snapshots`: whether
    a VolumeSnapshotClass serves the target's class."""

    source: Obj
    target: Obj
    storage_class: Obj
    driver: str
    snapshots: bool

    def plan(self, wanted: Strategy = Strategy.SNAPSHOT) -> Plan:
        """CDI's default is a snapshot. Raises CloneError."""
        if quantity(request(self.target)) < quantity(request(self.source)):
            raise CloneError("target resources requests storage size is smaller than the source")
        same_driver = self.driver == self.storage_class["provisioner"]
        if wanted is Strategy.SNAPSHOT and not (self.snapshots and same_driver):
            return _copy("NoVolumeSnapshotClass", "No compatible volumesnapshotclass found")
        if wanted is Strategy.COPY:
            return Plan(wanted)
        if not same_driver:
            return _copy("IncompatibleProvisioners", "Provisioners are incompatible")
        if _mode(self.source) != _mode(self.target):
            return _copy("IncompatibleVolumeModes", "The volume modes of source and target are incompatible")
        if self._grows() and not self.storage_class.get("allowVolumeExpansion"):
            return _copy("NoVolumeExpansion", "No volume expansion is possible")
        return Plan(wanted)

    def _grows(self) -> bool:
        capacity = self.source["status"].get("capacity", {}).get("storage", request(self.source))
        return quantity(capacity) < quantity(request(self.target))


def _copy(reason: str, text: str) -> Plan:
    return Plan(Strategy.COPY, reason, text)


def _mode(claim: Obj) -> str:
    return str(claim["spec"].get("volumeMode", "Filesystem"))
