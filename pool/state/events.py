"""A cluster's story: every transition as a Kubernetes Event on its PooledCluster, and to whoever listens."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pool.core.clusters import PooledCluster
from pool.core.errors import PoolError
from pool.core.fields import rfc3339
from pool.core.lifecycle import ClusterPhase
from pool.core.resource import API_VERSION
from pool.kube.client import Kube
from pool.kube.resources import EVENTS

logger = logging.getLogger(__name__)

COMPONENT = "cks-pool"
DRAIN_SECONDS = 2.0
"""How long the end of a call waits for its events: they are history, the state is written already."""


@dataclass(frozen=True)
class Why:
    """Who changes a cluster and why: a session or an operator (`who`), a sentence (`reason`), a flow run's ID."""

    reason: str
    who: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class Transition:
    """One change of phase, as it was written."""

    cluster: PooledCluster
    """After the change."""
    before: ClusterPhase | None
    to: ClusterPhase
    why: Why
    at: datetime
    session: str = ""
    """The session that holds the cluster after the change, or did before it."""
    session_uid: str = ""

    @classmethod
    def between(cls, before: PooledCluster, after: PooledCluster, why: Why, at: datetime) -> Self:
        """The change from `before` to `after`, as it was written."""
        holder = (after if after.status.assigned_session else before).status
        session, uid = holder.assigned_session or "", holder.assigned_session_uid or ""
        return cls(after, before.phase, after.phase, why, at, session, uid)

    @property
    def message(self) -> str:
        """`available -> locked: assigned, session alice (run 3f2a)`."""
        origin = f"{self.before} -> " if self.before else ""
        who = f", {self.why.who}" if self.why.who else ""
        run = f" (run {self.why.run_id})" if self.why.run_id else ""
        return f"{origin}{self.to}: {self.why.reason}{who}{run}, epoch {self.cluster.status.epoch}"


Listener = Callable[[Transition], Awaitable[None]]


class Events:
    """Writes events beside the work. A lost event never fails a transition; it is logged."""

    def __init__(self, kube: Kube, namespace: str, listener: Listener | None = None) -> None:
        self._kube = kube
        self._namespace = namespace
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()

    def record(self, transition: Transition) -> None:
        """Write the event in the background; `drain` waits for it."""
        task = asyncio.create_task(self._record(transition), name=f"event of {transition.cluster.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait shortly for the events under way, so that a process may end after its call."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_SECONDS)

    async def aclose(self) -> None:
        """Wait shortly for the events under way, and give up what is left: the connection they need ends next."""
        await self.drain()
        left = set(self._tasks)
        for task in left:
            task.cancel()
        if left:
            logger.warning("%d events are not written: no time was left for them", len(left))
            await asyncio.wait(left)

    async def _record(self, transition: Transition) -> None:
        try:
            await self._kube.create(EVENTS, self._event(transition), self._namespace)
        except PoolError as error:
            logger.warning("no event for %s %s: %s", transition.cluster.name, transition.message, error)
        if self._listener is not None:
            try:
                await self._listener(transition)
            except Exception:  # a listener is somebody else's code; it must not undo what is written
                logger.exception("listener failed on %s", transition.message)

    def _event(self, transition: Transition) -> dict[str, Any]:
        metadata, at = transition.cluster.metadata, rfc3339(transition.at.replace(microsecond=0))
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata.name}.{uuid.uuid4().hex[:16]}", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": PooledCluster.KIND,
                "name": metadata.name,
                "namespace": self._namespace,
                "uid": metadata.uid,
            },
            "type": "Warning" if transition.to is ClusterPhase.ERROR else "Normal",
            "reason": transition.to.capitalize(),
            "message": transition.message,
            "source": {"component": COMPONENT},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
