"""Names of flow runs: as whoever started the run named it, else by what it does (pool.core.run_names)."""

from __future__ import annotations

import re
from collections.abc import Callable

from prefect import runtime

from pool.core.run_names import run_name

GENERATED = re.compile(r"[a-z]+[0-9]*(-[a-z0-9]+)+")
"""Names that Prefect gives to runs without one: `mottled-crab`, and `kappa283-halakal-h`, as its form suggests."""


def run_named(deployment: str) -> Callable[[], str]:
    """What `flow_run_name` of the deployment's flow is to be."""

    def name() -> str:
        given = runtime.flow_run.name
        return (
            str(given)
            if given and not GENERATED.fullmatch(given)
            else run_name(deployment, runtime.flow_run.parameters)
        )

    return name
