"""`prefect worker start --pool cks-pool`: the worker's type, as Prefect's command looks for it.

The entry point `prefect.collections` names this module, which Prefect imports in its worker command and in its server:
so it imports nothing of ours before a worker is started. The worker itself is no `BaseWorker` (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from flows import JOB_TEMPLATE, WORKER_TYPE


class WarmWorkerType(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Hands over to `flows.worker`, which has loops, signals and heartbeats of its own."""

    type = WORKER_TYPE
    _description = "Runs flow runs as tasks of one warm process, which also stands by for the pools of clusters."

    def __init__(self, work_pool_name: str, **options: Any) -> None:
        super().__init__(work_pool_name, **options)
        self._given_name: str | None = options.get("name")

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """For `prefect work-pool create --type cks-warm`."""
        return deepcopy(JOB_TEMPLATE)

    async def start(
        self, run_once: bool = False, with_healthcheck: bool = False, printer: Callable[..., None] = print
    ) -> None:
        """Serve the work pool until a signal ends it. Holds this thread, which gets the signals.

        Ends the process as `python -m flows.worker` would if it does not end well, and if something is asked for that
        this worker does not have.
        """
        unknown = {
            "--run-once": run_once,
            "--work-queue": self._work_queues,
            "--base-job-template": self._base_job_template is not None,
            "--no-create-pool-if-not-found": not self._create_pool_if_not_found,
        }
        if asked := [option for option, given in unknown.items() if given]:
            raise SystemExit(f"a {WORKER_TYPE} worker serves its whole work pool, which has no jobs: no {asked[0]}")
        # Here, for it loads all of Kubernetes' client.
        from flows.worker import main

        arguments = ["--pool", self._work_pool_name]
        arguments += ["--name", self._given_name] if self._given_name else []
        arguments += ["--limit", str(self._limit)] if self._limit is not None else []
        if status := main(arguments):
            raise SystemExit(status)

    def is_worker_still_polling(self, query_interval_seconds: float) -> bool:
        """For `--with-healthcheck`: healthy as long as the process lives.

        A worker whose Prefect server is away must not be ended for it: sessions still end on time.
        """
        return True

    async def run(self, *_: Any, **__: Any) -> BaseWorkerResult:
        """Never called: the worker carries runs out itself."""
        raise NotImplementedError
