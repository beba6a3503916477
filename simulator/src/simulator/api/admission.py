"""Hooks that see every write before it is stored, as webhooks do."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.api.calls import Call
from simulator.api.gvr import GVR
from simulator.api.requests import User
from simulator.api.values import copied

Obj = dict[str, Any]


@dataclass
class AdmissionRequest:
    """One write: `operation` CREATE, UPDATE, DELETE or CONNECT. Hooks may change `object` in place or put a new one."""

    operation: str
    gvr: GVR
    kind: str
    subresource: str
    namespace: str
    name: str
    object: Obj
    """The new object; empty for DELETE."""
    old_object: Obj | None
    user: User
    dry_run: bool
    warnings: list[str] = field(default_factory=list)


Hook = Callable[[AdmissionRequest], Awaitable[None] | None]


async def admit(hooks: Sequence[Hook], request: AdmissionRequest) -> None:
    """Ask all hooks in their order; the first ApiError ends the write."""
    for hook in hooks:
        result = hook(request)
        if inspect.isawaitable(result):
            await result


async def admitted(hooks: Sequence[Hook], call: Call, operation: str, obj: Obj, old: Obj | None) -> Obj:
    """The object as the hooks leave it, for a deletion an empty one. Raises ApiError as they do."""
    kind = call.kind
    meta = (obj or old or {"metadata": {}})["metadata"]
    request = AdmissionRequest(
        operation,
        GVR(kind.group, kind.storage or call.target.version, kind.plural),
        kind.kind,
        call.target.subresource,
        meta.get("namespace", ""),
        meta.get("name", ""),
        copied(obj) if obj else {},
        old,
        call.user,
        call.dry_run if operation != "DELETE" else False,
        call.warnings,
    )
    await admit(hooks, request)
    return request.object
