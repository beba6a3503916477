"""The options of writes, as far as they can be wrong (apimachinery's `ValidateCreateOptions` and its siblings)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api import bodies
from simulator.api.calls import Call
from simulator.api.errors import Cause, invalid
from simulator.api.values import shown

Obj = dict[str, Any]
GROUP = "meta.k8s.io"
_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_PROPAGATIONS = ("Foreground", "Background", "Orphan", "nil")
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
LONGEST = 128
"""Bytes of a manager's name."""


def check(call: Call) -> None:
    """Raises ApiError 422 for options of a create, an update or a patch that cannot be."""
    query = call.request.query
    causes = [*_dry_run(query.get("dryRun") or ""), *_manager(query.get("fieldManager", ""))]
    wanted = query.get("fieldValidation", "")
    if wanted not in _VALIDATIONS:
        causes.append(_unsupported("fieldValidation", shown(wanted), _VALIDATIONS))
    if call.target.verb == "patch":
        causes += _of_patches(call)
    if causes:
        raise invalid(GROUP, _KINDS[call.target.verb], "", causes)


def check_deletion(given: Obj, dry_run: str) -> None:
    """Raises ApiError 422 for DeleteOptions that cannot be; `dry_run`: what they say of that."""
    causes = []
    propagation = given.get("propagationPolicy")
    if propagation is not None and given.get("orphanDependents") is not None:
        said = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(Cause("propagationPolicy", f"Invalid value: {shown(propagation)}: {said}"))
    if propagation is not None and propagation not in _PROPAGATIONS[:-1]:
        causes.append(_unsupported("propagationPolicy", shown(propagation), _PROPAGATIONS))
    if causes := [*causes, *_dry_run(dry_run)]:
        raise invalid(GROUP, "DeleteOptions", "", causes)


def _dry_run(wanted: str) -> Iterator[Cause]:
    if wanted not in ("", "All"):
        yield _unsupported("dryRun", f"[{shown(wanted)}]", ("All",))


def _manager(name: str) -> Iterator[Cause]:
    if len(name.encode()) > LONGEST:
        yield Cause("fieldManager", f"Too long: may not be more than {LONGEST} bytes", "FieldValueTooLong")
    elif not name.isprintable():
        said = "should only contain printable characters"
        yield Cause("fieldManager", f"Invalid value: {shown(name)}: {said}")


def _of_patches(call: Call) -> Iterator[Cause]:
    applies = bodies.media_type(call.request.headers.get("content-type", "")) == bodies.APPLY
    if applies and not call.request.query.get("fieldManager"):
        yield Cause("fieldManager", "Required value: is required for apply patch", "FieldValueRequired")
    elif not applies and "force" in call.request.query:
        yield Cause("force", "Forbidden: may not be specified for non-apply patch", "FieldValueForbidden")


def _unsupported(field: str, value: str, known: tuple[str, ...]) -> Cause:
    choice = ", ".join(f'"{one}"' for one in known)
    return Cause(field, f"Unsupported value: {value}: supported values: {choice}", "FieldValueNotSupported")
