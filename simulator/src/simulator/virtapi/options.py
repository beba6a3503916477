"""Bodies of start, stop and restart. Pure. (KubeVirt: StartOptions, StopOptions, RestartOptions.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from simulator.api.errors import ApiError


@dataclass(frozen=True)
class Options:
    """`grace`: seconds, None: the VM's own; `dry_run`: ask, and change nothing."""

    grace: int | None = None
    dry_run: bool = False


def read(subresource: str, raw: bytes) -> Options:
    """The body, JSON or YAML; none is as good as an empty one. Raises ApiError 400."""
    struct, field = _struct(subresource)
    try:
        body = json.loads(raw) if raw.lstrip().startswith(b"{") else yaml.safe_load(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise _unreadable(str(error)) from error
    if body is None:
        return Options()
    if not isinstance(body, dict):
        raise _unreadable(f"json: cannot unmarshal {_name(body)} into Go value of type v1.{struct}")
    grace = _checked(body, field, struct, "int64", lambda value: type(value) is int) if field else None
    _checked(body, "paused", struct, "bool", lambda value: isinstance(value, bool))
    asked = _checked(body, "dryRun", struct, "[]string", lambda value: isinstance(value, list))
    if subresource == "restart" and grace is not None and grace != 0:
        negative, positive = "gracePeriod has to be greater or equal to 0", "only gracePeriod=0 is supported for now"
        raise _bad(negative if grace < 0 else f"For force restart, {positive}")
    return Options(grace, bool(asked))


def _struct(subresource: str) -> tuple[str, str]:
    """Names of the type and of the field with the grace."""
    known = {"stop": ("StopOptions", "gracePeriod"), "restart": ("RestartOptions", "gracePeriodSeconds")}
    return known.get(subresource, ("StartOptions", ""))


def _checked(body: dict[str, Any], field: str, struct: str, type_: str, fits: Callable[[Any], bool]) -> Any:
    value = body.get(field)
    if value is not None and not fits(value):
        text = f"json: cannot unmarshal {_name(value)} into Go struct field {struct}.{field} of type {type_}"
        raise _unreadable(text)
    return value


def _name(value: Any) -> str:
    """What Go calls a JSON value."""
    names = {bool: "bool", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "number")


def _unreadable(why: str) -> ApiError:
    return _bad(f"Can not unmarshal Request body to struct, error: {why}")


def _bad(text: str) -> ApiError:
    return ApiError(400, "BadRequest", text)
