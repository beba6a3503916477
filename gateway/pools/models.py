"""The JSON of Pools and clusters: how they are told, and what is wanted of them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from gateway.models import Asked
from pool.core.clusters import PooledCluster
from pool.core.contract import ClusterPool, ClusterPoolStats
from pool.core.fields import Model, PoolSize
from pool.core.pools import PoolCondition


class PoolView(Model):
    """A Pool, as it is."""

    name: Annotated[str, Field(examples=["default"])]
    """Its name."""
    size: Annotated[int, Field(examples=[3])]
    """How many clusters it is to have."""
    removing: bool
    """Whether it is on its way out."""
    waiting: Annotated[int, Field(examples=[0])]
    """Sessions that wait for one of its clusters."""
    stats: ClusterPoolStats
    """Its clusters by phase; the five counts add up to the total."""
    conditions: list[PoolCondition]
    """Ready, Progressing, Degraded: why it is as it is."""


class ClusterView(ClusterPool):
    """A cluster as the platform knows it, and whether it is kept from new sessions."""

    cordoned: bool
    """Whether it is given to nobody, and left as it is."""

    @classmethod
    def of(cls, cluster: PooledCluster) -> Self:
        return cls.model_validate(ClusterPool.of(cluster).model_dump() | {"cordoned": cluster.spec.cordoned})


class PoolPatch(Asked):
    """What is wanted of a Pool."""

    size: Annotated[PoolSize, Field(strict=True, examples=[5])]
    """How many clusters. Of a smaller one the last go, a held one once its session has ended."""


class ClusterPatch(Asked):
    """What is wanted of a cluster."""

    cordoned: Annotated[bool, Field(strict=True, examples=[True])]
    """Whether it is kept from new sessions, and left as it is. Who holds it keeps it."""
