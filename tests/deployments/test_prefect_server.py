"""The Prefect server of the overlay: what it is told, it understands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

from tests.deployments.overlays import containers, pods
from tests.pool.kubectl import needed

pytestmark = needed


def test_runs_and_what_belongs_to_them_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    (server,) = containers(dict(pods("complete"))["cks-pool-prefect"])
    for env in server["env"]:
        if "value" in env:
            monkeypatch.setenv(env["name"], env["value"])
    vacuum = ServerServicesDBVacuumSettings()
    assert vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert vacuum.retention_period == timedelta(days=30)
