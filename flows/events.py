"""Every change of a cluster's phase, and whether a pool is short, as Prefect events: for the feed and automations.

Each names what it has to do with, so that a cluster's story is found from any end: its Pool, its namespace, the session
that has or had it. The flow run, its deployment and its tags are added by Prefect to what is emitted in a run.
"""

from __future__ import annotations

from prefect.events import emit_event

from pool.core.clusters import POOL_UID_LABEL
from pool.core.pools import Pool
from pool.state import Transition


async def announce(transition: Transition) -> None:
    """Emit `cks.cluster.<phase>` about the cluster, with who, why, from, to, run and epoch.

    Events are queued and sent in the background; one that is lost does not touch the transition, which is written.
    """
    cluster = transition.cluster
    emit_event(
        event=f"cks.cluster.{transition.to}",
        resource={
            "prefect.resource.id": f"cks.cluster.{cluster.metadata.uid}",
            "prefect.resource.name": cluster.name,
            "cks.cluster.namespace": cluster.spec.namespace,
        },
        related=related_to(transition),
        occurred=transition.at,
        payload={
            "cluster": cluster.name,
            "from": str(transition.before or ""),
            "to": str(transition.to),
            "why": transition.why.reason,
            "who": transition.why.who,
            "run": transition.why.run_id,
            "epoch": cluster.status.epoch,
        },
    )


def related_to(transition: Transition) -> list[dict[str, str]]:
    """What the cluster's change has to do with: `cks.pool.UID`, `cks.session.UID`, `cks.namespace.NAME`. Pure."""
    cluster = transition.cluster
    found = [("pool", cluster.metadata.labels.get(POOL_UID_LABEL, ""), cluster.spec.pool)]
    found += [("session", transition.session_uid, transition.session)]
    found += [("namespace", cluster.spec.namespace, cluster.spec.namespace)]
    return [
        {
            "prefect.resource.id": f"cks.{role}.{id_}",
            "prefect.resource.role": role,
            "prefect.resource.name": name,
        }
        for role, id_, name in found
        if id_
    ]


def announce_stock(pool: Pool, stocked: bool) -> None:
    """Emit `cks.pool.stocked` or `cks.pool.short` about the Pool, with how many are to stand by."""
    emit_event(
        event="cks.pool.stocked" if stocked else "cks.pool.short",
        resource={"prefect.resource.id": f"cks.pool.{pool.metadata.uid}", "prefect.resource.name": pool.name},
        payload={"pool": pool.name, "minStandby": pool.spec.min_standby, "size": pool.spec.size},
    )
