"""Waits for objects: one shared watch per resource and scope serves every wait of the process.

A wait subscribes to its object, reads it once, and then only looks at events newer than what it read: what is
decided is never older than the moment the wait began, however far the watch lags behind. So there is no cache to be
stale, and the API calls of a wait do not grow with its duration.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from pool.core.errors import ApiError, ApiUnavailable, WaitTimeout
from pool.kube.client import Kube, Object
from pool.kube.resources import Resource

T = TypeVar("T")

Seen = Object | None | BaseException
"""News of an object: it, None for gone, or why the watch cannot go on."""

RETRY = 0.2
RETRY_MAX = 5.0
"""Seconds between two tries to watch or read during an outage: doubled from the first to the second."""

LINGER = 30.0
"""Seconds a watch without waiters is kept: the next step of the same operation usually waits on it again."""


class Scope(NamedTuple):
    """What one watch covers: a resource, a namespace (None: all), a label selector."""

    resource: Resource
    namespace: str | None
    labels: str


class Watching:
    """Shared watches over one Kube; an async context manager, closing ends all watches."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._watches: dict[Scope, _Watch] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        watches, self._watches = list(self._watches.values()), {}
        for watch in watches:
            watch.task.cancel()
        await asyncio.gather(*(watch.task for watch in watches), return_exceptions=True)

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

    async def _until(
        self,
        scope: Scope,
        name: str,
        namespace: str | None,
        check: Callable[[Object | None], T | None],
        last: list[str],
    ) -> T:
        watch = self._watch(scope)
        with watch.subscription((namespace, name)) as news:
            await watch.started.wait()
            # Only now: what changes between the watch's beginning and this read arrives as news.
            seen: Seen = await self._read(scope.resource, name, namespace, last)
            floor = _version(seen) if isinstance(seen, dict) else 0
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

    def _watch(self, scope: Scope) -> _Watch:
        watch = self._watches.get(scope)
        if watch is None or watch.task.done():
            watch = self._watches[scope] = _Watch(self._kube, scope, self._idle)
        return watch

    def _idle(self, watch: _Watch) -> None:
        if not watch.waiters and self._watches.get(watch.scope) is watch:
            del self._watches[watch.scope]
            watch.task.cancel()


Key = tuple[str | None, str]
News = asyncio.Queue[tuple[int, Seen]]


class _Watch:
    """One list and watch, and those who wait for single objects of it."""

    def __init__(self, kube: Kube, scope: Scope, idle: Callable[[_Watch], None]) -> None:
        self.scope = scope
        self.waiters: dict[Key, set[News]] = {}
        self.started = asyncio.Event()
        self._kube = kube
        self._idle = idle
        self.task = asyncio.create_task(self._run(), name=f"watch {scope.resource.plural} {scope.namespace or 'all'}")

    def subscription(self, key: Key) -> _Subscription:
        return _Subscription(self, key)

    def leave(self, key: Key, news: News) -> None:
        self.waiters[key].discard(news)
        if not self.waiters[key]:
            del self.waiters[key]
        if not self.waiters:
            asyncio.get_running_loop().call_later(LINGER, self._idle, self)

    async def _run(self) -> None:
        version: str | None = None
        delay = RETRY
        try:
            while True:
                try:
                    version = version or await self._begin()
                    async for kind, obj in self._kube.watch(
                        self.scope.resource, self.scope.namespace, resource_version=version, labels=self.scope.labels
                    ):
                        version, delay = obj["metadata"]["resourceVersion"], RETRY
                        if kind != "BOOKMARK":
                            self._tell(_key(obj), _version(obj), None if kind == "DELETED" else obj)
                    # A server in trouble may end streams as soon as they begin.
                    delay = await _pause(delay)
                except ApiUnavailable:
                    # Waiters have deadlines of their own; an outage only delays their news.
                    delay = await _pause(delay)
                except ApiError as error:
                    if error.status != 410:
                        raise
                    version = None
        except Exception as error:
            # Nobody awaits this task: those who wait are told, and a later wait begins a new watch.
            for key in list(self.waiters):
                self._tell(key, _NEWEST, error)
            self.started.set()
            if not isinstance(error, ApiError):
                raise

    async def _begin(self) -> str:
        """Where to watch from. After a gap the waiters are told of what is there now."""
        scope = self.scope
        items, version = await self._kube.list_at(scope.resource, scope.namespace, labels=scope.labels)
        if self.started.is_set():
            there = {_key(item): item for item in items}
            for key in list(self.waiters):
                item = there.get(key)
                self._tell(key, _version(item) if item else _number(version), item)
        self.started.set()
        return version

    def _tell(self, key: Key, version: int, seen: Seen) -> None:
        for news in self.waiters.get(key, ()):
            news.put_nowait((version, seen))


class _Subscription:
    def __init__(self, watch: _Watch, key: Key) -> None:
        self._watch, self._key = watch, key
        self._news: News = asyncio.Queue()

    def __enter__(self) -> News:
        self._watch.waiters.setdefault(self._key, set()).add(self._news)
        return self._news

    def __exit__(self, *_: object) -> None:
        self._watch.leave(self._key, self._news)


_NEWEST = 2**63


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace"), metadata["name"]


def _version(obj: Object) -> int:
    return _number(obj["metadata"]["resourceVersion"])


def _number(version: str) -> int:
    """A resourceVersion as a number: Kubernetes compares them so since 1.35, and etcd always numbered them."""
    return int(version)


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
