"""Hooks that see every write before it is stored, as webhooks do."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.api.gvr import GVR
from simulator.api.requests import User

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


async def admit(hooks: list[Hook], request: AdmissionRequest) -> None:
    """Ask all hooks in their order; the first ApiError ends the write."""
    for hook in hooks:
        result = hook(request)
        if inspect.isawaitable(result):
            await result
