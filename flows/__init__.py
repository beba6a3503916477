"""The pool's work as Prefect flows, and the worker that runs them."""

WORK_POOL = "cks-pool"
"""The work pool that prefect.yaml deploys to."""
