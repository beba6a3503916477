"""Looking at guests that nobody works on; what is found goes to their clusters' conditions."""

from __future__ import annotations

import logging

from pool.core.clusters import ClusterCondition, ConditionType
from pool.core.errors import Forbidden, GuestUnhealthy, NotFound, NotOurs
from pool.core.resource import ConditionStatus
from pool.guest.health import check_healthy
from pool.guest.identity import identity_of
from pool.guest.kubeconfig import ensure_kubeconfig
from pool.kube.resources import SECRETS
from pool.kubevirt.cluster import CA_SECRET, Cluster
from pool.kubevirt.ownership import owned
from pool.work.steps import Host

logger = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
"""For one guest: its lease moves every 10 s. The five requests of a look that has begun by then may take 5 each."""


async def look(host: Host, cluster_id: str) -> None:
    """Look at the guest and note on its cluster what was seen; an unhealthy one is a result, no failure.

    Raises UnknownCluster, and ApiError for an outage of the host's API, which says nothing about the guest.
    """
    found = await host.state.cluster(cluster_id)
    try:
        cluster = Cluster.of(found)
        await renew_kubeconfig(host, cluster)
        nodes = await check_healthy(host.kube, cluster, host.now(), timeout=LOOK_SECONDS)
    except (GuestUnhealthy, NotFound, NotOurs) as error:
        ill = _condition(host, ConditionStatus.FALSE, type(error).__name__, str(error))
        await host.state.set_condition(cluster_id, ill, seen=found)
        host.warn(f"{cluster_id} is unhealthy: {error}")
    else:
        evidence = ", ".join(f"{node.name} renewed {node.renewed:%H:%M:%S}" for node in nodes)
        well = _condition(host, ConditionStatus.TRUE, "Healthy", evidence)
        await host.state.set_condition(cluster_id, well, seen=found)


async def renew_kubeconfig(host: Host, cluster: Cluster) -> None:
    """The pool's own way into the guest does not end: its certificate is made again well before that.

    The guest needs not be told: it trusts the CA, which stays. Raises GuestUnhealthy if the identity cannot be read,
    NotOurs if it is not this very cluster's.
    """
    try:
        secret = await host.kube.find(SECRETS, CA_SECRET, cluster.namespace)
    except Forbidden:
        # The right to look is in the cluster's namespace. Is that gone, then the look at the guest says so.
        return
    if secret is not None:
        await ensure_kubeconfig(host.kube, cluster, identity_of(owned(secret, cluster)), host.now())


def _condition(host: Host, status: ConditionStatus, reason: str, message: str) -> ClusterCondition:
    return ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=status,
        reason=reason,
        message=message[:4096],
        last_transition_time=host.now(),
    )
