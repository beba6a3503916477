"""A change of a cluster's phase as Prefect's feed has it: plain data, whoever brings it there.

It names what it has to do with, so that a cluster's story is found from any end: its Pool, its namespace, the session
that has or had it.
"""

from __future__ import annotations

from typing import Any

from pool.core.clusters import POOL_UID_LABEL
from pool.state.events import Transition


def event_of(transition: Transition) -> dict[str, Any]:
    """`cks.cluster.<phase>` about the cluster, with who, why, from, to, run and epoch: the fields of Prefect's event.

    `occurred` is a datetime. Pure.
    """
    cluster = transition.cluster
    return {
        "event": f"cks.cluster.{transition.to}",
        "resource": {
            "prefect.resource.id": f"cks.cluster.{cluster.metadata.uid}",
            "prefect.resource.name": cluster.name,
            "cks.cluster.namespace": cluster.spec.namespace,
        },
        "related": related_to(transition),
        "occurred": transition.at,
        "payload": {
            "cluster": cluster.name,
            "from": str(transition.before or ""),
            "to": str(transition.to),
            "why": transition.why.reason,
            "who": transition.why.who,
            "run": transition.why.run_id,
            "epoch": cluster.status.epoch,
        },
    }


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
