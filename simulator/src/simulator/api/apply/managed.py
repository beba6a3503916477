"""metadata.managedFields: who set which field, kept with every write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.api.apply import fieldsets
from simulator.api.apply.fieldsets import Path
from simulator.api.kinds import Kind, Version
from simulator.api.objects import now
from simulator.api.requests import Target
from simulator.api.schema import Schema

Obj = dict[str, Any]
Booking = Callable[[Obj, Obj | None, str, Target, Kind], Obj]
"""Books the changes of a write: new object, old one, manager, target, kind; returns the object to store."""


@dataclass
class Entry:
    """One manager's fields. `source` is the entry as it was read, as long as it holds."""

    manager: str
    operation: str
    version: str
    subresource: str
    time: str
    fields: set[Path]
    source: Obj | None = None

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.manager, self.operation, self.version, self.subresource

    def written(self) -> Obj:
        if self.source is not None:
            return self.source
        entry: Obj = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldsets.to_v1(self.fields),
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def entries(obj: Obj | None) -> list[Entry]:
    """The object's entries; what is no entry counts for nothing."""
    found = []
    for one in ((obj or {}).get("metadata") or {}).get("managedFields") or []:
        if not one.get("manager") or "fieldsV1" not in one:
            continue
        found.append(
            Entry(
                one["manager"],
                one.get("operation", "Update"),
                one.get("apiVersion", ""),
                one.get("subresource", ""),
                one.get("time", ""),
                fieldsets.from_v1(one["fieldsV1"]),
                one,
            )
        )
    return found


def schema_of(version: Version | None) -> Schema | None:
    """The fields of a version as managers have them, with all of the metadata."""
    return (version.fields or version.schema) if version is not None else None


def update(obj: Obj, old: Obj | None, manager: str, target: Target, kind: Kind) -> Obj:
    """An ordinary write: what it changed is its manager's now, and nobody else's."""
    given = obj["metadata"].pop("managedFields", None)
    if given == [{}]:
        return obj  # an explicit reset
    found = list(fieldsets.changes(obj, old or {}, schema_of(kind.versions.get(kind.storage))))
    changed = {path for what, path in found if what == "set"}
    version = kind.versions.get(target.version)
    if version is not None and version.status and target.subresource != "status":
        # What the server itself puts there is not its writer's.
        changed = {path for path in changed if path[0] != "f:status"}
    removed = {path for what, path in found if what == "removed"}
    known = ((old or {}).get("metadata") or {}).get("managedFields")
    if not changed and not removed:
        return _with(obj, known)
    subresource = target.subresource if target.subresource in ("status", "scale") else ""
    identity = (manager, "Update", kind.api_version(target.version), subresource)
    if known and not removed and _owned_already(known, identity, changed):
        return _with(obj, [_stamped(one) if _identity(one) == identity else one for one in known])
    return _with(obj, written(_booked(entries(old), identity, changed, removed)))


def written(found: list[Entry]) -> list[Obj]:
    """The entries as objects have them: those of applies first, each kind from the oldest on."""
    listed = [one.written() for one in found if one.fields]
    return sorted(listed, key=lambda one: (one["operation"], one.get("time", ""), one["manager"], one["apiVersion"]))


def same(obj: Obj, old: Obj) -> bool:
    """Whether nothing but the times of managers differs: such a write is none."""
    if obj == old:
        return True
    meta, before = obj["metadata"], old["metadata"]
    if len(meta.get("managedFields") or ()) != len(before.get("managedFields") or ()):
        return False
    return {**obj, "metadata": _untimed(meta)} == {**old, "metadata": _untimed(before)}


def _untimed(meta: Obj) -> Obj:
    """The metadata with managers that have no times."""
    return {**meta, "managedFields": [{**one, "time": ""} for one in meta.get("managedFields") or ()]}


def _identity(entry: Obj) -> tuple[Any, Any, Any, Any]:
    return entry.get("manager"), entry.get("operation"), entry.get("apiVersion"), entry.get("subresource", "")


def _stamped(entry: Obj) -> Obj:
    """The entry of a manager that wrote again."""
    return {**entry, "time": now()}


def _owned_already(known: list[Obj], identity: tuple[str, str, str, str], changed: set[Path]) -> bool:
    """Whether the manager has all these fields for itself, so that nothing is to be booked."""
    own = None
    for one in known:
        if _identity(one) == identity:
            own = one["fieldsV1"]
        elif any(_has(one.get("fieldsV1") or {}, path) for path in changed):
            return False
    return own is not None and all(_has(own, path) for path in changed)


def _has(fields: Obj, path: Path) -> bool:
    node: Any = fields
    for step in path:
        node = node.get(step)
        if node is None:
            return False
    return not node or "." in node


def _booked(
    found: list[Entry], identity: tuple[str, str, str, str], changed: set[Path], removed: set[Path]
) -> list[Entry]:
    own = next((one for one in found if one.identity == identity), None)
    for one in found:
        without = one.fields - changed - removed if one is not own else one.fields - removed
        if without != one.fields:
            one.fields, one.source = without, None
    if own is None:
        own = Entry(*identity, now(), set())
        found.append(own)
    if changed:
        own.fields, own.source, own.time = own.fields | changed, None, now()
    return found


def _with(obj: Obj, managed: list[Obj] | None) -> Obj:
    if managed:
        obj["metadata"]["managedFields"] = managed
    return obj
