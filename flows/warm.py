"""The warm worker: takes the flow runs of a work pool and runs them in its own process, as tasks of its event loop.

A process worker starts a fresh interpreter for every flow run, which costs some twenty seconds before the first
line of a flow runs. Handing a learner a cluster must not wait for that, and a reset is I/O that waits on watches,
so many of them share one event loop well.

It outlives whatever becomes of Prefect's server. Each run is a task of its own, so what goes wrong with one is its own;
calls are made until they are answered (flows.patience), so polling goes on and states are reported when the server is
back. What that costs: a flow that blocks the loop blocks its neighbours. All flows here are async.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

import anyio
import httpx
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import AsyncClientContext
from prefect.exceptions import Abort, ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.logging import get_logger
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.states import Cancelled, Crashed, Pending
from prefect.utilities.engine import propose_state

from flows import JOB_TEMPLATE, WORKER_TYPE
from flows.loops import repeatedly
from flows.patience import SETTINGS, PatientClient
from flows.superseded import catching_up, is_late, skipped
from flows.taken import Silence

TAKEN = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
"""States of a run that a worker has taken and not ended."""

PAGE = 200
"""Runs that Prefect's server lists at most in one answer."""

logger = get_logger("warm_worker")


@dataclass(frozen=True)
class Pace:
    """Seconds between what a worker does again and again."""

    heartbeat: float = 10.0
    """Between the signs of life that others see."""
    look: float = 5.0
    """Between looks at what is taken: for runs to cancel, and those of dead workers."""
    grace: float = 45.0
    """For which a worker's heartbeat is seen unchanged until it counts as dead. Four are missed, and a next worker has
    ended the runs of one that died before it started within a minute."""
    stop: float = 10.0
    """For the last reports when the worker is to end."""


@dataclass
class Taken:
    """A run that this worker has taken."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    task: asyncio.Task[None] | None = None
    cancelled: bool = False
    """Somebody wanted it cancelled, in the UI or by the API."""


class WarmWorker:
    """Serves one work pool, which is made if it is missing. `limit`: flow runs at once, None for no limit.

    Any number may serve the same pool. Each has a name that no other ever has, which is put into the runs it takes.
    """

    def __init__(self, work_pool: str, *, name: str | None = None, limit: int | None = None, pace: Pace | None = None):
        self.name = f"{name or socket.gethostname()}-{uuid4().hex[:8]}"
        self._work_pool, self._limit, self._pace = work_pool, limit, pace or Pace()
        self._taken: dict[UUID, Taken] = {}
        self._skipped: set[UUID] = set()
        """Runs that are ended because a later one makes up for them; a poll's answer may be older than their end."""
        self._flows: dict[str, Flow[..., Any]] = {}
        self._silence = Silence(self._pace.grace, gap=self._pace.look + self._pace.heartbeat)
        self._client: PatientClient

    async def serve(self) -> None:
        """Serve until cancelled; what runs then is cancelled too, and reported as far as there is time."""
        with temporary_settings(SETTINGS):
            self._client = PatientClient()
            # What of Prefect wants a client in a run gets this one.
            async with AsyncClientContext.model_construct(client=self._client):
                await self._heartbeat()
                logger.info("worker %s started, it serves work pool %s", self.name, self._work_pool)
                try:
                    async with asyncio.TaskGroup() as loops:
                        loops.create_task(repeatedly(self._poll, PREFECT_WORKER_QUERY_SECONDS.value()))
                        loops.create_task(repeatedly(self._heartbeat, self._pace.heartbeat))
                        loops.create_task(repeatedly(self._look, self._pace.look))
                finally:
                    await self._stop()

    async def _stop(self) -> None:
        self._client.hurry()
        for taken in self._taken.values():
            taken.scope.cancel()
        left = {taken.task for taken in self._taken.values() if taken.task is not None}
        for last_chance in (self._pace.stop, 1.0):
            if left:
                _, left = await asyncio.wait(left, timeout=last_chance)
            for task in left:
                task.cancel()
        if left:
            logger.warning("%d runs are not reported; the next worker finds and ends them", len(left))

    async def _heartbeat(self) -> None:
        try:
            await self._client.send_worker_heartbeat(self._work_pool, self.name, max(1, round(self._pace.heartbeat)))
        except PrefectHTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            wanted = WorkPoolCreate(name=self._work_pool, type=WORKER_TYPE, base_job_template=JOB_TEMPLATE)
            try:
                await self._client.create_work_pool(wanted)
            except ObjectAlreadyExists:
                logger.debug("work pool %s was made meanwhile", self._work_pool)

    async def _poll(self) -> None:
        now = self._client.now()
        found = await self._client.get_scheduled_flow_runs_for_work_pool(self._work_pool, scheduled_before=now)
        due = {one.flow_run.id: one.flow_run for one in found}
        if late := {run.deployment_id for run in due.values() if run.deployment_id and is_late(run, now)}:
            # A poll leaves out what the server has locked, to mark it as late for instance.
            due |= {run.id: run for run in await self._all_due(late, now)}
        known = self._taken.keys() | self._skipped
        for run, missed in catching_up([run for run in due.values() if run.id not in known]):
            if self._limit is not None and len(self._taken) >= self._limit:
                break
            self._skipped.update(one.id for one in missed)
            self._taken[run.id] = taken = Taken()
            taken.task = asyncio.create_task(self._carry_out(run, taken, missed), name=f"flow run {run.name}")

    async def _carry_out(self, run: FlowRun, taken: Taken, missed: Sequence[FlowRun] = ()) -> None:
        """Take the run and execute it, instead of those that were `missed`. Nothing that goes wrong leaves here."""
        try:
            with taken.scope:
                # Before it is taken: other workers would find the others alone, and carry out the latest of them.
                await self._skip(missed, run)
                if not await self._take(run):
                    return
                await self._execute(run)
            if taken.cancelled:
                # The engine has reported that its task was stopped (Crashed); this is why.
                await self._client.set_flow_run_state(run.id, Cancelled(message="Cancelled by the worker."), force=True)
        except Exception as error:  # noqa: BLE001 - one run's trouble is its own
            logger.error("flow run %s: %s: %s", run.name, type(error).__name__, error)
            await self._end_quietly(run, f"It could not be carried out: {type(error).__name__}: {error}")
        finally:
            self._taken.pop(run.id, None)

    async def _skip(self, missed: Sequence[FlowRun], instead: FlowRun) -> None:
        """End what `instead` makes up for."""
        try:
            for run in missed:
                await self._client.set_flow_run_state(run.id, skipped(run, instead))
        except BaseException:
            self._skipped.difference_update(run.id for run in missed)
            raise
        if missed:
            logger.info("%d runs like %s, which were due earlier, are skipped", len(missed), instead.name)

    async def _take(self, run: FlowRun) -> bool:
        """Whether the run is this worker's now; another may have been faster."""
        try:
            state = await propose_state(self._client, Pending(), flow_run_id=run.id)
        except Abort as refused:
            logger.info("flow run %s is not taken: %s", run.name, refused)
            return False
        if not state.is_pending():
            logger.info("flow run %s is not taken: it is %s", run.name, state.name)
            return False
        await self._client.update_flow_run(run.id, infrastructure_pid=self.name)
        return True

    async def _execute(self, run: FlowRun) -> None:
        """Run the flow to its final state, which the engine reports itself.

        The engine must not stop the event loop, with all there is in it, until Prefect's server answers. It would, to
        watch a deployment's run for being suspended: so it is told of no deployment. It reads the run again anyway.
        """
        flow = await self._flow_of(run)
        unwatched = run.model_copy(update={"deployment_id": None})
        state: State[Any] = await cast(Any, run_flow(flow, flow_run=unwatched, return_type="state"))
        logger.info("flow run %s of %s: %s", run.name, flow.name, state.name)

    async def _flow_of(self, run: FlowRun) -> Flow[..., Any]:
        """The flow of the run's deployment, imported once for the life of the process."""
        if run.deployment_id is None:
            raise ValueError(f"flow run {run.name} has no deployment; start it from one of the deployments")
        entrypoint = (await self._client.read_deployment(run.deployment_id)).entrypoint or ""
        if entrypoint not in self._flows:
            flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
            # What a flow failed of is kept, results are not. Each run would ask the server where, and stop the loop.
            kept = PREFECT_LOCAL_STORAGE_PATH.value()
            self._flows[entrypoint] = flow.with_options(result_storage=kept, persist_result=False)
        return self._flows[entrypoint]

    async def _look(self) -> None:
        """Cancel the own runs that somebody wants cancelled, and end those whose worker died, whichever had them."""
        runs = await self._runs_under_way()
        workers = await self._client.read_workers_for_work_pool(self._work_pool, limit=PAGE)
        heartbeats = {worker.name: worker.last_heartbeat_time for worker in workers}
        for run in runs:
            taken = self._taken.get(run.id)
            if taken is not None and run.state_type is StateType.CANCELLING:
                taken.cancelled = True
                taken.scope.cancel()
        clock = asyncio.get_running_loop().time()
        for run in self._silence.lost(runs, heartbeats, clock, self.name, self._taken):
            await self._end_quietly(run, f"Its worker, {run.infrastructure_pid or 'unknown'}, is gone.")

    async def _runs_under_way(self) -> list[FlowRun]:
        """The pool's runs that a worker has taken."""
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self._work_pool]))
        return await self._runs(_in(TAKEN), work_pool_filter=pool)

    async def _all_due(self, deployments: Iterable[UUID], now: datetime) -> list[FlowRun]:
        """The deployments' runs that their schedules made for a time before `now`."""
        due = _in([StateType.SCHEDULED])
        due.next_scheduled_start_time = FlowRunFilterNextScheduledStartTime(before_=now)
        only = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
        return [run for run in await self._runs(due, deployment_filter=only) if run.auto_scheduled]

    async def _runs(self, which: FlowRunFilter, **filters: Any) -> list[FlowRun]:
        found: list[FlowRun] = []
        while True:
            page = await self._client.read_flow_runs(
                flow_run_filter=which,
                **filters,
                limit=PAGE,
                offset=len(found),
            )
            found += page
            if len(page) < PAGE:
                return found

    async def _end_quietly(self, run: FlowRun, why: str) -> None:
        """End the run, unless it has ended meanwhile, or another worker has it by now."""
        try:
            now = await self._client.read_flow_run(run.id)
            if now.state_type not in TAKEN or now.infrastructure_pid not in (run.infrastructure_pid, self.name):
                return
            end = Cancelled if now.state_type is StateType.CANCELLING else Crashed
            await self._client.set_flow_run_state(run.id, end(message=why), force=True)
            logger.warning("flow run %s was ended: %s", run.name, why)
        except Exception as error:  # noqa: BLE001 - the next look finds it again
            logger.warning("flow run %s is not ended: %s", run.name, error)


def _in(states: list[StateType]) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))
