"""Faults of the simulated world on request: what storage, nodes and guests do to a cluster that is well run.

The parts that play the physical world ask here whether something goes wrong; KubeVirt's controllers see what comes of
it through the API alone. What an API server does to its clients is in simulator.api.faults.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from simulator.api.options import (
    Obj,
    check_kind,
    check_options,
    fits,
    numbers,
    probability,
    times,
    truth,
)
from simulator.timing.pulse import Pulse

VM_LABELS = ("snapshot.kubevirt.io/source-vm-name", "restore.kubevirt.io/source-vm-name", "vm.kubevirt.io/name")
"""Where KubeVirt writes on a VolumeSnapshot, a restored claim and a launcher pod which VM they are of."""


class TroubleKind(StrEnum):
    HANG_BOOT = "hang-boot"
    """The VM's domain runs and its guest does not boot: no API, no kubelet, no agent. Taken away, the boot goes on."""
    UNHEALTHY_GUEST = "unhealthy-guest"
    """The guest boots and never gets healthy; `part` says what is wrong."""
    POWER_OFF = "power-off"
    """The guest shuts itself down as soon as it runs, or at once; what follows is the VM's run strategy's affair."""
    CUT_POWER = "cut-power"
    """The power is cut at a point of the VM's first boot (`at`): the instance Failed, files that were not synced are
    empty."""
    UNREACHABLE = "unreachable"
    """The guest does not reach `host`: a repository of packages, a registry of images."""
    STUCK_STOP = "stuck-stop"
    """The VM does not stop, gracefully or by force: its instance and its launcher pod stay. Taken away, it stops."""
    FAIL_IMPORT = "fail-import"
    """The DataVolume's import, or its blank image, fails (`message`) and is tried again. Taken away, it succeeds."""
    FAIL_PULL = "fail-pull"
    """The images of the VM's launcher pod cannot be pulled (`message`): its containers wait. Taken away, they can."""
    FAIL_START = "fail-start"
    """The VM's launcher pod fails as soon as it runs, so that the instance is Failed before its domain ever ran."""
    PENDING_PVC = "pending-pvc"
    """The claim never binds, be it blank, cloned or restored. Taken away, it binds."""
    VOID_RESTORE = "void-restore"
    """The claim made of a snapshot has what the VM's disk had last, and not what the snapshot has."""
    FAIL_SNAPSHOT = "fail-snapshot"
    """The VolumeSnapshot has an error (`message`). Taken away, it is tried again."""
    LOSE_SNAPSHOT = "lose-snapshot"
    """The VolumeSnapshot and its content vanish once the VirtualMachineSnapshot that it is of can be used."""
    FAIL_RESTORE = "fail-restore"
    """The VirtualMachineRestore fails for good (condition Failure) after it has claimed its VM and asked for volumes;
    with `terminal` false it has an error that is tried again."""


class Part(StrEnum):
    """What is wrong with a guest that never gets healthy."""

    KUBELET = "kubelet"
    """It does nothing: the node's lease is not renewed, so that the node is what was last written of it."""
    APISERVER = "apiserver"
    """/readyz answers 500."""


COMMON = ("namespace", "name", "probability", "count")
OPTIONS: dict[TroubleKind, tuple[str, ...]] = {
    TroubleKind.FAIL_PULL: ("message",),
    TroubleKind.UNHEALTHY_GUEST: ("part",),
    TroubleKind.CUT_POWER: ("at",),
    TroubleKind.UNREACHABLE: ("host",),
    TroubleKind.FAIL_IMPORT: ("message",),
    TroubleKind.FAIL_SNAPSHOT: ("message",),
    TroubleKind.FAIL_RESTORE: ("terminal", "message"),
}
"""Options of single kinds, besides those that all have."""


@dataclass(frozen=True)
class Victim:
    """What a trouble may befall: one object, or one boot of a VM. `names`: all that a pattern may mean it by."""

    uid: str
    namespace: str
    names: tuple[str, ...]


def victim(obj: Obj) -> Victim:
    """An object as a victim: by its own name; what is of a VM (snapshot, restored claim, pod, restore) by that, too."""
    meta = obj["metadata"]
    labels = meta.get("labels") or {}
    target = (obj.get("spec") or {}).get("target") or {}
    names = (meta["name"], *(labels[one] for one in VM_LABELS if one in labels), target.get("name", ""))
    return Victim(meta["uid"], meta.get("namespace", ""), tuple(name for name in names if name))


@dataclass
class Trouble:
    """What goes wrong, and with which objects of the kind that it is about.

    `namespace`, `name`, `at`, `host`: shell patterns, empty for all; `probability`: how likely it befalls an object,
    decided once for each; `count`: how many objects it befalls, None for all. A VM's boot counts as an object of its
    own each time.
    """

    kind: TroubleKind
    namespace: str = ""
    name: str = ""
    probability: float = 1.0
    count: int | None = None
    part: Part = Part.KUBELET
    terminal: bool = True
    message: str = ""
    at: str = ""
    host: str = ""
    struck: set[str] = field(default_factory=set, compare=False, repr=False)
    """UIDs of the objects that it has befallen."""
    number: int = field(default_factory=numbers.__next__, compare=False, init=False)
    _spared: set[str] = field(default_factory=set, compare=False, repr=False)

    def strikes(self, who: Victim, chance: Callable[[], float]) -> bool:
        """Whether it befalls this one; the same answer each time."""
        if who.uid in self.struck:
            return True
        if who.uid in self._spared or not (fits(self.namespace, who.namespace) and fits(self.name, *who.names)):
            return False
        if self.count is not None and len(self.struck) >= self.count:
            return False
        hit = self.probability >= 1.0 or chance() < self.probability
        (self.struck if hit else self._spared).add(who.uid)
        return hit


class Troubles:
    """The troubles of one simulated world; `seed` makes what chance decides repeatable."""

    def __init__(self, troubles: Iterable[Trouble] = (), seed: int | None = None) -> None:
        self.troubles = list(troubles)
        self._random = random.Random(seed)
        self._listeners: list[Callable[[], None]] = []
        self._changed = Pulse()

    def add(self, trouble: Trouble) -> Trouble:
        """From now on; what is under way is befallen too."""
        self.troubles.append(trouble)
        self._tell()
        return trouble

    def remove(self, trouble: Trouble) -> None:
        """It is over, and whom it has befallen goes on where life lets it."""
        self.troubles = [one for one in self.troubles if one is not trouble]
        self._tell()

    def clear(self) -> None:
        self.troubles = []
        self._tell()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this after every change."""
        self._listeners.append(listener)

    def of(
        self, kind: TroubleKind, who: Victim, part: Part | None = None, *, at: str = "", host: str = ""
    ) -> Trouble | None:
        """The trouble of that kind (and part, point, host) that has befallen this one, if any."""
        for one in self.troubles:
            fitting = part in (None, one.part) and fits(one.at, at) and fits(one.host, host)
            if one.kind is kind and fitting and one.strikes(who, self._random.random):
                return one
        return None

    async def wait(self, kind: TroubleKind, who: Victim, part: Part | None = None, *, begun: bool) -> None:
        """Until this one is in that trouble (`begun`) or is not."""
        await self._changed.until(lambda: True if (self.of(kind, who, part) is not None) is begun else None)

    def _tell(self) -> None:
        self._changed.beat()
        for listener in self._listeners:
            listener()


def of(given: Obj) -> Trouble:
    """A trouble from names and values, as texts or as JSON has them. Raises ValueError."""
    kind = TroubleKind(check_kind(given, TroubleKind))
    check_options(given, (*COMMON, *OPTIONS.get(kind, ())))
    readers: dict[str, Callable[[Any], Any]] = {
        "probability": probability,
        "count": times,
        "part": _part,
        "terminal": truth,
    }
    values = {name: readers.get(name, str)(value) for name, value in given.items() if name != "kind"}
    return Trouble(kind, **values)


def _part(value: Any) -> Part:
    if value not in list(Part):
        raise ValueError(f"there is no part {value!r}; there are {', '.join(Part)}")
    return Part(str(value))


def shown(trouble: Trouble) -> Obj:
    """A trouble as JSON, with its number and with how many it has befallen."""
    options = {name: getattr(trouble, name) for name in (*COMMON, *OPTIONS.get(trouble.kind, ()))}
    return {"id": trouble.number, "kind": trouble.kind, **options, "struck": len(trouble.struck)}
