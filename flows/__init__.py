"""The pool's work as Prefect flows, and the worker that runs them."""

WORK_POOL = "cks-pool"
"""The work pool that prefect.yaml deploys to."""

WORKER_TYPE = "cks-warm"
"""Type of the work pools that the worker serves, and of the worker, as Prefect's command knows it."""

JOB_TEMPLATE: dict[str, dict[str, object]] = {
    "job_configuration": {"process": "the worker's own"},
    "variables": {"type": "object", "properties": {}},
}
"""What can be chosen for each run of such a work pool: nothing. Prefect refuses an empty first part."""
