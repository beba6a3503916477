"""What goes through all of it: the Prefect server of the session, and an overlay that was applied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from cks_pool.secrets import PREFECT
from pool.kube.client import Kube
from pool.kube.resources import SECRETS
from pool.kube.watching import Watching
from simulator.app import Simulator
from tests.deployments.installed import COMPLETE, HOME, Installation, unpacked
from tests.flows.conftest import AUTH, plain_client, prefect_server
from tests.pool.kubectl import Kubectl

__all__ = ["prefect_server"]


@pytest.fixture
async def installation(simulator: Simulator, prefect_server: None, tmp_path: Path) -> AsyncIterator[Installation]:
    given = simulator.kubeconfig_path
    assert given is not None
    kubectl = Kubectl(given, "", tmp_path)
    await kubectl("apply", "-k", COMPLETE)
    async with Kube.connect(given) as admin, Watching(admin) as watching:
        # The server is there already, so the setup keeps what it wants to be shown.
        shown = SECRETS.manifest(PREFECT, HOME, stringData={"PREFECT_API_AUTH_STRING": AUTH})
        await admin.create(SECRETS, shown)
        api = PREFECT_API_URL.value()
        yield Installation(kubectl, admin, watching, given, tmp_path, api, unpacked(tmp_path))
        async with plain_client() as client:
            found = (
                await client.post("/deployments/filter", json={"deployments": {"tags": {"all_": ["cks-pool"]}}})
            ).json()
            for one in found:
                await client.delete(f"/deployments/{one['id']}")
