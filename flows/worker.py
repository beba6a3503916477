"""A Prefect worker that runs flows in its own, warm process.

A process worker starts a fresh interpreter for every flow run, which costs some twenty seconds before the first
line of a flow runs. Handing a learner a cluster must not wait for that, and a reset is I/O that waits on watches,
so many of them share one event loop well. Hence this worker: flow runs are picked up within a poll (one second)
and executed as asyncio tasks.

What that costs: a flow that blocks the loop blocks its neighbours. All flows here are async, and the worker can
be started several times against the same work pool.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import threading
from typing import Any, Literal, cast
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.logging import get_logger
from prefect.settings import PREFECT_WORKER_ENABLE_CANCELLATION, temporary_settings
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from flows.maintenance import maintain
from flows.runtime import standing_by

WORKER_TYPE: Literal["cks-warm"] = "cks-warm"
"""Type of the work pools that this worker serves."""

logger = get_logger("warm_worker")


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Runs each flow run as a task of this process's event loop.

    Cancelling a run in the UI cancels its task; whatever it had written stays, and pool maintenance takes it
    from there.
    """

    type = WORKER_TYPE
    job_configuration = BaseJobConfiguration
    _description = "Runs flow runs in one warm process: starts within a second, for async flows."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flows: dict[str, Flow[..., Any]] = {}
        self._running: dict[UUID, anyio.CancelScope] = {}

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> BaseWorkerResult:
        """Execute `flow_run` to its final state, which the Prefect engine reports to the API itself."""
        flow = await self._flow_of(flow_run)
        scope = anyio.CancelScope()
        self._running[flow_run.id] = scope
        try:
            if task_status is not None:
                task_status.started(str(flow_run.id))
            with scope:
                await self._execute(flow, flow_run)
        finally:
            self._running.pop(flow_run.id, None)
            if self._cancelling_observer is not None:
                self._cancelling_observer.remove_in_flight_flow_run_id(flow_run.id)
        if scope.cancelled_caught:
            await self._mark_flow_run_as_cancelled(flow_run, {"message": "Cancelled by the worker."})
        return BaseWorkerResult(identifier=str(flow_run.id), status_code=0)

    async def _setup_cancellation_observer(self) -> None:
        # Off by default, since most workers cannot stop a run that has begun. This one can.
        with temporary_settings({PREFECT_WORKER_ENABLE_CANCELLATION: True}):
            await super()._setup_cancellation_observer()

    async def _submit_run(self, flow_run: FlowRun) -> None:
        await super()._submit_run(flow_run)
        # The base class stops looking for a cancellation once a run is submitted, since another process has it then;
        # here it stays in this process until it ends.
        if self._cancelling_observer is not None and flow_run.id in self._running:
            self._cancelling_observer.add_in_flight_flow_run_id(flow_run.id)

    async def _execute(self, flow: Flow[..., Any], flow_run: FlowRun) -> None:
        try:
            state = await cast(Any, run_flow(flow, flow_run=flow_run, return_type="state"))
        except Exception as error:  # noqa: BLE001
            # The engine has already reported the run Failed or Crashed; the worker must outlive it.
            logger.error("flow run %s of %s ended with %s: %s", flow_run.name, flow.name, type(error).__name__, error)
        else:
            logger.info("flow run %s of %s: %s", flow_run.name, flow.name, cast(State[Any], state).name)

    async def _flow_of(self, flow_run: FlowRun) -> Flow[..., Any]:
        """The flow of `flow_run`'s deployment, imported once for the life of the process."""
        if flow_run.deployment_id is None:
            raise ValueError(f"flow run {flow_run.name} has no deployment; start it from one of the deployments")
        deployment = await self.client.read_deployment(flow_run.deployment_id)
        entrypoint = deployment.entrypoint or ""
        if entrypoint not in self._flows:
            self._flows[entrypoint] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        return self._flows[entrypoint]

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        scope = self._running.get(flow_run_id)
        if scope is None:
            await super()._cancel_run(flow_run_id)
        else:
            scope.cancel()

    async def kill_infrastructure(
        self, infrastructure_pid: str, configuration: BaseJobConfiguration, grace_seconds: int = 30
    ) -> None:
        """Stop the task of the run that `infrastructure_pid` (the flow run's ID) names, unless it has ended."""
        scope = self._running.get(UUID(infrastructure_pid))
        if scope is not None:
            scope.cancel()


async def serve(work_pool: str, *, name: str | None = None, limit: int | None = None) -> None:
    """Serve `work_pool` until cancelled. `limit`: flow runs at once, None for no limit."""
    worker = WarmWorker(work_pool_name=work_pool, name=name, limit=limit)
    async with standing_by(maintain):
        await worker.start(printer=lambda message: logger.info("%s", message))


def _serve_until_signal(work_pool: str, name: str | None, limit: int | None) -> int:
    """Run the worker's loop in a second thread, so that the main thread keeps the signals.

    Prefect's engine installs a SIGTERM handler around each flow run of the main thread that raises inside
    whatever the loop is doing; with many runs in one loop that would tear down the loop. Off the main thread it
    leaves signals alone.
    """
    loop = asyncio.new_event_loop()
    failures: list[BaseException] = []
    stopped = threading.Event()
    main: asyncio.Task[None] = loop.create_task(serve(work_pool, name=name, limit=limit))

    def run() -> None:
        try:
            loop.run_until_complete(main)
        except asyncio.CancelledError:
            logger.info("worker stopped")
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which reports it
            failures.append(error)
        finally:
            stopped.set()

    def stop(_signum: int, _frame: object) -> None:
        loop.call_soon_threadsafe(main.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=run, name="worker-loop", daemon=True).start()
    while not stopped.wait(timeout=3600):
        continue
    if failures:
        logger.error("worker failed: %s", failures[0], exc_info=failures[0])
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """Command line: `python -m flows.worker --pool NAME`."""
    parser = argparse.ArgumentParser("python -m flows.worker", description="Serve a work pool, in one process.")
    parser.add_argument("--pool", required=True, help="work pool to serve; made if missing")
    parser.add_argument("--name", help="name shown in the UI; random by default")
    parser.add_argument("--limit", type=int, help="flow runs at once; no limit by default")
    arguments = parser.parse_args(argv)
    return _serve_until_signal(arguments.pool, arguments.name, arguments.limit)


if __name__ == "__main__":
    raise SystemExit(main())
