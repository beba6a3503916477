"""Faults on request: what networks and busy API servers do to clients, by probability, count and resource.

Only requests over HTTP are hit; controllers in the server's own process are part of the world that stays whole.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from simulator.api.errors import ApiError
from simulator.api.options import check_kind, check_options, fits, numbers, probability, read, times, truth
from simulator.api.requests import Dropped, Request, Response, Target
from simulator.api.store import Change, Conflict, Store

Obj = dict[str, Any]


class FaultKind(StrEnum):
    LATENCY = "latency"
    """The answer takes `seconds` longer."""
    THROTTLE = "throttle"
    """429 with Retry-After (`seconds`, at least 1)."""
    ERROR = "error"
    """`code` 500, 503 or 504."""
    RESET = "reset"
    """The connection breaks without an answer."""
    CONFLICT = "conflict"
    """Somebody else writes the object first, so that a compare-and-swap fails as it would in life."""
    LAG = "lag"
    """A list is as it was `seconds` ago, with the resourceVersion of then."""
    DROP_WATCH = "drop-watch"
    """A watch ends after `seconds`."""
    REFUSE = "refuse"
    """The server goes away: all connections break, its port refuses new ones for `seconds`, then it is there again."""


@dataclass
class Fault:
    """What goes wrong, and for which requests. Empty conditions match everything; namespace and name may be patterns
    of the shell.

    `after` True: the request is carried out first, only its answer goes wrong (errors, resets, refusals).
    `count` None: for ever; with `per_object` every object has a count of its own.
    """

    kind: FaultKind
    verbs: tuple[str, ...] = ()
    resource: str = ""
    namespace: str = ""
    name: str = ""
    probability: float = 1.0
    count: int | None = None
    per_object: bool = False
    after: bool = False
    seconds: float = 0.0
    code: int = 503
    hits: dict[tuple[str, str, str], int] = field(default_factory=dict)
    number: int = field(default_factory=numbers.__next__, compare=False, init=False)

    @property
    def total(self) -> int:
        """How often it has struck."""
        return sum(self.hits.values())

    def strikes(self, where: Target, chance: Callable[[], float]) -> bool:
        """Whether it hits this request; a hit is counted."""
        if not self._matches(where):
            return False
        key = (where.plural, where.namespace, where.name) if self.per_object else ("", "", "")
        if self.count is not None and self.hits.get(key, 0) >= self.count:
            return False
        if self.probability < 1.0 and chance() >= self.probability:
            return False
        self.hits[key] = self.hits.get(key, 0) + 1
        return True

    def _matches(self, where: Target) -> bool:
        verbs = {
            FaultKind.CONFLICT: where.verb in ("update", "patch"),
            FaultKind.LAG: where.verb == "list",
            FaultKind.DROP_WATCH: where.verb == "watch",
        }
        return (
            verbs.get(self.kind, True)
            and (not self.verbs or where.verb in self.verbs)
            and self.resource in ("", where.plural, f"{where.plural}.{where.group}")
            and fits(self.namespace, where.namespace)
            and fits(self.name, where.name)
        )


class Faults:
    """The faults of one API server, as its middleware; `seed` makes what chance decides repeatable. `outage` makes the
    server's port refuse connections for so many seconds from now on."""

    def __init__(self, store: Store, seed: int | None, outage: Callable[[float], None]) -> None:
        self.faults: list[Fault] = []
        self._store = store
        self._outage = outage
        self._random = random.Random(seed)
        self._moments: deque[tuple[float, int]] = deque([(time.monotonic(), store.version)], maxlen=20_000)
        store.listen(self._note)

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        self.faults = [one for one in self.faults if one is not fault]

    def clear(self) -> None:
        self.faults.clear()

    def _note(self, change: Change) -> None:
        self._moments.append((time.monotonic(), change.version))

    async def __call__(self, request: Request, where: Target, inner: Callable[[], Any]) -> Response:
        """Raises Dropped, ApiError."""
        struck = self._struck(request, where)
        for fault in struck:
            if not fault.after:
                await self._before(fault, request, where)
        response: Response = await inner()
        for fault in struck:
            if fault.after:
                await self._before(fault, request, where)
            elif fault.kind is FaultKind.DROP_WATCH and response.close is not None:
                asyncio.get_running_loop().call_later(fault.seconds, response.close)
        return response

    def _struck(self, request: Request, where: Target) -> list[Fault]:
        if not self.faults or request.user is not None:
            return []
        return [fault for fault in self.faults if fault.strikes(where, self._random.random)]

    async def _before(self, fault: Fault, request: Request, where: Target) -> None:
        if fault.kind is FaultKind.LATENCY:
            await asyncio.sleep(fault.seconds)
        elif fault.kind is FaultKind.THROTTLE:
            raise throttled(max(1, round(fault.seconds)))
        elif fault.kind is FaultKind.ERROR:
            raise ApiError(fault.code, *_SAID.get(fault.code, _SAID[500]))
        elif fault.kind is FaultKind.RESET:
            raise Dropped
        elif fault.kind is FaultKind.REFUSE:
            self._outage(fault.seconds)
            raise Dropped
        elif fault.kind is FaultKind.CONFLICT:
            self._touch(where)
        elif fault.kind is FaultKind.LAG and not request.query.get("continue"):
            version = str(self._version_at(time.monotonic() - fault.seconds))
            request.query = {**request.query, "resourceVersionMatch": "Exact", "resourceVersion": version}

    def _touch(self, where: Target) -> None:
        collection, key = (where.group, where.plural), (where.namespace, where.name)
        if where.plural == "namespaces":
            key = ("", where.name)
        stored = self._store.get(collection, key)
        if stored is None:
            return
        obj = {**stored.obj, "metadata": dict(stored.obj["metadata"])}
        try:
            self._store.put(collection, key, obj, expected=stored.version)
        except Conflict:
            raise RuntimeError("the store changed within one step of the loop") from None

    def _version_at(self, moment: float) -> int:
        """The newest version of that time; the oldest known one if it was before all that is known."""
        for then, version in reversed(self._moments):
            if then <= moment:
                return version
        return self._moments[0][1]


_SAID = {
    500: ("InternalError", "Internal error occurred: etcdserver: leader changed"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded"),
}


def throttled(seconds: int) -> ApiError:
    """429 in Kubernetes' words."""
    said = "too many requests, please try again later"
    return ApiError(429, "TooManyRequests", said, {"retryAfterSeconds": seconds}, retry_after=seconds)


OPTIONS = tuple(one.name for one in fields(Fault) if one.name not in ("kind", "hits", "number"))


def parse(text: str) -> Fault:
    """A fault from `kind,option=value,...`, such as `error,code=500,resource=sessions,verbs=update+patch,count=3`.

    Raises ValueError.
    """
    return of(read(text))


def of(given: Obj) -> Fault:
    """A fault from names and values, as texts or as JSON has them. Raises ValueError."""
    kind = FaultKind(check_kind(given, FaultKind))
    check_options(given, OPTIONS)
    readers: dict[str, Callable[[Any], Any]] = {
        "verbs": lambda value: tuple(value.split("+") if isinstance(value, str) else value),
        "probability": probability,
        "count": times,
        "per_object": truth,
        "after": truth,
        "seconds": _seconds,
        "code": int,
    }
    return Fault(kind, **{name: readers.get(name, str)(value) for name, value in given.items() if name != "kind"})


def _seconds(value: Any) -> float:
    if float(value) < 0:
        raise ValueError("seconds is not below 0")
    return float(value)


def shown(fault: Fault) -> Obj:
    """A fault as JSON, with its number and with how often it has struck."""
    options = {name: getattr(fault, name) for name in OPTIONS}
    return {"id": fault.number, "kind": fault.kind, **options, "verbs": list(fault.verbs), "struck": fault.total}
