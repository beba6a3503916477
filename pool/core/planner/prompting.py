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


def prompt(pool: Pool, actions: Iterable[Action]) -> str:
    """A name for what maintenance is to be run for at once, the same whoever sees it; empty if nothing is.

    While a pool grows or shrinks it stays the same. A reset is nothing that is wanted of the Pool: whoever gave the
    cluster back starts it.
    """
    wanted = {name for action in actions if (name := _wanted(action))}
    if not wanted:
        return ""
    digest = sha256("\n".join(sorted(wanted)).encode()).hexdigest()[:16]
    return f"{pool.metadata.uid}:{pool.metadata.generation}:{digest}"


def _wanted(action: Action) -> str:
    match action:
        case CreateMissing() | RemoveSurplus():
            return "its size"
        case StartRebuild() | StartTeardown():
            return action.wish
        case EndWaiting() | FinishPoolRemoval():
            return "its removal"
        case _:
            return ""
