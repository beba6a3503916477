"""PooledClusters and Sessions as typed objects; every write is a compare-and-swap on the status.

A write names the object as it was read; if it changed since, the API server refuses and `Conflict` is raised. A
conflict with one's own first try (its answer was lost, the client tried again) is recognised: what is there is then
exactly what was to be written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from pool.core.clusters import PooledCluster
from pool.core.errors import Conflict, IllegalTransition, NotFound, UnknownCluster, UnknownPool, UnknownSession
from pool.core.lifecycle import ClusterPhase, check_transition
from pool.core.queue import LONG_AGO
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import POOLED_CLUSTERS, SESSIONS
from pool.state.history import History, Transition, Why

CLUSTER_CHANGE = Callable[[PooledCluster], PooledCluster]
SESSION_CHANGE = Callable[[Session], Session]


class Store:
    """The pool's two resources in the pool's namespace."""

    def __init__(self, kube: Kube, settings: Settings, now: Callable[[], datetime], history: History) -> None:
        self.kube = kube
        self.settings = settings
        self.now = now
        self.history = history
        self.namespace = settings.namespace
        self.queue_grace = timedelta(seconds=settings.queue_grace)

    async def clusters(self) -> list[PooledCluster]:
        """All clusters. Raises UnknownPool if the kind is not installed; an outage raises, it is never empty."""
        try:
            found = await self.kube.list(POOLED_CLUSTERS, self.namespace)
        except NotFound as error:
            raise self.unknown_pool("the PooledCluster kind is not installed") from error
        return [PooledCluster.from_object(obj) for obj in found]

    async def available(self) -> list[Object]:
        """The API's JSON of the clusters that are `available`, the longest-rested first.

        By a field selector (the CRD's `selectableFields`), and unvalidated: of a large pool only a few are looked at.
        """
        try:
            found = await self.kube.list(
                POOLED_CLUSTERS, self.namespace, fields=f"status.phase={ClusterPhase.AVAILABLE}"
            )
        except NotFound as error:
            raise self.unknown_pool("the PooledCluster kind is not installed") from error
        return sorted(found, key=_rest)

    def unknown_pool(self, actual: str) -> UnknownPool:
        """The error of a pool that was never made."""
        return UnknownPool(
            f"no pool in namespace {self.namespace}",
            expected="at least one PooledCluster",
            actual=actual,
            cure="run create-namespaces and bootstrap-pool, or set CKS_POOL_NAMESPACE",
        )

    async def cluster(self, name: str) -> PooledCluster:
        """One cluster. Raises UnknownCluster."""
        # No name (a session without a cluster) would read the whole list.
        found = await self.kube.find(POOLED_CLUSTERS, name, self.namespace) if name else None
        if found is None:
            raise UnknownCluster(
                f"no cluster {name}", expected=f"a PooledCluster in {self.namespace}", cure="kubectl get pc lists them"
            )
        return PooledCluster.from_object(found)

    async def sessions(self) -> list[Session]:
        """All sessions, ended ones too."""
        return [Session.from_object(obj) for obj in await self.kube.list(SESSIONS, self.namespace)]

    async def find_session(self, name: str) -> Session | None:
        """One session, or None."""
        found = await self.kube.find(SESSIONS, name, self.namespace) if name else None
        return Session.from_object(found) if found else None

    async def session(self, name: str) -> Session:
        """One session. Raises UnknownSession."""
        found = await self.find_session(name)
        if found is None:
            raise UnknownSession(
                f"no session {name}", expected=f"a Session in {self.namespace}", cure="kubectl get ses lists them"
            )
        return found

    async def write_cluster(self, before: PooledCluster, after: PooledCluster, why: Why) -> PooledCluster:
        """Replace the status as read in `before` by that of `after`.

        Raises IllegalTransition before writing, Conflict if the cluster changed since, UnknownCluster if it is gone.
        """
        if after.phase is not before.phase:
            check_transition(before.phase, after.phase, cluster=before.name)
        if after.phase is ClusterPhase.AVAILABLE and not after.status.clean:
            raise IllegalTransition(f"{before.name} cannot become available", expected="clean", actual="not attested")
        try:
            obj = await self.kube.replace(POOLED_CLUSTERS, after.to_object(), subresource="status")
            written = PooledCluster.from_object(obj)
        except Conflict:
            written = await self.cluster(before.name)
            if written.status != after.status or written.metadata.uid != before.metadata.uid:
                raise
        except NotFound:
            raise UnknownCluster(f"cluster {before.name} was removed meanwhile") from None
        if after.phase is not before.phase:
            self.history.record(Transition(written, before.phase, after.phase, why, self.now()))
        return written

    async def change_cluster(self, name: str, change: CLUSTER_CHANGE, why: Why) -> PooledCluster:
        """Read, `change`, write; again if somebody wrote in between. `change` may raise; unchanged is not written."""
        while True:
            before = await self.cluster(name)
            after = change(before)
            if after == before:
                return before
            try:
                return await self.write_cluster(before, after, why)
            except Conflict:
                continue

    async def write_session(self, after: Session) -> Session:
        """Replace the session's status, as read. Raises Conflict if it changed since, UnknownSession if it is gone."""
        try:
            return Session.from_object(await self.kube.replace(SESSIONS, after.to_object(), subresource="status"))
        except Conflict:
            written = await self.session(after.name)
            if written.status != after.status or written.metadata.uid != after.metadata.uid:
                raise
            return written
        except NotFound:
            raise UnknownSession(f"session {after.name} was removed meanwhile") from None

    async def change_session(self, name: str, change: SESSION_CHANGE) -> Session:
        """Read, `change`, write; again if somebody wrote in between. `change` may raise; unchanged is not written."""
        while True:
            before = await self.session(name)
            after = change(before)
            if after == before:
                return before
            try:
                return await self.write_session(after)
            except Conflict:
                continue

    async def create_session(self, session: Session) -> Session:
        """Create the session: a name is unique, so this is the claim. Raises AlreadyExists."""
        return Session.from_object(await self.kube.create(SESSIONS, session.to_object(), self.namespace))

    async def lengthen_wait(self, session: Session, more: timedelta) -> Session:
        """Somebody waits `more` for the session, as read, than it says. Raises Conflict, UnknownSession."""
        seconds = (session.spec.wait_seconds or 0) + math.ceil(more.total_seconds())
        longer = session.changed(spec=session.spec.changed(wait_seconds=seconds))
        try:
            return Session.from_object(await self.kube.replace(SESSIONS, longer.to_object()))
        except NotFound:
            raise UnknownSession(f"session {session.name} was removed meanwhile") from None

    async def remove_session(self, session: Session) -> bool:
        """Remove the session as it was read. Raises Conflict if it changed since; False if it is gone already."""
        metadata = session.metadata
        return await self.kube.delete(
            SESSIONS,
            session.name,
            self.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
        )


def _rest(cluster: Object) -> tuple[datetime, str]:
    """Since when the cluster rests, and its name, as `pool.core.queue.rested` has it."""
    since = cluster["status"].get("lastReset")
    return datetime.fromisoformat(since) if since else LONG_AGO, cluster["metadata"]["name"]
