"""Who may have a prefix: clusters and their namespaces are named by it, so no two Pools on a host share one."""

from __future__ import annotations

from pool.core.errors import InvalidInput
from pool.core.pools import Pool, PoolSpec
from pool.core.resource import Metadata
from pool.kube.client import Kube, Object
from pool.kube.resources import POOLS


async def check_prefix(kube: Kube, pool: Pool) -> None:
    """Refuse a pool whose prefix an older Pool on the host has, in whichever namespace: theirs are the same names.

    Of two the one made first has it, of two made in the same second the one with the smaller UID; one that is not made
    yet comes last. Raises InvalidInput. Changes nothing.
    """
    for other in await kube.list(POOLS):
        meta = other["metadata"]
        itself = (meta["namespace"], meta["name"]) == (pool.metadata.namespace, pool.name)
        if itself or _prefix(other) != pool.spec.cluster_prefix or not _is_older(other, pool):
            continue
        raise InvalidInput(
            f"prefix {pool.spec.cluster_prefix} of Pool {pool.metadata.namespace}/{pool.name}",
            expected="one that no other Pool on the host has",
            actual=f"that of Pool {meta['namespace']}/{meta['name']}",
            cure="make the Pool anew with another spec.clusterPrefix",
        )


def _prefix(other: Object) -> str:
    # Another version's Pool need not fit our model.
    return str((other.get("spec") or {}).get("clusterPrefix") or PoolSpec().cluster_prefix)


def _is_older(other: Object, pool: Pool) -> bool:
    if pool.metadata.creation_timestamp is None:
        return True
    theirs = Metadata.model_validate(other["metadata"])
    if theirs.creation_timestamp != pool.metadata.creation_timestamp:
        return theirs.creation_timestamp is not None and theirs.creation_timestamp < pool.metadata.creation_timestamp
    return theirs.uid < pool.metadata.uid
