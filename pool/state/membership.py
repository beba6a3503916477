"""Pools and the clusters that belong to them: made, looked up, resized, cordoned, and asked to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pool.core.clusters import POOL_LABEL, POOL_UID_LABEL, TEARDOWN_FINALIZER, ClusterSpec, PooledCluster
from pool.core.errors import (
    AlreadyExists,
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotFound,
    UnknownCluster,
    UnknownPool,
)
from pool.core.pools import POOL_FINALIZER, Pool, PoolSpec, PoolStatus
from pool.core.resource import Metadata, Resource
from pool.kube.client import Object
from pool.kube.resources import POOLED_CLUSTERS, POOLS
from pool.state.events import Transition, Why
from pool.state.store import Store


class Membership:
    """Who belongs to which Pool of the namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def pool_names(self) -> list[str]:
        """Names of all Pools of the namespace, of unreadable ones too. An outage raises; it is never empty."""
        return sorted(obj["metadata"]["name"] for obj in await self._store.kube.list(POOLS, self._store.namespace))

    async def ensure_pool(self, name: str, spec: PoolSpec) -> Pool:
        """The Pool of that name, made with this `spec` if there is none."""
        metadata = Metadata(name=name, namespace=self._store.namespace, finalizers=[POOL_FINALIZER])
        try:
            return Pool.from_object(
                await self._store.kube.create(POOLS, Pool(metadata=metadata, spec=spec).to_object())
            )
        except AlreadyExists:
            return await self._store.read_pool(name)

    async def hold_pool(self, name: str) -> Pool:
        """The Pool, with the finalizer that keeps it until its clusters are gone; one being removed gets none."""
        while True:
            pool = await self._store.read_pool(name)
            if pool.removing or POOL_FINALIZER in pool.metadata.finalizers:
                return pool
            try:
                return await self._write_finalizers(pool, [*pool.metadata.finalizers, POOL_FINALIZER])
            except Conflict:
                continue

    async def let_pool_go(self, name: str) -> None:
        """Take the finalizer off a Pool that is being removed: it is gone, or whatever else keeps it decides."""
        while True:
            try:
                pool = await self._store.read_pool(name)
                if not pool.removing or POOL_FINALIZER not in pool.metadata.finalizers:
                    return
                await self._write_finalizers(pool, [one for one in pool.metadata.finalizers if one != POOL_FINALIZER])
            except Conflict:
                continue
            except (NotFound, UnknownPool):
                return

    async def _write_finalizers(self, pool: Pool, finalizers: list[str]) -> Pool:
        kept = {"uid": pool.metadata.uid, "resourceVersion": pool.metadata.resource_version}
        patch = {"metadata": kept | {"finalizers": finalizers}}
        return Pool.from_object(await self._store.kube.patch(POOLS, pool.name, patch, self._store.namespace))

    async def resize(self, name: str, size: int) -> Pool:
        """The Pool with that size, written if it had another. Raises UnknownPool, IllegalTransition if it is going."""
        while True:
            pool = await self._store.read_pool(name)
            if pool.removing:
                raise IllegalTransition(f"pool {name} is being removed", expected="a Pool that stays")
            if pool.spec.size == size:
                return pool
            try:
                patch = _as_read(pool, {"spec": {"size": size}})
                return Pool.from_object(self._noted(await self._store.kube.patch(POOLS, name, patch, _where(pool))))
            except Conflict:
                continue
            except NotFound:
                raise UnknownPool(f"pool {name} was removed meanwhile") from None

    async def cordon(self, name: str, *, cordoned: bool) -> PooledCluster:
        """The cluster, cordoned or not, written if it was otherwise. Raises UnknownCluster.

        It is one write with the cluster as read: an assignment in the same moment comes before it, or fails.
        """
        while True:
            cluster = await self._store.cluster(name)
            if cluster.spec.cordoned == cordoned:
                return cluster
            try:
                patch = _as_read(cluster, {"spec": {"cordoned": cordoned}})
                written = await self._store.kube.patch(POOLED_CLUSTERS, name, patch, _where(cluster))
                return PooledCluster.from_object(self._noted(written))
            except Conflict:
                continue
            except NotFound:
                raise UnknownCluster(f"cluster {name} was removed meanwhile") from None

    def _noted(self, written: Object) -> Object:
        self._store.view.note(written)
        return written

    async def write_pool_status(self, pool: Pool, status: PoolStatus) -> Pool:
        """Replace the status of the Pool as it was read, if it says anything else. Raises Conflict, UnknownPool."""
        if status == pool.status:
            return pool
        try:
            after = pool.changed(status=status).to_object()
            return Pool.from_object(await self._store.kube.replace(POOLS, after, subresource="status"))
        except NotFound:
            raise UnknownPool(f"pool {pool.name} was removed meanwhile") from None

    async def change_pool_status(self, name: str, change: Callable[[PoolStatus], PoolStatus]) -> None:
        """Read, `change`, write; again if somebody wrote in between. Nothing for a Pool that is gone."""
        while True:
            try:
                pool = await self._store.read_pool(name)
                await self.write_pool_status(pool, change(pool.status))
                return
            except Conflict:
                continue
            except UnknownPool:
                return

    async def ensure_cluster(self, pool: Pool, name: str) -> PooledCluster:
        """The resource of a cluster of this Pool, `creating` if just made; its namespace is named as it is.

        Raises InvalidInput if another Pool has it, or if it lives in another namespace; IllegalTransition if the Pool
        is being removed.
        """
        if pool.removing:
            raise IllegalTransition(f"pool {pool.name} is being removed", expected="a Pool that stays")
        wanted = _wanted(pool, name, self._store.namespace)
        try:
            found = PooledCluster.from_object(await self._store.kube.create(POOLED_CLUSTERS, wanted.to_object()))
        except AlreadyExists:
            found = await self._store.cluster(name)
        _check_own(found, wanted)

        def joined(cluster: PooledCluster) -> PooledCluster:
            if cluster.status.created_at is not None:
                return cluster
            return cluster.with_status(created_at=self._store.now())

        why = Why("joined the pool")
        _, cluster = await self._store.change_cluster(name, joined, why)
        if found.status.created_at is None:
            self._store.events.record(Transition(cluster, None, cluster.phase, why, self._store.now()))
            await self._store.events.drain()
        return cluster

    async def delete_cluster(self, cluster: PooledCluster, *, as_read: bool = False) -> None:
        """Ask for this very cluster's removal: it is there until it is torn down, which waits for its session.

        Raises Conflict if another one has its name meanwhile; with `as_read` also if it changed in any way since.
        """
        kube, metadata = self._store.kube, cluster.metadata
        if TEARDOWN_FINALIZER not in metadata.finalizers and not cluster.removing:
            # Without it the resource would be gone at once, and with it all that is known of its VMs.
            kept = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
            patch = {"metadata": kept | {"finalizers": [*metadata.finalizers, TEARDOWN_FINALIZER]}}
            written = await kube.patch(POOLED_CLUSTERS, cluster.name, patch, metadata.namespace)
            metadata = PooledCluster.from_object(written).metadata
        version = metadata.resource_version if as_read else None
        await kube.delete(POOLED_CLUSTERS, cluster.name, metadata.namespace, uid=metadata.uid, resource_version=version)


def _as_read(found: Resource, patch: dict[str, Any]) -> dict[str, Any]:
    """The patch, to be refused if the object is another, or changed, since it was read."""
    read = {"uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version}
    return patch | {"metadata": read}


def _where(found: Resource) -> str | None:
    return found.metadata.namespace


def _wanted(pool: Pool, name: str, namespace: str) -> PooledCluster:
    metadata = Metadata(
        name=name,
        namespace=namespace,
        labels={POOL_LABEL: pool.name, POOL_UID_LABEL: pool.metadata.uid},
        finalizers=[TEARDOWN_FINALIZER],
    )
    return PooledCluster(metadata=metadata, spec=ClusterSpec(pool=pool.name, namespace=name))


def _check_own(found: PooledCluster, wanted: PooledCluster) -> None:
    name, labels = found.name, found.metadata.labels
    uid, expected = labels.get(POOL_UID_LABEL), wanted.metadata.labels[POOL_UID_LABEL]
    delete = f"kubectl -n {found.metadata.namespace} delete pcl {name}"
    if uid != expected or found.spec.pool != wanted.spec.pool:
        raise InvalidInput(
            f"cluster {name} is not of pool {wanted.spec.pool}",
            expected=f"a PooledCluster of pool {wanted.spec.pool}, label {POOL_UID_LABEL}={expected}",
            actual=f"one of pool {found.spec.pool}, {f'label {uid}' if uid else 'without the label'}",
            cure=f"choose another clusterPrefix, or remove it: {delete}",
        )
    if found.spec.namespace != wanted.spec.namespace:
        raise InvalidInput(
            f"cluster {name} lives elsewhere",
            expected=f"namespace {wanted.spec.namespace}",
            actual=found.spec.namespace,
            cure=f"a cluster's namespace never changes; remove it: {delete}",
        )
