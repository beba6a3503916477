"""Kubernetes Events, written beside the work so that no controller waits for them."""

from __future__ import annotations

import asyncio
import logging
import uuid

from simulator.api.errors import ApiError
from simulator.client import Client, Obj
from simulator.client.meta import now
from simulator.client.resources import EVENTS

log = logging.getLogger("simulator.controllers.runtime.events")
REMEMBERED = 4096


class EventRecorder:
    """Records events; the same text about the same object counts up instead of piling up, as client-go's recorder."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: asyncio.Queue[Obj] = asyncio.Queue()
        self._known: dict[tuple[str, ...], tuple[str, int]] = {}

    def record(self, about: Obj, type_: str, reason: str, message: str, *, component: str = "virt-controller") -> None:
        """Note `reason`/`message` (type Normal or Warning) about an object that has kind and metadata."""
        meta = about["metadata"]
        stamp = now()
        self._queue.put_nowait(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{meta['name']}.{uuid.uuid4().hex[:16]}",
                    "namespace": meta.get("namespace") or "default",
                },
                "involvedObject": {
                    "apiVersion": about["apiVersion"],
                    "kind": about["kind"],
                    "name": meta["name"],
                    "namespace": meta.get("namespace", ""),
                    "uid": meta["uid"],
                },
                "type": type_,
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "source": {"component": component},
                "reportingComponent": component,
                "reportingInstance": "",
            }
        )

    async def run(self) -> None:
        """Write what is recorded until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except ApiError as error:
                # A namespace that is going away takes no events; nothing depends on them.
                log.debug("event %s not written: %s", event["reason"], error)

    async def _write(self, event: Obj) -> None:
        same = (event["involvedObject"]["uid"], event["type"], event["reason"], event["message"])
        known = self._known.get(same)
        if known is not None:
            name, count = known
            patch = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch(EVENTS, name, patch, event["metadata"]["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                self._known[same] = (name, count + 1)
                return
        await self._client.create(EVENTS, event, event["metadata"]["namespace"])
        if len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[same] = (event["metadata"]["name"], 1)
