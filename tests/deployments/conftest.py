"""The Prefect server of the session, for what goes through all of it."""

from tests.flows.conftest import prefect_server

__all__ = ["prefect_server"]
