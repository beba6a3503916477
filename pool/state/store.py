"""Pools, PooledClusters and Sessions as typed objects; every write is a compare-and-swap on the status.

A write names the object as it was read; if it changed since, the API server refuses and `Conflict` is raised. A
conflict with one's own first try (its answer was lost, the client tried again) is recognised: what is there is then
exactly what was to be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from pool.core.clusters import PooledCluster
from pool.core.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotFound,
    UnknownCluster,
    UnknownPool,
    UnknownSession,
)
from pool.core.lifecycle import ClusterPhase, check_transition
from pool.core.pools import Pool, SessionTimes
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import POOLED_CLUSTERS, POOLS, SESSIONS
from pool.state.events import Events, Transition, Why
from pool.state.silence import Silence
from pool.state.view import LIVE, PoolView

logger = logging.getLogger(__name__)

R = TypeVar("R", PooledCluster, Session)


class Store:
    """The pool's resources in the pool's namespace. Own writes show in the `view` at once."""

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        now: Callable[[], datetime],
        events: Events,
        view: PoolView,
        silence: Silence,
    ) -> None:
        self.kube = kube
        self.settings = settings
        self.now = now
        self.events = events
        self.view = view
        self.silence = silence
        """What was seen of runs' heartbeats, by every read and the view."""
        self.namespace = settings.namespace
        self.queue_grace = timedelta(seconds=settings.queue_grace)

    async def pool(self, name: str) -> Pool:
        """One Pool, from the view where there is one. Raises UnknownPool."""
        seen = self.view.pools.get(name) if self.view.current else None
        return seen or await self.read_pool(name)

    async def read_pool(self, name: str) -> Pool:
        """One Pool as it is now. Raises UnknownPool."""
        try:
            found = await self.kube.find(POOLS, name, self.namespace)
        except NotFound as error:
            raise self._unknown_pool(name, "the kind is not installed") from error
        if found is None:
            raise self._unknown_pool(name, "none")
        return Pool.from_object(found)

    async def times(self, session: Session) -> SessionTimes:
        """The times that the session's Pool sets; the defaults should it be gone."""
        try:
            return (await self.pool(session.spec.pool)).spec.sessions
        except UnknownPool:
            return SessionTimes()

    def _unknown_pool(self, name: str, actual: str) -> UnknownPool:
        cure = "run bootstrap-pool, or apply one (kubectl get pools -A lists them), or set CKS_POOL_NAMESPACE"
        return UnknownPool(f"no pool {name} in namespace {self.namespace}", expected="a Pool", actual=actual, cure=cure)

    async def clusters(self, pool: str | None = None) -> list[PooledCluster]:
        """All clusters, or those of one Pool, an unreadable one as far as it can be read.

        Raises UnknownPool if the kind is not installed; an outage raises too.
        """
        try:
            found = await self.kube.list(POOLED_CLUSTERS, self.namespace, fields=f"spec.pool={pool}" if pool else "")
        except NotFound as error:
            raise self._unknown_pool(pool or "", "the kind is not installed") from error
        clusters = [self._listed(PooledCluster, obj) for obj in found]
        for cluster in clusters:
            self.silence.see(cluster)
        return clusters

    def _listed(self, model: type[R], obj: Object) -> R:
        """One of a list, as far as it can be read."""
        found = model.seen(obj)
        if found.unreadable:
            logger.warning("left as it is: %s", found.unreadable)
        return found

    def _seen(self, obj: Object) -> PooledCluster:
        cluster = PooledCluster.from_object(obj)
        self.silence.see(cluster)
        return cluster

    async def find_cluster(self, name: str) -> PooledCluster | None:
        """One cluster, or None."""
        # No name (a session without a cluster) would read the whole list.
        found = await self.kube.find(POOLED_CLUSTERS, name, self.namespace) if name else None
        return self._seen(found) if found else None

    async def cluster(self, name: str) -> PooledCluster:
        """One cluster. Raises UnknownCluster."""
        if (found := await self.find_cluster(name)) is None:
            where = f"a PooledCluster in {self.namespace}"
            raise UnknownCluster(f"no cluster {name}", expected=where, cure="kubectl get pcl -A lists them")
        return found

    async def sessions(self, fields: str = LIVE) -> list[Session]:
        """Sessions by field selector, unreadable ones too: those that are not over if left out."""
        found = await self.kube.list(SESSIONS, self.namespace, fields=fields)
        return [self._listed(Session, obj) for obj in found]

    async def find_session(self, name: str) -> Session | None:
        """One session, or None."""
        found = await self.kube.find(SESSIONS, name, self.namespace) if name else None
        return Session.from_object(found) if found else None

    async def session(self, name: str) -> Session:
        """One session. Raises UnknownSession."""
        if (found := await self.find_session(name)) is None:
            where = f"a Session in {self.namespace}"
            raise UnknownSession(f"no session {name}", expected=where, cure="kubectl get ses -A lists them")
        return found

    async def write_cluster(self, before: PooledCluster, after: PooledCluster, why: Why) -> PooledCluster:
        """Replace the status as read in `before` by that of `after`.

        Raises InvalidInput for one that was not read whole, IllegalTransition before writing, Conflict if the cluster
        changed since, UnknownCluster if it is gone.
        """
        _check_whole(before)
        if after.phase is not before.phase:
            check_transition(before.phase, after.phase, cluster=before.name)
        if after.phase is ClusterPhase.AVAILABLE and not after.status.clean:
            raise IllegalTransition(f"{before.name} cannot become available", expected="clean", actual="not attested")
        try:
            obj = await self.kube.replace(POOLED_CLUSTERS, after.to_object(), subresource="status")
            self.view.note(obj)
            written = self._seen(obj)
        except Conflict:
            written = await self.cluster(before.name)
            if written.status != after.status or written.metadata.uid != before.metadata.uid:
                raise
        except NotFound:
            raise UnknownCluster(f"cluster {before.name} was removed meanwhile") from None
        if after.phase is not before.phase:
            self.events.record(Transition.between(before, written, why, self.now()))
        return written

    async def change_cluster(
        self, name: str, change: Callable[[PooledCluster], PooledCluster], why: Why
    ) -> tuple[PooledCluster, PooledCluster]:
        """Read, `change`, write; again if somebody wrote in between. Returns the cluster as read, and as it is then.

        `change` may raise; what it leaves as it was is not written.
        """
        while True:
            before = await self.cluster(name)
            after = change(before)
            try:
                return before, before if after == before else await self.write_cluster(before, after, why)
            except Conflict:
                continue

    async def write_session(self, after: Session) -> Session:
        """Replace the session's status, as read. Raises Conflict if it changed since, UnknownSession if it is gone.

        Raises InvalidInput for one that was not read whole.
        """
        _check_whole(after)
        try:
            obj = await self.kube.replace(SESSIONS, after.to_object(), subresource="status")
            self.view.note(obj)
            return Session.from_object(obj)
        except Conflict:
            written = await self.session(after.name)
            if written.status != after.status or written.metadata.uid != after.metadata.uid:
                raise
            return written
        except NotFound:
            raise UnknownSession(f"session {after.name} was removed meanwhile") from None

    async def change_session(self, name: str, change: Callable[[Session], Session]) -> Session:
        """As `change_cluster`; returns the session as it is then."""
        while True:
            before = await self.session(name)
            after = change(before)
            try:
                return before if after == before else await self.write_session(after)
            except Conflict:
                continue

    async def create_session(self, session: Session) -> Session:
        """Create the session: a name is unique, so this is the claim. Raises AlreadyExists."""
        obj = await self.kube.create(SESSIONS, session.to_object(), self.namespace)
        self.view.note(obj)
        return Session.from_object(obj)

    async def remove_session(self, session: Session) -> bool:
        """Remove the session as it was read. Raises Conflict if it changed since; False if it is gone already."""
        metadata = session.metadata
        return await self.kube.delete(
            SESSIONS, session.name, self.namespace, uid=metadata.uid, resource_version=metadata.resource_version
        )


def _check_whole(found: PooledCluster | Session) -> None:
    if found.unreadable:
        raise InvalidInput(found.unreadable)
