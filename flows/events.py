"""Every change of a cluster's phase, and whether a pool is short, as Prefect events: for the feed and automations.

The flow run, its deployment and its tags are added by Prefect to what is emitted in a run.
"""

from __future__ import annotations

from prefect.events import emit_event

from pool.core.pools import Pool
from pool.state import Transition
from pool.state.feed import event_of


async def announce(transition: Transition) -> None:
    """Emit the change (pool.state.feed).

    Events are queued and sent in the background; one that is lost does not touch the transition, which is written.
    """
    emit_event(**event_of(transition))


def announce_stock(pool: Pool, stocked: bool) -> None:
    """Emit `cks.pool.stocked` or `cks.pool.short` about the Pool, with how many are to stand by."""
    emit_event(
        event="cks.pool.stocked" if stocked else "cks.pool.short",
        resource={"prefect.resource.id": f"cks.pool.{pool.metadata.uid}", "prefect.resource.name": pool.name},
        payload={"pool": pool.name, "minStandby": pool.spec.min_standby, "size": pool.spec.size},
    )
