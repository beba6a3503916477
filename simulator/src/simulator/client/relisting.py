"""A watch without end: goes on where it broke off, begins anew when the history is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from simulator.api.errors import ApiError
from simulator.client import Event

Obj = dict[str, Any]
Open = Callable[[dict[str, str]], AsyncIterator[Obj]]
PAUSE = 0.05
"""Seconds between the end of a watch and the next one; doubled up to PAUSE_MAX while there is no answer."""
PAUSE_MAX = 2.0


async def follow(open_watch: Open) -> AsyncIterator[Event]:
    """Events of `open_watch(query)`, opened again for ever.

    After a loss of history every object is ADDED again, and what went unseen is DELETED (as it was last seen).
    Raises ApiError for answers that trying again does not cure (4xx but 408, 410 and 429).
    """
    known: dict[str, Obj] = {}
    version, pause = "", PAUSE
    while True:
        try:
            async for event in _one(open_watch, version, known):
                pause = PAUSE
                if event.type in ("ADDED", "MODIFIED", "DELETED"):
                    yield event
                version = event.object["metadata"]["resourceVersion"]
        except ApiError as error:
            if error.code == 410:
                version = ""
            elif error.code < 500 and error.code not in (408, 429):
                raise
        except OSError:
            pass
        await asyncio.sleep(pause)
        pause = min(pause * 2, PAUSE_MAX)


async def _one(open_watch: Open, version: str, known: dict[str, Obj]) -> AsyncIterator[Event]:
    query = {"allowWatchBookmarks": "true"}
    if version:
        query["resourceVersion"] = version
    else:
        query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    unseen = {} if version else dict(known)
    async for line in open_watch(query):
        kind, obj = line["type"], line["object"]
        if kind == "ERROR":
            raise ApiError(obj.get("code", 500), obj.get("reason", ""), obj.get("message", ""))
        if kind == "BOOKMARK":
            # All that there is has been told now.
            for uid, gone in unseen.items():
                known.pop(uid, None)
                yield Event("DELETED", gone)
            unseen.clear()
        else:
            uid = obj["metadata"]["uid"]
            unseen.pop(uid, None)
            if kind == "DELETED":
                known.pop(uid, None)
            else:
                known[uid] = obj
        yield Event(kind, obj)
