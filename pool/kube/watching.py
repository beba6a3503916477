"""Shared watches: one list and watch per resource and scope serves every wait and every view of the process.

A wait subscribes to its object, reads it once, and then only looks at events newer than what it read: what is
decided is never older than the moment the wait began, however far the watch lags behind. So there is no cache to be
stale, and the API calls of a wait do not grow with its duration.

A view keeps what its scope holds, and may lag. It says up to which resourceVersion it has seen everything, and takes
the answers to own writes at once: of two versions of an object the newer one counts, whichever way it came.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from pool.core.errors import ApiError, ApiUnavailable, WaitTimeout
from pool.kube.client import Kube, Object
from pool.kube.resources import Resource
from pool.kube.views import Changed, Key, View, key_of, number, version_of

T = TypeVar("T")

Seen = Object | None | BaseException
"""News of an object: it, None for gone, or why the watch cannot go on."""

RETRY = 0.2
RETRY_MAX = 5.0
"""Seconds between two tries to watch or read during an outage: doubled from the first to the second."""

LINGER = 30.0
"""Seconds a watch without waiters is kept: the next step of the same operation usually waits on it again."""


class Scope(NamedTuple):
    """What one watch covers: a resource, a namespace (None: all), a label and a field selector."""

    resource: Resource
    namespace: str | None
    labels: str = ""
    fields: str = ""


class Watching:
    """Shared watches over one Kube; an async context manager, closing ends all watches and awaits them."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._watches: dict[Scope, _Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._watches.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def follow(self, scope: Scope, changed: Changed) -> AsyncIterator[View]:
        """While entered, the scope's objects are kept as a watch shows them. Yields them once they were listed.

        `changed` is told each object that came or changed (True) or went (False), those first that are there already.
        An outage only delays. Raises other ApiError (Forbidden, NotFound for a kind that is not installed).
        """
        watch = self._watch(scope, keeps=True)
        assert watch.view is not None
        with watch.used(), watch.view.told(changed):
            await watch.started.wait()
            if watch.view.failure.done():
                await watch.view.failure
            yield watch.view

    async def until(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        check: Callable[[Object | None], T | None],
        *,
        timeout: float,
        what: str,
        labels: str = "",
    ) -> T:
        """Wait until `check` of the object (None: there is none) returns something, and return that.

        `check` may raise to fail at once. `labels` makes the watch one of all namespaces by that selector, shared by
        all clusters; the object must then carry the labels as long as it lives. An outage does not end the wait.
        Raises WaitTimeout(what, last seen) after `timeout` seconds, other ApiError (Forbidden,
        NotFound for a kind that is not installed) at once.
        """
        last: list[str] = ["nothing yet"]
        scope = Scope(resource, None if labels else namespace, labels)
        try:
            async with asyncio.timeout(timeout):
                return await self._until(scope, name, namespace, check, last)
        except TimeoutError:
            raise WaitTimeout(what, last[0], timeout) from None

    async def gone(self, resource: Resource, obj: Object, *, timeout: float, what: str, labels: str = "") -> None:
        """Wait until this very object is gone, whatever has its name by then. As `until`, and raises as that does."""
        name, namespace, uid = obj["metadata"]["name"], obj["metadata"].get("namespace"), obj["metadata"]["uid"]

        def check(seen: Object | None) -> bool | None:
            return True if seen is None or seen["metadata"]["uid"] != uid else None

        await self.until(resource, name, namespace, check, timeout=timeout, what=what, labels=labels)

    async def _until(
        self,
        scope: Scope,
        name: str,
        namespace: str | None,
        check: Callable[[Object | None], T | None],
        last: list[str],
    ) -> T:
        watch = self._watch(scope)
        with watch.used(), watch.subscription((namespace, name)) as news:
            await watch.started.wait()
            # Only now: what changes between the watch's beginning and this read arrives as news.
            seen: Seen = await self._read(scope.resource, name, namespace, last)
            floor = version_of(seen) if isinstance(seen, dict) else 0
            while True:
                if isinstance(seen, BaseException):
                    raise seen
                last[0] = described(seen)
                found = check(seen)
                if found is not None:
                    return found
                version, seen = await news.get()
                while version < floor:
                    version, seen = await news.get()

    async def _read(self, resource: Resource, name: str, namespace: str | None, last: list[str]) -> Object | None:
        delay = RETRY
        while True:
            try:
                return await self._kube.find(resource, name, namespace)
            except ApiUnavailable as error:
                last[0] = str(error)
                delay = await _pause(delay)

    def _watch(self, scope: Scope, *, keeps: bool = False) -> _Watch:
        watch = self._watches.get(scope)
        if watch is None or watch.task.done() or (keeps and watch.view is None):
            # A watch that keeps nothing could not tell what is there already: its waits end with it.
            watch = self._watches[scope] = _Watch(self._kube, scope, self._idle, keeps=keeps)
            self._tasks.add(watch.task)
            watch.task.add_done_callback(self._tasks.discard)
        return watch

    def _idle(self, watch: _Watch) -> None:
        if not watch.users:
            if self._watches.get(watch.scope) is watch:
                del self._watches[watch.scope]
            watch.task.cancel()


News = asyncio.Queue[tuple[int, Seen]]


class _Watch:
    """One list and watch, those who wait for single objects of it, and the view of those who follow it."""

    def __init__(self, kube: Kube, scope: Scope, idle: Callable[[_Watch], None], *, keeps: bool) -> None:
        self.scope = scope
        self.view = View() if keeps else None
        self.users = 0
        self.started = asyncio.Event()
        self._waiters: dict[Key, set[News]] = {}
        self._kube = kube
        self._idle = idle
        self.task = asyncio.create_task(self._run(), name=f"watch {scope.resource.plural} {scope.namespace or 'all'}")

    @contextmanager
    def used(self) -> Iterator[None]:
        """While entered, the watch stays."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                asyncio.get_running_loop().call_later(LINGER, self._idle, self)

    @contextmanager
    def subscription(self, key: Key) -> Iterator[News]:
        """What happens to one object, as long as it is entered."""
        news: News = asyncio.Queue()
        self._waiters.setdefault(key, set()).add(news)
        try:
            yield news
        finally:
            self._waiters[key].discard(news)
            if not self._waiters[key]:
                del self._waiters[key]

    async def _run(self) -> None:
        scope, version, delay = self.scope, "", RETRY
        try:
            while True:
                try:
                    version = version or await self._begin()
                    async for kind, obj in self._kube.watch(
                        scope.resource,
                        scope.namespace,
                        resource_version=version,
                        labels=scope.labels,
                        fields=scope.fields,
                    ):
                        version, delay = obj["metadata"]["resourceVersion"], RETRY
                        self._take(kind, obj)
                    # A server in trouble may end streams as soon as they begin.
                    delay = await _pause(delay)
                except ApiUnavailable:
                    # Waiters have deadlines of their own; an outage only delays their news.
                    if self.view is not None:
                        self.view.current = False
                    delay = await _pause(delay)
                except ApiError as error:
                    if error.status != 410:
                        raise
                    version = ""
        except Exception as error:
            # Nobody awaits this task: those who wait are told, and a later wait begins a new watch.
            for key in list(self._waiters):
                self._tell(key, _NEWEST, error)
            if self.view is not None:
                self.view.fail(error)
            self.started.set()
            if not isinstance(error, ApiError):
                raise

    async def _begin(self) -> str:
        """Where to watch from. After a gap the waiters are told of what is there now."""
        scope = self.scope
        items, version = await self._kube.list_at(
            scope.resource, scope.namespace, labels=scope.labels, fields=scope.fields
        )
        if self.started.is_set():
            there = {key_of(item): item for item in items}
            for key in list(self._waiters):
                item = there.get(key)
                self._tell(key, version_of(item) if item else number(version), item)
        if self.view is not None:
            self.view.relist(items, number(version))
        self.started.set()
        return version

    def _take(self, kind: str, obj: Object) -> None:
        if self.view is not None:
            self.view.take(kind, obj)
        if kind != "BOOKMARK":
            self._tell(key_of(obj), version_of(obj), None if kind == "DELETED" else obj)

    def _tell(self, key: Key, version: int, seen: Seen) -> None:
        for news in self._waiters.get(key, ()):
            news.put_nowait((version, seen))


_NEWEST = 2**63


async def _pause(delay: float) -> float:
    """Sleep about `delay` seconds between two tries of something that is down; returns the next delay."""
    await asyncio.sleep(delay * random.uniform(0.5, 1.0))
    return min(delay * 2, RETRY_MAX)


def described(obj: Object | None) -> str:
    """What an object looks like in a few words, for the error of a wait; never its data."""
    if obj is None:
        return "nothing there"
    status: Object = obj.get("status") or {}
    words = [f"{key} {status[key]}" for key in ("phase", "printableStatus", "readyToUse", "complete") if key in status]
    for condition in status.get("conditions") or []:
        text = condition.get("message") or condition.get("reason")
        if text:
            words.append(f"{condition['type']}={condition['status']} ({text})")
    if obj["metadata"].get("deletionTimestamp"):
        words.insert(0, "being deleted")
    return ", ".join(words) or "there, without a status"
