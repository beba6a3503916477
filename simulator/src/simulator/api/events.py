"""The two faces of Events: `v1` as they are stored, `events.k8s.io/v1` as newer clients see them."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in _NAMES.items()}


def to_new(event: Obj) -> Obj:
    """The stored event as `events.k8s.io/v1`."""
    return {_NAMES.get(name, name): value for name, value in event.items()} | {"apiVersion": "events.k8s.io/v1"}


def to_core(event: Obj) -> Obj:
    """An event of `events.k8s.io/v1` as it is stored."""
    return {_BACK.get(name, name): value for name, value in event.items()} | {"apiVersion": "v1"}
