"""Pool: how many clusters there are to be, and of what."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from pool.core.fields import MAX_TTL_SECONDS, MIN_TTL_SECONDS, Count, Model, PoolSize, Quantity
from pool.core.resource import Condition, Resource

DEFAULT_POOL = "default"
"""The Pool that is meant where none is named."""
POOL_FINALIZER = "cks.io/clusters"
"""On every Pool: a deleted one stays until the last of its clusters is torn down."""


class Image(Model):
    """The golden image that every cluster's disks are cloned from."""

    url: Annotated[str, Field(min_length=1, max_length=1024)] = "docker://registry.example/cks-node:v1.32.0"
    """Where CDI imports it from. The default is a placeholder that only the simulator takes: no public image carries
    what a node needs (deployments/templates/README.md says what that is). Another one replaces the clusters one by
    one."""
    kubernetes_version: Annotated[str, Field(pattern=r"^v1\.[0-9]+\.[0-9]+$", max_length=32)] = "v1.32.0"
    """Kubernetes version inside the clusters; the image must carry it."""


class Machines(Model):
    """Each of a cluster's two VMs; a change holds for clusters that are made from then on."""

    cpu: Annotated[int, Field(ge=2, le=256)] = 2
    """Cores; kubeadm's preflight refuses a control plane with fewer than 2."""
    memory: Quantity = "4Gi"
    """Memory; kubeadm needs 2 GiB, labs run tools beside it."""
    disk: Quantity = "20Gi"
    """Size of the root disk; images, etcd and a lab's leftovers fit in 20 GiB."""
    storage_class: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Storage class of the disks and of the golden image; the host cluster's default class if left out."""


class SessionTimes(Model):
    """How long sessions may keep their cluster, in seconds from the assignment."""

    ttl_seconds: Annotated[int, Field(ge=MIN_TTL_SECONDS, le=MAX_TTL_SECONDS)] = 3600
    """What a session gets when it does not ask: an exam's practice hour."""
    max_ttl_seconds: Annotated[int, Field(ge=MIN_TTL_SECONDS, le=MAX_TTL_SECONDS)] = 28800
    """The most it can have, extensions included: a working day."""


class PoolSpec(Model):
    """What is wanted."""

    size: PoolSize = 3
    """How many clusters: PREFIX1 .. PREFIXn. A smaller size removes from the top, a held cluster once its session has
    ended."""
    cluster_prefix: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z])?$", max_length=36)] = "cluster"
    """Name of a cluster, and of its namespace, before the number. Final, and no other Pool's on the host. It ends with
    a letter, so that no two prefixes make the same name; 36 characters leave room for VM and Secret names."""
    image: Image = Image()
    """The golden image."""
    machines: Machines = Machines()
    """The VMs."""
    sessions: SessionTimes = SessionTimes()
    """Times of the sessions."""
    min_standby: Annotated[int, Field(ge=0, le=500)] = 1
    """Available clusters below which nothing that can wait (a newer image) takes one out of service."""
    max_concurrent_operations: Annotated[int, Field(ge=1, le=500)] = 5
    """How many clusters maintenance may have out of service at once; storage suffers before CPU does."""
    rebuild_broken: bool = True
    """Make a cluster whose resets failed anew from the image, by itself, once and one cluster at a time. Off: it stays
    in `error` as it is, for somebody to look at."""


class PoolConditionType(StrEnum):
    """What is known of a pool."""

    READY = "Ready"
    """All clusters that are wanted are made, and none is broken."""
    PROGRESSING = "Progressing"
    """Clusters are being made, replaced or removed."""
    DEGRADED = "Degraded"
    """Something does not get on without somebody: a broken cluster, a prefix that another Pool has."""


class PoolCondition(Condition):
    """One observation of a pool."""

    type: PoolConditionType
    """What it is about."""
    observed_generation: Count | None = None
    """The generation of the Pool that was looked at."""


class PoolStatus(Model):
    """What is; worked out from the clusters and sessions by whoever comes by."""

    observed_generation: Count = 0
    """The generation of the spec that these numbers are about."""
    replicas: Count = 0
    """Clusters that exist, in whatever phase."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """Label selector of the pool's clusters, for `kubectl scale` and autoscalers."""
    creating: Count = 0
    """Clusters being made."""
    available: Count = 0
    """Clusters that are clean, healthy and free."""
    locked: Count = 0
    """Clusters held by a session."""
    resetting: Count = 0
    """Clusters being restored, or waiting for that."""
    error: Count = 0
    """Broken clusters."""
    removing: Count = 0
    """Clusters on their way out; each of them is in one of the other counts too."""
    waiting: Count = 0
    """Sessions that wait for a cluster."""
    conditions: list[PoolCondition] = Field(default_factory=list)
    """What is known, one entry a type."""

    def condition(self, kind: PoolConditionType) -> PoolCondition | None:
        """The condition of that type, if it was ever set."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


class Pool(Resource):
    """A pool of clusters of one image, kept ready for sessions."""

    KIND: ClassVar[str] = "Pool"

    spec: PoolSpec = PoolSpec()
    status: PoolStatus = Field(default_factory=PoolStatus)

    @property
    def removing(self) -> bool:
        """Whether it is on its way out: deleted, and there until the last of its clusters is torn down."""
        return self.metadata.deletion_timestamp is not None

    def cluster_name(self, number: int) -> str:
        """Name of the pool's cluster of that number, from 1; its namespace is named alike."""
        return f"{self.spec.cluster_prefix}{number}"
