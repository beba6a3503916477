"""metadata.managedFields: who set which field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.api.kinds import Kind
from simulator.api.requests import Target

Obj = dict[str, Any]
Booking = Callable[[Obj, Obj | None, str, Target, Kind], Obj]
"""Books the changes of a write: new object, old one, manager, target, kind; returns the object to store."""


def update(obj: Obj, old: Obj | None, manager: str, target: Target, kind: Kind) -> Obj:
    return obj
