"""What a flow run is called: what it does, and to what. Pure; whoever starts a run names it so.

Names are made of the run's parameters, none of which is a secret, and of what is known of the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pool.core.pools import DEFAULT_POOL

LONGEST = 100
"""Characters of a name. Session IDs may have 253."""
NAMED = 3
"""Clusters that are named; how many more there are is said."""


def run_name(deployment: str, parameters: Mapping[str, Any], because: str = "") -> str:
    """The name of a run of `deployment` with these parameters (plain JSON; defaults may be left out).

    `because`: what more is known, such as `after alice` or `(error)`; it comes last.
    """
    name = _name(deployment, parameters)
    name = f"{name} {because}" if because else name
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _name(deployment: str, given: Mapping[str, Any]) -> str:
    cluster, session = given.get("cluster_id"), given.get("session_id")
    what = _clusters(given)
    match deployment:
        case "create-namespaces":
            return f"create namespaces of {what}"
        case "bootstrap-pool":
            return f"bootstrap {what}"
        case "create-golden-snapshots":
            return f"{'refresh' if given.get('refresh') else 'take'} snapshots of {what}"
        case "reset-cluster":
            kept = f" for {session}" if session else ""
            return f"reset {cluster}{kept}" + (" by force" if given.get("force") else "")
        case "rebuild-cluster":
            return f"rebuild {cluster}"
        case "assign-session" | "release-session":
            return f"{deployment.removesuffix('-session')} {session}"
        case "extend-session":
            return f"extend {session} by {given.get('seconds', 1800)} s"
        case "heartbeat-session":
            return f"heartbeat of {session}"
        case "pool-maintenance":
            return f"maintain {given.get('pool') or 'all pools'}"
        case "pool-status":
            return f"status of {what}"
        case "release-all-clusters":
            return f"release all of {what}"
        case "teardown-pool":
            return f"tear down {what}"
        case _:
            return deployment


def _clusters(given: Mapping[str, Any]) -> str:
    """The clusters that are named, else the pool, with its size if that is given."""
    names: Sequence[str] | None = given.get("cluster_ids")
    if names:
        more = len(names) - NAMED
        return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
    size = given.get("size")
    return str(given.get("pool") or DEFAULT_POOL) + (f" ({size})" if size is not None else "")
