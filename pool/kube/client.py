"""One connection to a Kubernetes API: any resource as dicts, errors translated, what can pass retried."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import stamina

from pool.core.errors import ApiError, ApiUnavailable, Forbidden, NotFound
from pool.kube import faults
from pool.kube.credentials.access import Access, unusable
from pool.kube.credentials.config import find_access
from pool.kube.resources import Resource
from pool.kube.sending import ANY, Call, Read, Sender, as_nothing, as_object, as_text

Object = dict[str, Any]
Objects = list[Object]
Patch = Object | Objects

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIELD_MANAGER = "cks-pool"
PAGE = 500
"""Objects a list chunk: kubectl's number; keeps answers of a large pool to a few megabytes."""

PATIENCE = 30.0
"""Seconds for which a call that can pass is tried again: an API server that restarts is back by then."""
CONNECT_PATIENCE = 5.0
"""The same for the first call: who asked waits in front of a screen, and a wrong address does not get better."""

MERGE, JSON_PATCH, APPLY = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)

WORTH_SAYING = timedelta(seconds=5)
"""This machine's own clock may be so far off before the log says it; it decides nothing either way."""


class Kube:
    """A Kubernetes API over one connection pool; safe for any number of tasks of one event loop.

    Every call raises a subclass of ApiError. Calls that fail in passing (429, 5xx, resets, timeouts) are
    tried again for PATIENCE. A write may then have happened already: a create can raise AlreadyExists
    and a guarded replace Conflict for the caller's own first try, which callers treat as they treat anybody's.
    """

    def __init__(self, sender: Sender, *, request_timeout: float, patience: float) -> None:
        self._sender = sender
        self._timeout = request_timeout
        self._patience = patience

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        *,
        context: str | None = None,
        request_timeout: float = 10.0,
        patience: float | None = None,
    ) -> AsyncIterator[Kube]:
        """Connect as a kubeconfig says; None takes $KUBECONFIG, ~/.kube/config or the pod's service account.

        `request_timeout` (seconds) holds for one try of one request, `patience` (seconds; None: PATIENCE) for all tries
        of one. Raises KubeconfigError when the file is missing, unreadable or refused, ApiUnavailable when the server
        does not answer.
        """
        access = find_access(kubeconfig, context=context)
        lasting = PATIENCE if patience is None else patience
        async with cls.using(access, request_timeout=request_timeout, patience=min(lasting, CONNECT_PATIENCE)) as kube:
            try:
                await kube.request("GET", "/version")
                kube._patience = lasting
                kube._compare_clocks()
            except Forbidden as error:
                raise unusable(str(kubeconfig or "in use"), f"credentials refused: {error.message}") from error
            yield kube

    @classmethod
    @asynccontextmanager
    async def using(
        cls, access: Access, *, request_timeout: float = 10.0, patience: float = PATIENCE
    ) -> AsyncIterator[Kube]:
        """Connect to what is known already; nothing is sent yet. Raises KubeconfigError.

        `patience`: seconds for which a call that can pass is tried again; 0 for callers who try again themselves.
        """
        async with Sender.to(access) as sender:
            yield cls(sender, request_timeout=request_timeout, patience=patience)

    @property
    def server(self) -> str:
        """Host and port of the API, for messages."""
        return self._sender.server

    def now(self) -> datetime:
        """The server's time, UTC, by its last answers; within about half a second, soon within a round trip.

        Raises ApiUnavailable before the first answer.
        """
        told = self._sender.told()
        if told is None:
            cure = "whatever stands between must leave the Date header of its answers alone"
            raise ApiUnavailable(0, "NoTime", f"{self.server} has not told its time yet", cure=cure)
        return told

    @property
    def ahead(self) -> timedelta:
        """How far the server's clock is ahead of this machine's own, which decides nothing. Raises ApiUnavailable."""
        return self.now() - datetime.now(UTC)

    def _compare_clocks(self) -> None:
        ahead = self.ahead
        if abs(ahead) > WORTH_SAYING:
            far = timedelta(seconds=round(abs(ahead).total_seconds()))
            side = "behind" if ahead > timedelta() else "ahead of"
            logger.warning("this machine's clock is %s %s that of %s; the latter's counts", far, side, self.server)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object. Raises NotFound."""
        return await self.request("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None if there is none of that name. A kind that is not installed raises NotFound."""
        try:
            return await self.get(resource, name, namespace)
        except NotFound as error:
            if error.reason == faults.NO_SUCH_KIND:
                raise
            return None

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> Objects:
        """All objects of a namespace (None: of all), by label and field selectors. A failure is never an empty list."""
        items, _ = await self.list_at(resource, namespace, labels=labels, fields=fields)
        return items

    async def list_at(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[Objects, str]:
        """As `list`, with the resourceVersion to watch from."""
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(PAGE)}
        items: Objects = []
        page = await self.request("GET", resource.path(namespace), query)
        while True:
            # Items of a list carry neither apiVersion nor kind; callers want whole objects.
            items += [{"apiVersion": resource.api_version, "kind": resource.kind} | item for item in page["items"]]
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"]["resourceVersion"]
            try:
                page = await self.request("GET", resource.path(namespace), query | {"continue": token})
            except ApiError as error:
                if error.status != 410:
                    raise
                # The token outlived the server's history: only a list from the start is consistent.
                items.clear()
                page = await self.request("GET", resource.path(namespace), query)

    async def create(self, resource: Resource, obj: Object, namespace: str | None = None) -> Object:
        """Create an object. Raises AlreadyExists, also for an own first try whose answer was lost."""
        path = resource.path(namespace or obj["metadata"].get("namespace"))
        return await self.request("POST", path, {"fieldManager": FIELD_MANAGER}, obj)

    async def replace(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Write a whole object. With metadata.resourceVersion it raises Conflict if it changed since."""
        path = resource.path(obj["metadata"].get("namespace"), obj["metadata"]["name"], subresource)
        return await self.request("PUT", path, {"fieldManager": FIELD_MANAGER}, obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        subresource: str = "",
        repeatable: bool = False,
    ) -> Object:
        """A merge patch (dict) or a JSON patch (list), tried again after a lost answer only if `repeatable`."""
        path = resource.path(namespace, name, subresource)
        content = JSON_PATCH if isinstance(patch, list) else MERGE
        query = {"fieldManager": FIELD_MANAGER}
        return await self.request(
            "PATCH", path, query, patch, content=content, repeatable=repeatable or content == MERGE
        )

    async def apply(self, resource: Resource, obj: Object, *, force: bool = False) -> Object:
        """Server-side apply as "cks-pool". Raises Conflict over fields of others unless `force`."""
        path = resource.path(obj["metadata"].get("namespace"), obj["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        return await self.request("PATCH", path, query, obj, content=APPLY)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        missing_ok: bool = True,
    ) -> bool:
        """Delete an object, if given only at this `uid` and `resource_version` (else Conflict).

        Returns whether there was one to delete. Finalizers may keep it a while.
        """
        conditions = {"uid": uid, "resourceVersion": resource_version}
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if any(conditions.values()):
            body["preconditions"] = {key: value for key, value in conditions.items() if value}
        try:
            await self.request("DELETE", resource.path(namespace, name), None, body)
        except NotFound as error:
            if not missing_ok or error.reason == faults.NO_SUCH_KIND:
                raise
            return False
        return True

    async def put(self, path: str, body: Object | None = None) -> None:
        """Call a subresource that answers without a body.

        KubeVirt: start and stop answer 202 with an empty body, and 406 to `Accept: application/json`.
        """
        await self._answered(Call("PUT", path, {}, body if body is not None else {}, accept=ANY), as_nothing)

    async def text(
        self, resource: Resource, name: str, namespace: str, *, subresource: str, query: dict[str, str], most: int
    ) -> str:
        """What a subresource (a pod's `log`) answers in plain text: its first `most` bytes, nothing after them."""
        call = Call("GET", resource.path(namespace, name, subresource), query, accept=ANY)
        return await self._answered(call, partial(as_text, most=most))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
        seconds: int = 290,
        silence: float = 75.0,
    ) -> AsyncIterator[tuple[str, Object]]:
        """Events (type, object) after `resource_version`: ADDED, MODIFIED, DELETED, BOOKMARK; one stream, no resuming.

        Ends when the server ends it, at the latest after `seconds`. Raises ApiUnavailable when the stream
        breaks or is silent for `silence` seconds (servers send a bookmark a minute), ApiError with status 410 when
        the version is too old.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": labels,
            "fieldSelector": fields,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=silence)
        try:
            async with self._sender.send(Call("GET", resource.path(namespace), query), timeout) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise faults.answered(int(status.get("code", 500)), json.dumps(status).encode(), {}).error
                    yield event["type"], event["object"]
        except faults.Faulty as failed:
            raise failed.fault.error from failed.__cause__
        except (*faults.NETWORK_FAULTS, ValueError) as error:  # ValueError: half a line, the stream was cut
            raise faults.unanswered(error, self.server).error from error

    async def request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Patch | None = None,
        *,
        content: str = "application/json",
        repeatable: bool = True,
    ) -> Object:
        """One call, tried again while it can pass; an empty answer is {}. Raises ApiError."""
        call = Call(method, path, query or {}, body, content)
        return await self._answered(call, as_object, repeatable=repeatable)

    async def _answered(self, call: Call, read: Read[T], *, repeatable: bool = True) -> T:
        """What `read` makes of the answer, which is asked for again while that can help. Raises ApiError."""
        try:
            async for attempt in stamina.retry_context(
                faults.retry_on(repeatable),
                attempts=None if self._patience else 1,
                timeout=self._patience or None,
                wait_max=5.0,
                wait_jitter=0.5,
            ):
                with attempt:
                    return await self._once(call, read)
        except faults.Faulty as failed:
            raise failed.fault.error from failed.__cause__
        raise AssertionError("retries end with an answer or an error")

    async def _once(self, call: Call, read: Read[T]) -> T:
        async with self._sender.send(call, aiohttp.ClientTimeout(total=self._timeout)) as response:
            try:
                return await read(response)
            except (*faults.NETWORK_FAULTS, ValueError) as error:
                raise faults.Faulty(faults.unanswered(error, self.server)) from error
