"""Health checks of clusters that nobody works on; what is found goes to their conditions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from prefect import get_run_logger, task

from flows.clusters import at_most
from flows.runtime import connected
from flows.tasks import EFFECT
from pool.core.clusters import ClusterCondition, ConditionType
from pool.core.errors import GuestUnhealthy, NotFound, NotOurs, UnknownCluster
from pool.core.resource import ConditionStatus
from pool.guest.health import check_healthy
from pool.kubevirt.cluster import Cluster
from pool.work.steps import Host, utcnow

AT_ONCE = 10
"""Guests that are looked at side by side; each look is a TLS connection and a few small requests."""


@task(**EFFECT)
async def check_health(cluster_ids: Sequence[str]) -> None:
    """Look at each guest and note on its cluster what was seen; an unhealthy one is a result, no failure."""
    async with connected() as pool:
        await at_most(AT_ONCE, partial(_look, pool), cluster_ids)


async def _look(pool: Host, cluster_id: str) -> None:
    try:
        found = await pool.state.cluster(cluster_id)
    except UnknownCluster:
        get_run_logger().info("%s is gone", cluster_id)
        return
    try:
        nodes = await check_healthy(pool.kube, Cluster.of(found), utcnow())
    except (GuestUnhealthy, NotFound, NotOurs) as error:
        # Only what is said of the guest counts: an outage of the host's API says nothing about it, and is raised.
        ill = _condition(ConditionStatus.FALSE, type(error).__name__, str(error))
        await pool.state.set_condition(cluster_id, ill, seen=found)
        get_run_logger().warning("%s is unhealthy: %s", cluster_id, error)
    else:
        evidence = ", ".join(f"{node.name} renewed {node.renewed:%H:%M:%S}" for node in nodes)
        await pool.state.set_condition(cluster_id, _condition(ConditionStatus.TRUE, "Healthy", evidence), seen=found)


def _condition(status: ConditionStatus, reason: str, message: str) -> ClusterCondition:
    return ClusterCondition(
        type=ConditionType.GUEST_HEALTHY,
        status=status,
        reason=reason,
        message=message[:4096],
        last_transition_time=utcnow(),
    )
