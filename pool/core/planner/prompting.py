"""What of a plan need not wait for the next round of maintenance: what somebody wants of a Pool, now."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from pool.core.planner.actions import (
    Action,
    CreateMissing,
    EndWaiting,
    FinishPoolRemoval,
    RemoveSurplus,
    StartRebuild,
    StartTeardown,
)
from pool.core.pools import Pool

PROMPT = (CreateMissing, EndWaiting, FinishPoolRemoval, RemoveSurplus, StartRebuild, StartTeardown)
"""Growing, shrinking, replacing, removing. A reset is not among them: whoever gave the cluster back starts it."""


def prompt(pool: Pool, actions: Iterable[Action]) -> str:
    """A name for what maintenance is to be run for at once, the same whoever sees it; empty if nothing is."""
    wanted = sorted(f"{action!r}:{getattr(action, 'wish', '')}" for action in actions if isinstance(action, PROMPT))
    if not wanted:
        return ""
    digest = sha256("\n".join(wanted).encode()).hexdigest()[:16]
    return f"{pool.metadata.uid}:{pool.metadata.generation}:{digest}"
