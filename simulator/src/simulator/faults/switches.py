"""One switchboard for all faults on request: those of the API server and those of the world behind it."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.api import faults
from simulator.api.faults import Fault, FaultKind, Faults
from simulator.api.options import Obj, check_kind, read
from simulator.faults import troubles
from simulator.faults.troubles import COMMON, OPTIONS, Part, Trouble, TroubleKind, Troubles

_CHOICES = {"part": f"part ({' or '.join(Part)})"}
_OWN = "; ".join(f"of {kind} {', '.join(_CHOICES.get(one, one) for one in own)}" for kind, own in OPTIONS.items())
WORLD = (
    f"{', '.join(TroubleKind)}; options: {', '.join(COMMON)} (namespace and name may be shell patterns); {_OWN}."
    " Example: hang-boot,namespace=lab-*,name=cp,count=1"
)
"""What a command line says of the world's faults."""


def of(given: Obj) -> Fault | Trouble:
    """A fault of either sort from names and values, as texts or as JSON has them. Raises ValueError."""
    kind = check_kind(given, [*FaultKind, *TroubleKind])
    return troubles.of(given) if kind in list(TroubleKind) else faults.of(given)


def parse(text: str) -> Fault | Trouble:
    """A fault of either sort from `kind,option=value,...`. Raises ValueError."""
    return of(read(text))


class Switches:
    """What is switched on, in the order of switching. `played`: whether there are controllers for a world to fail."""

    def __init__(self, of_api: Faults, of_world: Troubles, *, played: bool) -> None:
        self._api = of_api
        self._world = of_world
        self._played = played

    def add(self, fault: Fault | Trouble) -> None:
        """Raises ValueError for a fault of the world where there is none."""
        if not isinstance(fault, Trouble):
            self._api.add(fault)
        elif not self._played:
            raise ValueError(f"{fault.kind} is the controllers' to play, and they are left out here")
        else:
            self._world.add(fault)

    def add_all(self, given: Iterable[Fault | Trouble]) -> None:
        for fault in given:
            self.add(fault)

    def switch_on(self, given: Obj) -> None:
        """Add what JSON describes. Raises ValueError for what there is not, or not here."""
        self.add(of(given))

    def switch_off(self, number: int) -> None:
        """Take one away. Raises KeyError."""
        for fault in self._api.faults:
            if fault.number == number:
                self._api.remove(fault)
                return
        for trouble in self._world.troubles:
            if trouble.number == number:
                self._world.remove(trouble)
                return
        raise KeyError(number)

    def clear(self) -> None:
        self._api.clear()
        self._world.clear()

    def shown(self) -> list[Obj]:
        """All as JSON, each with its `id` and with how often it has struck."""
        known = [faults.shown(one) for one in self._api.faults] + [troubles.shown(one) for one in self._world.troubles]
        return sorted(known, key=lambda one: int(one["id"]))
