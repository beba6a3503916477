"""Watches: from a version on, or from the present; what enters or leaves a selection is added or deleted there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from simulator.api.calls import Call
from simulator.api.errors import gone
from simulator.api.kinds import Kind
from simulator.api.reading import listoptions
from simulator.api.reading.lists import matcher, object_bytes
from simulator.api.reading.selectors import Matches
from simulator.api.store import Change, Store, Stored

Obj = dict[str, Any]
BOOKMARKS = 60.0
"""Seconds between bookmarks of a quiet watch, as the real server."""
BACKLOG = 10_000
"""Events a client may be behind before its watch is ended; the real server ends it much sooner."""
CROWD = 20
BATCH = 0.0004
"""Seconds between two chunks of a watch, for every watcher of the same objects beyond CROWD."""
Encode = Callable[[str, Stored], bytes]


@dataclass(frozen=True)
class Options:
    """What a watch was asked for; `version` None: begin with what exists."""

    version: int | None
    initial_events: bool
    bookmarks: bool
    timeout: float


def options(call: Call, present: int) -> Options:
    """Raises ApiError 400, 422, 504."""
    listoptions.check(call, present)
    query = call.request.query
    text = query.get("resourceVersion", "")
    asked = call.request.flag("sendInitialEvents") if "sendInitialEvents" in query else None
    timeout = listoptions.number(query.get("timeoutSeconds", "")) or random.uniform(1800, 3600)
    version = int(text) if text not in ("", "0") else None
    if asked is False and version is None:
        version = present
    return Options(version, bool(asked), call.request.flag("allowWatchBookmarks"), timeout)


def line(type_: str, body: bytes) -> bytes:
    """One event as the stream has it."""
    return b'{"type":"' + type_.encode() + b'","object":' + body + b"}\n"


def encoder(kind: Kind, version: str) -> Encode:
    """Events with whole objects; the JSON is made once for all watchers."""
    return lambda type_, stored: line(type_, object_bytes(kind, version, stored))


def _told(change: Change) -> bytes:
    """The event with the object as it is stored, made once for all watches that tell it so."""
    change.line = line(change.type, change.stored.json)
    return change.line


def bookmark(kind: Kind, version: str, at: int, *, initial: bool = False) -> bytes:
    """Nothing but a version to go on from; `initial` marks the end of the initial events."""
    meta: Obj = {"resourceVersion": str(at), "creationTimestamp": None}
    if initial:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return line(
        "BOOKMARK", orjson.dumps({"kind": kind.kind, "apiVersion": kind.api_version(version), "metadata": meta})
    )


class Watch:
    """One watch: an iterator of chunks of whole lines, every chunk as many events as there were to tell."""

    def __init__(self, store: Store, call: Call, encode: Encode | None) -> None:
        """`encode`: another form of the events than whole objects."""
        self._store = store
        self._kind, self._version = call.kind, call.target.version
        self._namespace = call.target.namespace if call.kind.namespaced else ""
        self._encode = encode or encoder(self._kind, self._version)
        self._matches: Matches | None = matcher(call)
        # Nothing left out and nothing converted: the very same lines as other such watches.
        self._plain = encode is None and self._matches is None and self._version == self._kind.storage
        self._options = options(call, store.version)
        self._pending: list[Change] = []
        self._news = asyncio.Event()
        self._closed = False
        self.ended = asyncio.Event()

    def close(self) -> None:
        """End the stream after what is pending, as a dropped connection would."""
        self._closed = True
        self._news.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream, until its time is over."""
        collection = self._kind.collection
        wanted = self._options
        # From here on nothing is missed: what is told from the history was before, what comes in later is after.
        start = self._store.version
        stop = self._store.follow(collection, self._namespace, self._tell)
        try:
            if wanted.version is None or wanted.initial_events:
                if first := self._initial(start):
                    yield first
            else:
                history = self._store.since(collection, wanted.version)
                if history is None:
                    error = gone(self._store.oldest(collection), wanted.version)
                    yield line("ERROR", orjson.dumps(error.to_status()))
                    return
                if first := self._lines([c for c in history if not self._namespace or c.key[0] == self._namespace]):
                    yield first
            async for chunk in self._live():
                yield chunk
        finally:
            stop()
            self.ended.set()

    def _initial(self, start: int) -> bytes:
        stored = self._store.list(self._kind.collection, self._namespace)
        lines = [self._encode("ADDED", one) for one in stored if self._matches is None or self._matches(one.obj)]
        if self._options.bookmarks:
            lines.append(bookmark(self._kind, self._version, start, initial=True))
        return b"".join(lines)

    def _tell(self, change: Change) -> None:
        self._pending.append(change)
        if len(self._pending) > BACKLOG:
            self._closed = True
        self._news.set()

    async def _live(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.timeout
        while not self._closed:
            left = deadline - loop.time()
            if left <= 0:
                break
            try:
                async with asyncio.timeout(min(left, BOOKMARKS)):
                    await self._news.wait()
            except TimeoutError:
                if self._options.bookmarks and not self._pending:
                    yield bookmark(self._kind, self._version, self._store.version)
                continue
            self._news.clear()
            pending, self._pending = self._pending, []
            if chunk := self._lines(pending):
                yield chunk
            # Many watchers of the same objects are told in batches, or they would take all the time there is.
            crowd = self._store.followers(self._kind.collection, self._namespace) - CROWD
            if crowd > 0:
                await asyncio.sleep(crowd * BATCH)

    def _lines(self, changes: list[Change]) -> bytes:
        if self._plain:
            return b"".join([change.line or _told(change) for change in changes])
        lines = []
        for change in changes:
            type_, stored = self._seen(change)
            if type_:
                lines.append(self._encode(type_, stored))
        return b"".join(lines)

    def _seen(self, change: Change) -> tuple[str, Stored]:
        if self._matches is None:
            return change.type, change.stored
        was = change.before is not None and self._matches(change.before.obj)
        if change.type == "DELETED":
            return ("DELETED" if was else ""), change.stored
        now = self._matches(change.stored.obj)
        if now:
            return ("MODIFIED" if was else "ADDED"), change.stored
        if not was or change.before is None:
            return "", change.stored
        # Gone from the selection: told as it was last seen in it, at the version of the change.
        last = change.before.obj
        meta = {**last["metadata"], "resourceVersion": str(change.version)}
        return "DELETED", Stored({**last, "metadata": meta}, change.version, ordered=change.stored.ordered)
