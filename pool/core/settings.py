"""The pool's settings: environment variables `CKS_POOL_<NAME>`, all with working defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from pool.core.fields import MAX_TTL_SECONDS, PoolSize, Quantity

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class Settings(BaseSettings):
    """Times are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="CKS_POOL_", use_attribute_docstrings=True, extra="forbid")

    namespace: DnsLabel = "cks-pool"
    """Where PooledClusters and Sessions live, apart from the clusters' own namespaces."""
    kubeconfig: Path | None = None
    """Kubeconfig of the host cluster. None: in-cluster, else $KUBECONFIG, else ~/.kube/config."""
    size: PoolSize = 3
    """How many clusters the pool has: cluster1 .. clusterN."""
    cluster_prefix: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,34}[a-z])?$")] = "cluster"
    """Name of a cluster before its number. At most 36 characters, so that VM and Secret names still fit."""

    templates_namespace: DnsLabel = "vm-templates"
    """Where the golden image lives; every cluster's disks are cloned from it."""
    golden_image: str = "docker://registry.example/cks-node:v1.32.0"
    """Registry URL that CDI imports the golden disk image from. The default is a placeholder that only the simulator
    takes: no public image carries what a node needs (deployments/templates/README.md says what that is)."""
    storage_class: str | None = None
    """Storage class of all disks. None: the host cluster's default class."""
    disk_size: Quantity = "20Gi"
    """Size of each VM's root disk; images, etcd and a lab's leftovers fit in 20 GiB."""
    cpu: PositiveInt = 2
    """Cores of each VM; kubeadm's preflight refuses a control plane with fewer than 2."""
    memory: Quantity = "4Gi"
    """Memory of each VM; kubeadm needs 2 GiB, labs run tools beside it."""
    kubernetes_version: Annotated[str, Field(pattern=r"^v1\.[0-9]+\.[0-9]+$")] = "v1.32.0"
    """Kubernetes version inside the clusters; the golden image must carry it."""

    ttl_seconds: Annotated[int, Field(ge=60, le=MAX_TTL_SECONDS)] = 3600
    """A session's time when it does not ask for one: an exam's practice hour."""
    max_ttl_seconds: Annotated[int, Field(ge=60, le=MAX_TTL_SECONDS)] = 28800
    """The most time a session can have, extensions included, counted from its assignment: a working day."""
    ended_session_days: PositiveFloat = 1.0
    """Days for which an ended session is kept, for those who ask what happened."""
    queue_grace: PositiveFloat = 60.0
    """Seconds a Pending session keeps its place after its caller's patience ended, so that a retry finds it again."""

    max_concurrent_operations: PositiveInt = 5
    """How many clusters maintenance may have out of service at once; storage suffers before CPU does."""
    operation_heartbeat: PositiveFloat = 10.0
    """Seconds between the heartbeats of a run that works on a cluster."""
    operation_grace: PositiveFloat = 60.0
    """Silence after which an operation counts as dead and is taken over: six heartbeats, an API outage of 30 s fits."""
    reset_attempts: PositiveInt = 2
    """Failed attempts in a row after which a cluster goes to `error`."""
    rebuild_broken: bool = True
    """Make a cluster whose resets failed anew from the image, by itself, once and one cluster at a time. Off: it stays
    in `error` as it is, for somebody to look at."""
    health_interval: PositiveFloat = 300.0
    """Seconds between two health checks of an idle cluster: one maintenance period."""
    min_standby: Annotated[int, Field(ge=0)] = 1
    """Available clusters below which nothing optional (a newer golden image) takes one out of service."""
    certificate_margin_days: PositiveFloat = 30.0
    """A golden generation whose certificates end sooner than this is refused and made again."""

    golden_stop_grace: PositiveInt = 120
    """Seconds a VM gets to shut down before its golden snapshot: the guest's own limit for a clean shutdown."""
    stop_timeout: PositiveFloat = 180.0
    """Until both VMIs are gone: the grace above and a minute for the node."""
    snapshot_timeout: PositiveFloat = 300.0
    """Until a snapshot is ready to use; KubeVirt itself gives up after 5 minutes."""
    restore_timeout: PositiveFloat = 600.0
    """Until a restore is complete; a slow copying storage needs minutes for 20 GiB."""
    provision_timeout: PositiveFloat = 1200.0
    """Until a new VM's disk is cloned and it runs; the first clone waits for the image's import."""
    import_timeout: PositiveFloat = 1800.0
    """Until the golden image is imported into its disk."""
    boot_timeout: PositiveFloat = 900.0
    """From a running VM to a healthy guest at first boot, kubeadm included."""
    health_timeout: PositiveFloat = 300.0
    """From started VMs to an attested guest after a restore."""
    request_timeout: PositiveFloat = 10.0
    """One request to an API server."""
    delete_timeout: PositiveFloat = 300.0
    """Until a deleted namespace or object is gone."""
