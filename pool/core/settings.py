"""Settings of a process: environment variables `CKS_POOL_<NAME>`, all with working defaults.

What a pool is to be (its size, its image, its machines) is in the Pool resource, not in the environment of whoever
happens to look.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from pool.core.environment import from_environment
from pool.core.errors import InvalidInput
from pool.core.ranges import Ranges

PREFIX = "CKS_POOL_"

MOVED = {
    "SIZE": "size",
    "CLUSTER_PREFIX": "clusterPrefix",
    "GOLDEN_IMAGE": "image.url",
    "KUBERNETES_VERSION": "image.kubernetesVersion",
    "CPU": "machines.cpu",
    "MEMORY": "machines.memory",
    "DISK_SIZE": "machines.disk",
    "STORAGE_CLASS": "machines.storageClass",
    "TTL_SECONDS": "sessions.ttlSeconds",
    "MAX_TTL_SECONDS": "sessions.maxTtlSeconds",
    "MAX_CONCURRENT_OPERATIONS": "maxConcurrentOperations",
    "REBUILD_BROKEN": "rebuildBroken",
    "MIN_STANDBY": "minStandby",
}
"""What a Pool's spec holds by now, by the variable that once said it."""

DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class Settings(BaseSettings):
    """Times are seconds unless the name says otherwise. A variable that is set to nothing counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        extra="forbid",
        allow_inf_nan=False,
    )

    namespace: DnsLabel = "cks-pool"
    """Where Pools, PooledClusters and Sessions live, apart from the clusters' own namespaces."""
    kubeconfig: Path | None = None
    """Kubeconfig of the host cluster. None: as kubectl, $KUBECONFIG, else ~/.kube/config, else in-cluster."""
    context: str | None = None
    """Context of that kubeconfig. None: its current one."""

    templates_namespace: DnsLabel = "vm-templates"
    """Where the golden images live; every cluster's disks are cloned from one of them."""

    host_ranges: Ranges = ""
    """Addresses that VMs must not reach, as "198.51.100.0/24, 2001:db8::1": the host's load balancers, networks of the
    house at public addresses. Private ranges, the nodes and the API server are closed anyway."""
    open_ranges: Ranges = ""
    """Addresses that VMs may reach although they are private, or in the ranges above, as "10.20.0.7, fd00:7::/64": a
    proxy, a mirror. On all ports but those of mail and DNS. The nodes, the API server, the clouds' metadata and pods in
    the nodes' `podCIDRs` stay closed; Services, load balancers and pods of other ranges do not."""
    dns_ranges: Ranges = "169.254.20.10"
    """Where DNS answers VMs beside the cluster's DNS pods: NodeLocal DNSCache's address. Only port 53 is open there."""

    ended_session_days: PositiveFloat = 1.0
    """Days for which an ended session is kept, for those who ask what happened."""
    queue_grace: PositiveFloat = 60.0
    """Seconds a Pending session keeps its place after its caller's patience ended, so that a retry finds it again."""

    operation_heartbeat: PositiveFloat = 10.0
    """Seconds between the heartbeats of a run that works on a cluster."""
    operation_grace: PositiveFloat = 60.0
    """Seconds for which a heartbeat is watched and does not move until its run is taken over: six heartbeats."""
    reset_by_itself_after: PositiveFloat = 60.0
    """Seconds that a cluster waits for its reset while Prefect does not answer; then the worker does it without."""
    reset_attempts: PositiveInt = 2
    """Failed attempts in a row after which a cluster goes to `error`."""
    health_interval: PositiveFloat = 300.0
    """Seconds between two health checks of an idle cluster: one maintenance period."""
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


def settings_from_environment() -> Settings:
    """The settings that the process's environment gives.

    Raises InvalidInput that names the variable to mend: one whose value cannot be, one that a Pool's spec holds by now,
    one that means nothing, or two that contradict each other.
    """
    settings = from_environment(Settings, MOVED)
    _check_pairs(settings)
    return settings


def _check_pairs(settings: Settings) -> None:
    """Raises InvalidInput for two settings that cannot both be meant."""
    beat, grace, request = settings.operation_heartbeat, settings.operation_grace, settings.request_timeout
    # The second of a pair is the one to raise, or to change.
    pairs = (
        (
            "operation_heartbeat",
            "operation_grace",
            2 * beat <= grace,
            "two heartbeats in a grace: a run that misses one is not dead",
        ),
        (
            "request_timeout",
            "operation_grace",
            beat + request < grace,
            "a heartbeat and a request's timeout in a grace: a run with one request that hangs is not dead",
        ),
        (
            "golden_stop_grace",
            "stop_timeout",
            settings.golden_stop_grace < settings.stop_timeout,
            "a stop that may last as long as the VM is given for it",
        ),
        (
            "namespace",
            "templates_namespace",
            settings.namespace != settings.templates_namespace,
            "two namespaces: who may clone the images reads no Sessions",
        ),
    )
    for first, second, agree, expected in pairs:
        if not agree:
            raise InvalidInput(
                f"settings {PREFIX}{first.upper()} and {PREFIX}{second.upper()}",
                expected=expected,
                actual=f"{getattr(settings, first)} and {getattr(settings, second)}",
                cure=f"change either; {PREFIX}{second.upper()} is {Settings.model_fields[second].default} by default",
            )
