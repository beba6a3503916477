"""Prefect: its API and database, whether maintenance comes on time, and whether somebody takes runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, error, ok, skipped, warning
from cks_pool.formats import short

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

MAINTENANCE = "pool-maintenance"
OVERDUE = timedelta(minutes=15)
"""Three periods of maintenance."""
DEPLOY = "cks-pool setup prefect, with PREFECT_API_URL set to the right server"


@dataclass(frozen=True)
class Api:
    """Where Prefect's API is, and its version beside ours."""

    url: str
    theirs: str
    ours: str


async def look_api(client: PrefectClient) -> Api:
    """Which server answers."""
    return Api(str(client.api_url), str(await client.api_version()), version("prefect"))


def judge_api(found: Api) -> Verdict:
    """A server of the version that the flows were tried with."""
    text = f"{found.url}, Prefect {found.theirs}"
    if found.theirs.split(".")[:2] != found.ours.split(".")[:2]:
        return warning(f"{text}, and {found.ours} here", "have both in one version")
    return ok(text)


async def look_database(client: PrefectClient) -> str:
    """The database's driver, as far as the server tells: its address is kept secret."""
    settings = (await client.request("GET", "/admin/settings")).json()
    database = (settings.get("server") or {}).get("database") or {}
    return str(database.get("driver") or database.get("connection_url") or "")


def judge_database(found: str) -> Verdict:
    """PostgreSQL: SQLite answers 503 to calls that come together."""
    if found.startswith("postgresql"):
        return ok("PostgreSQL")
    if found.startswith("sqlite"):
        return warning("SQLite, which answers 503 when calls come together", "give the server a PostgreSQL (docs)")
    return skipped(
        "the server does not tell which it is",
        "where it runs, prefect config view shows PREFECT_SERVER_DATABASE_CONNECTION_URL; it is to be PostgreSQL",
    )


@dataclass(frozen=True)
class Schedule:
    """Maintenance, as it is deployed. `deployment`: its ID, empty if it is not; `scheduled`: it comes by itself;
    `schedule`: the ID of a schedule that does not; `last`: how long ago a run completed; `late`: runs nobody took."""

    deployment: str
    paused: bool = False
    scheduled: bool = False
    schedule: str = ""
    last: timedelta | None = None
    late: int = 0


async def look_schedule(client: PrefectClient) -> Schedule:
    """Whether maintenance comes by itself, and did."""
    deployment = await _deployment(client)
    if deployment is None:
        return Schedule("")
    ends = [run.end_time for run in await _runs(client, deployment, "Completed", 1) if run.end_time is not None]
    return Schedule(
        str(deployment.id),
        paused=bool(deployment.paused),
        scheduled=any(one.active for one in deployment.schedules),
        schedule=next((str(one.id) for one in deployment.schedules if not one.active), ""),
        last=datetime.now(UTC) - ends[0] if ends else None,
        late=len(await _runs(client, deployment, "Late", 50)),
    )


async def _deployment(client: PrefectClient) -> DeploymentResponse | None:
    from prefect.exceptions import ObjectNotFound

    try:
        return await client.read_deployment_by_name(f"{MAINTENANCE}/{MAINTENANCE}")
    except ObjectNotFound:
        return None


async def _runs(client: PrefectClient, deployment: DeploymentResponse, state: str, limit: int) -> Sequence[Any]:
    """The newest runs of the deployment in a state of that name."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterDeploymentId,
        FlowRunFilterState,
        FlowRunFilterStateName,
    )
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[state])),
    )
    return await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=limit)


def judge_schedule(found: Schedule) -> Verdict:
    """It is deployed, not paused, and comes."""
    if not found.deployment:
        return error(f"{MAINTENANCE} is not deployed", DEPLOY)
    if found.paused:
        # Prefect has no command for a deployment as a whole.
        return error(f"{MAINTENANCE} is paused", f"prefect api POST /deployments/{found.deployment}/resume_deployment")
    if not found.scheduled and found.schedule:
        resume = f"prefect deployment schedule resume {MAINTENANCE}/{MAINTENANCE} {found.schedule}"
        return error(f"the schedule of {MAINTENANCE} is paused", resume)
    if not found.scheduled:
        return error(f"{MAINTENANCE} has no schedule", DEPLOY)
    ago = f"the last one completed {short(found.last)} ago" if found.last is not None else "none has completed yet"
    text = f"{MAINTENANCE} is scheduled, {ago}"
    if found.late:
        return warning(f"{text}, {found.late} late", "see worker, below: nobody takes them")
    if found.last is not None and found.last > OVERDUE:
        return warning(text, f"see why its runs fail: prefect flow-run ls --flow-name {MAINTENANCE}")
    return ok(text)


@dataclass(frozen=True)
class Workers:
    """Who serves the work pool that maintenance is deployed to. `work_pool` empty: it is not deployed."""

    work_pool: str
    there: bool = True
    paused: bool = False
    alive: tuple[str, ...] = ()


async def look_workers(client: PrefectClient) -> Workers:
    """The workers whose heartbeat the server heard lately."""
    from prefect.client.schemas.objects import WorkerStatus
    from prefect.exceptions import ObjectNotFound

    deployment = await _deployment(client)
    if deployment is None or not deployment.work_pool_name:
        return Workers("")
    name = deployment.work_pool_name
    try:
        work_pool = await client.read_work_pool(name)
    except ObjectNotFound:
        return Workers(name, there=False)
    found = await client.read_workers_for_work_pool(name)
    alive = tuple(worker.name for worker in found if worker.status is WorkerStatus.ONLINE)
    return Workers(name, paused=work_pool.is_paused, alive=alive)


def judge_workers(found: Workers) -> Verdict:
    """Somebody takes runs."""
    if not found.work_pool:
        return skipped(f"{MAINTENANCE} is not deployed, so no work pool is known", DEPLOY)
    if not found.there:
        return error(f"there is no work pool {found.work_pool}", DEPLOY)
    if found.paused:
        return error(f"work pool {found.work_pool} is paused", f"prefect work-pool resume {found.work_pool}")
    if not found.alive:
        why = "see why none runs (kubectl -n cks-pool get pods)"
        start = f"start one: cks-pool worker --work-pool {found.work_pool}"
        return error(f"nobody serves work pool {found.work_pool}", f"{why}, or {start}")
    return ok(f"work pool {found.work_pool} is served by {', '.join(found.alive)}")


CHECKS = (
    Check("prefect-api", look_api, judge_api),
    Check("prefect-database", look_database, judge_database),
    Check("maintenance", look_schedule, judge_schedule),
    Check("worker", look_workers, judge_workers),
)
