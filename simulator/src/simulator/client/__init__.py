"""How controllers talk to a Kubernetes API: any resource as dicts, in process or over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

from simulator.api.gvr import GVR

__all__ = ["GVR", "Client", "Event", "Obj", "Patch"]

Obj = dict[str, Any]
Patch = Obj | list[Obj]


class Event(NamedTuple):
    """A watch's event: ADDED, MODIFIED or DELETED."""

    type: str
    object: Obj


class Client(Protocol):
    """A Kubernetes API as one user. Every call raises ApiError; what it returns is the caller's own copy."""

    async def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj:
        """One object."""

    async def list(self, gvr: GVR, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Obj]:
        """The objects of a namespace, of all namespaces when that is None."""

    async def create(self, gvr: GVR, obj: Obj, namespace: str | None = None, *, subresource: str = "") -> Obj:
        """Create; `namespace` defaults to the object's own. With a subresource: that of the object of its name."""

    async def update(self, gvr: GVR, obj: Obj, *, subresource: str = "") -> Obj:
        """Replace at the object's resourceVersion (409 when it has changed since)."""

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        type: str = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Obj:
        """Change an object; `type` is merge, json, strategic or apply. `dry_run`: judge it, and keep nothing."""

    async def delete(
        self,
        gvr: GVR,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        uid: str | None = None,
        grace: int | None = None,
    ) -> None:
        """Delete, if `uid` is given only that very object; `grace` in seconds, for pods."""

    def watch(self, gvr: GVR, namespace: str | None = None, *, labels: str = "") -> AsyncIterator[Event]:
        """All objects as ADDED, then what happens to them, without end.

        When the server's history was lost, objects come as ADDED again, and what vanished meanwhile as DELETED.
        """
