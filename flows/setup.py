"""What a Prefect server needs before the pool's worker serves it: the work pool, the deployments, the automations.

All of it again at each installation and each upgrade; what is there already is brought up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists

from flows import JOB_TEMPLATE, WORK_POOL, WORKER_TYPE
from flows.automations import ensure_automations, load_automations
from flows.deployments import Deployment, create_deployments, load_deployments


@dataclass(frozen=True)
class Setup:
    """Everything there is to be at a server."""

    deployments: Sequence[Deployment]
    automations: Sequence[AutomationCore]

    @classmethod
    def load(cls) -> Self:
        """As the package has it; takes seconds, since it loads the flows."""
        return cls(load_deployments(), load_automations())

    async def at(self, client: PrefectClient) -> None:
        """Have it so at the client's server. Raises what the server refuses it with."""
        with suppress(ObjectAlreadyExists):
            wanted = WorkPoolCreate(name=WORK_POOL, type=WORKER_TYPE, base_job_template=JOB_TEMPLATE)
            await client.create_work_pool(wanted)
        await create_deployments(client, self.deployments)
        await ensure_automations(client, self.automations)
