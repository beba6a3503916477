"""Server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.api import managed
from simulator.api.patching import merge

if TYPE_CHECKING:
    from simulator.api.writing import Call

Obj = dict[str, Any]


def apply(current: Obj | None, body: Any, call: Call) -> tuple[Obj, managed.Booking]:
    return merge(current or {}, body), managed.update
