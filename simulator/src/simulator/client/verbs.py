"""What a client asks of an API, whichever way it speaks to it: paths, bodies, and answers as objects or errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson

from simulator.api import bodies
from simulator.api.errors import ApiError
from simulator.api.requests import JSON
from simulator.client import GVR, Event, Obj, Patch
from simulator.client.relisting import follow

PATCHES = {"merge": bodies.MERGE, "json": bodies.JSON_PATCH, "strategic": bodies.STRATEGIC, "apply": bodies.APPLY}


class Verbs(ABC):
    """The calls of a Client, but for lists, over one request and one stream of lines, which a subclass carries."""

    def __init__(self, manager: str) -> None:
        self._manager = manager

    async def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj:
        return await self._object("GET", gvr.path(namespace, quote(name)))

    async def create(self, gvr: GVR, obj: Obj, namespace: str | None = None, *, subresource: str = "") -> Obj:
        name = quote(obj["metadata"]["name"]) if subresource else ""
        path = gvr.path(namespace or obj["metadata"].get("namespace"), name, subresource)
        return await self._object("POST", path, self._managed(), obj)

    async def update(self, gvr: GVR, obj: Obj, *, subresource: str = "") -> Obj:
        meta = obj["metadata"]
        path = gvr.path(meta.get("namespace"), quote(meta["name"]), subresource)
        return await self._object("PUT", path, self._managed(), obj)

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
        path = gvr.path(namespace, quote(name), subresource)
        query = self._managed() | ({"dryRun": "All"} if dry_run else {})
        return await self._object("PATCH", path, query, patch, PATCHES[type])

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
        body: Obj = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self._object("DELETE", gvr.path(namespace, quote(name)), {}, body)

    async def watch(self, gvr: GVR, namespace: str | None = None, *, labels: str = "") -> AsyncIterator[Event]:
        async for event in follow(lambda query: self._lines(gvr, namespace, {"labelSelector": labels, **query})):
            yield event

    @abstractmethod
    def _lines(self, gvr: GVR, namespace: str | None, query: dict[str, str]) -> AsyncIterator[Obj]:
        """The lines of a watch, until the server ends it."""

    @abstractmethod
    async def _object(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None, content: str = JSON
    ) -> Obj:
        """The answer to a request. Raises ApiError."""

    def _managed(self) -> dict[str, str]:
        return {"fieldManager": self._manager}


def whole_items(found: Obj) -> list[Obj]:
    """A list's items with apiVersion and kind, which built-in kinds leave out there."""
    head = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    return [head | item for item in found["items"]]


def error_of(status: int, body: bytes) -> ApiError:
    """The ApiError that an answer stands for."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or content.get("kind") != "Status":
        return ApiError(status, "", body.decode(errors="replace").strip() or f"status {status}")
    details = content.get("details")
    retry = (details or {}).get("retryAfterSeconds")
    reason = content.get("reason", "")
    return ApiError(status, reason, content.get("message", ""), details, retry_after=retry)
