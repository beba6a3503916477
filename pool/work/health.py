"""Looking at guests that nobody works on; what is found goes to their clusters' conditions."""

from __future__ import annotations

import logging

from pool.core.clusters import ClusterCondition, ConditionType
from pool.core.errors import GuestUnhealthy, NotFound
from pool.core.resource import ConditionStatus
from pool.guest.health import check_healthy
from pool.guest.identity import identity_of
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.resources import SECRETS
from pool.kubevirt.cluster import CA_SECRET, Cluster
from pool.work.steps import Host

logger = logging.getLogger(__name__)


async def look(host: Host, cluster_id: str) -> None:
    """Look at the guest and note on its cluster what was seen; an unhealthy one is a result, no failure.

    Raises UnknownCluster, and ApiError for an outage of the host's API, which says nothing about the guest.
    """
    found = await host.state.cluster(cluster_id)
    cluster = Cluster.of(found)
    try:
        await renew_kubeconfig(host, cluster)
        nodes = await check_healthy(host.kube, cluster, host.now())
    except (GuestUnhealthy, NotFound) as error:
        ill = _condition(host, ConditionStatus.FALSE, type(error).__name__, str(error))
        await host.state.set_condition(cluster_id, ill, seen=found)
        host.warn(f"{cluster_id} is unhealthy: {error}")
    else:
        evidence = ", ".join(f"{node.name} renewed {node.renewed:%H:%M:%S}" for node in nodes)
        well = _condition(host, ConditionStatus.TRUE, "Healthy", evidence)
        await host.state.set_condition(cluster_id, well, seen=found)


async def renew_kubeconfig(host: Host, cluster: Cluster) -> None:
    """The pool's own way into the guest does not end: its certificate is made again well before that.

    The guest needs not be told: it trusts the CA, which stays. Raises GuestUnhealthy if the identity cannot be read.
    """
    secret = await host.kube.find(SECRETS, CA_SECRET, cluster.namespace)
    if secret is not None:
        await ensure_kubeconfig(host.kube, cluster, identity_of(secret), host.now())


def _condition(host: Host, status: ConditionStatus, reason: str, message: str) -> ClusterCondition:
    return ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=status,
        reason=reason,
        message=message[:4096],
        last_transition_time=host.now(),
    )
