"""Which options of a list or a watch go together (apimachinery's `ValidateListOptions`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from simulator.api.calls import Call
from simulator.api.errors import Cause, bad_request, invalid, too_large

EXACT, NOT_OLDER = "Exact", "NotOlderThan"


def check(call: Call, present: int) -> None:
    """Raises ApiError 400 and 422 for options that cannot be, 504 for a version that is not there yet."""
    query = call.request.query
    watch = call.target.verb == "watch"
    causes = list(_watch(query.get("resourceVersionMatch", ""), call) if watch else _list(call))
    if causes:
        raise invalid("meta.k8s.io", "ListOptions", "", causes)
    text = query.get("resourceVersion", "")
    if text and not text.isdigit():
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    if text and int(text) > present:
        raise too_large(int(text), present)


def number(text: str) -> int:
    """An option that is a number; 0 unless given. Raises ApiError 400."""
    if not re.fullmatch(r"[+-]?[0-9]*", text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text or 0)


def exact(call: Call) -> int:
    """The version that a list in chunks, or an exact one, is of; 0 for the present one."""
    query = call.request.query
    return int(query.get("resourceVersion") or 0) if query.get("resourceVersionMatch", EXACT) == EXACT else 0


def _list(call: Call) -> Iterator[Cause]:
    query = call.request.query
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    if match:
        if not version:
            yield _forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        if query.get("continue"):
            yield _forbidden("resourceVersionMatch is forbidden when continue is provided")
        if match not in (EXACT, NOT_OLDER):
            yield _unsupported(match, EXACT, NOT_OLDER, "")
        if match == EXACT and version == "0":
            yield _forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if "sendInitialEvents" in query:
        yield _forbidden("sendInitialEvents is forbidden for list", "sendInitialEvents")


def _watch(match: str, call: Call) -> Iterator[Cause]:
    initial = "sendInitialEvents" in call.request.query
    if initial and match != NOT_OLDER:
        yield _forbidden(f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER}")
    if not match:
        return
    if not initial:
        yield _forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
    if match != NOT_OLDER:
        yield _unsupported(match, NOT_OLDER)
    if call.request.query.get("continue"):
        yield _forbidden("resourceVersionMatch is forbidden when continue is provided")


def _forbidden(why: str, field: str = "resourceVersionMatch") -> Cause:
    return Cause(field, f"Forbidden: {why}", "FieldValueForbidden")


def _unsupported(match: str, *known: str) -> Cause:
    choice = ", ".join(f'"{one}"' for one in known)
    said = f'Unsupported value: "{match}": supported values: {choice}'
    return Cause("resourceVersionMatch", said, "FieldValueNotSupported")
