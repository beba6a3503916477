"""Work that is a flow run of its own: started through the Prefect API, one run for the same wish."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.deployments import arun_deployment

from flows.runtime import connected
from flows.tasks import EFFECT, run_id
from pool.core.clusters import OperationKind, PooledCluster
from pool.core.lifecycle import ClusterPhase
from pool.core.planner.actions import wish
from pool.core.run_names import run_name
from pool.core.sessions import Session
from pool.work.steps import Host
from pool.work.upkeep.acting import Keeper, Work, give_back

AT_ONCE_AGAIN = 5
"""Runs that one wish may have one after the other; of those that follow there is one every ten minutes. A run that
ends with nothing changed was cancelled, or lost with its worker before it began: as many deploys in a row delay the
work by that, and what goes on so for long is no flood."""

OF_KIND = {
    OperationKind.BOOTSTRAP: "bootstrap-pool",
    OperationKind.GOLDEN: "create-golden-snapshots",
    OperationKind.RESET: "reset-cluster",
    OperationKind.REBUILD: "rebuild-cluster",
    OperationKind.TEARDOWN: "teardown-pool",
}
"""The deployment that does (again) what an operation of that kind does."""


@task(**EFFECT, task_run_name="start-{deployment}")
async def start_run(deployment: str, parameters: dict[str, Any], reason: str, because: str = "") -> str:
    """Start a flow run of `deployment` (flow and deployment share the name). Returns the flow run's name.

    It says what it does (pool.core.run_names), and `because`.

    `reason` tells one wish from another: asked again for the same reason, the run there is is returned as long as it
    has not ended. If it has, and the wish is still there, another one is started. One that was lost with its worker is
    ended by the next worker (flows.taken).
    """
    return await run_once(deployment, parameters, reason, because)


async def run_once(deployment: str, parameters: dict[str, Any], reason: str, because: str = "") -> str:
    """As `start_run`, outside of a flow run."""
    numbers = [f":{number}" if number else "" for number in range(AT_ONCE_AGAIN)]
    for number in (*numbers, None):
        run = await arun_deployment(
            f"{deployment}/{deployment}",
            parameters=parameters,
            flow_run_name=run_name(deployment, parameters, because),
            timeout=0,
            as_subflow=False,
            idempotency_key=f"{deployment}:{reason}{await _slot() if number is None else number}",
        )
        if run.state is None or not run.state.is_final():
            break
    return run.name


async def _slot() -> str:
    """The ten minutes that it is, for everybody the same."""
    async with connected() as host:
        return f":{host.now():%Y-%m-%dT%H:%M}"[:-1]


async def start_work(work: Work) -> str:
    """Start work on a cluster as a flow run of its own, which looks first whether it is still due. Returns its name."""
    return await start_run(OF_KIND[work.kind], *await _asked(work))


async def ask_for(work: Work) -> str:
    """As `start_work`, outside of a flow run."""
    return await run_once(OF_KIND[work.kind], *await _asked(work))


async def _asked(work: Work) -> tuple[dict[str, Any], str, str]:
    """Parameters, reason and the rest of the name of the run that does the work."""
    async with connected() as host:
        cluster = await host.state.cluster(work.cluster_id)
        last = await host.state.last_session(cluster) if work.kind is OperationKind.RESET else None
    return parameters_of(work, cluster.spec.pool), work.wish, because_of(work, cluster, last)


def because_of(work: Work, cluster: PooledCluster, last: Session | None) -> str:
    """Why the work is due, as a few words at the end of the run's name. `last`: whose cluster it was. Pure."""
    status = cluster.status
    match work.kind:
        case OperationKind.RESET if last is not None and work.waiting:
            return f"after {last.name}"
        case OperationKind.REBUILD:
            return "(error)" if cluster.phase is ClusterPhase.ERROR or status.rebuilding else "(outdated)"
        case _:
            return ""


def parameters_of(work: Work, pool: str) -> dict[str, Any]:
    """The parameters of the run that does the work. Pure."""
    only = {"pool": pool, "cluster_ids": [work.cluster_id]}
    match work.kind:
        case OperationKind.RESET:
            # A silent run may have come to life, and to its end, before this one begins.
            return {"cluster_id": work.cluster_id, "if_waiting": work.waiting}
        case OperationKind.REBUILD:
            return {"cluster_id": work.cluster_id, "if_due": True}
        case OperationKind.TEARDOWN:
            return only | {"confirm": "teardown", "if_due": True}
        case OperationKind.BOOTSTRAP | OperationKind.GOLDEN:
            return only | {"if_due": True}


async def start_given_back(host: Host, cluster_id: str) -> str | None:
    """Start what a cluster needs that was given back: its reset, or its removal. Returns the flow run's name, if any.

    Should the Prefect API not answer, maintenance finds the cluster with nobody on it and starts the same.
    """
    pool = await host.state.pool((await host.state.cluster(cluster_id)).spec.pool)
    return await give_back(Keeper(host, start_work, run_id()), pool, cluster_id)


async def start_rebuild(cluster: PooledCluster) -> str:
    """Start the rebuild of a cluster in `error`, once for each failure. Returns the flow run's name."""
    kind = OperationKind.REBUILD
    return await start_work(Work(kind, cluster.name, wish(kind, cluster)))
