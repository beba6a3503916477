"""What is done at each installation and each upgrade; what is there is kept, or brought up to date."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from cks_pool.formats import say
from cks_pool.options import HERE, Where


async def setup(
    what: Annotated[
        Literal["secrets", "prefect"],
        Parameter(help="secrets: certificate and tokens of the gateway; prefect: work pool, deployments, automations."),
    ],
    /,
    *,
    prefect: Annotated[bool, Parameter(help="Secrets of a Prefect server of the pool's own, too.")] = False,
    where: Where = HERE,
) -> None:
    """Make what an installation lacks.

    secrets: certificate and tokens of the gateway, each made once at random. prefect: work pool, deployments and
    automations, made or brought up to date at the server that PREFECT_API_URL names.
    """
    if what == "secrets":
        await _secrets(where, prefect=prefect)
    else:
        await _prefect()


async def _secrets(where: Where, *, prefect: bool) -> None:
    from cks_pool.hosts import host_at
    from cks_pool.secrets import ensure_secrets

    async with host_at(where) as host:
        made = await ensure_secrets(host.kube, host.settings.namespace, host.now(), prefect=prefect)
    say(f"made {', '.join(made)}" if made else "nothing to make, all Secrets are there")


async def _prefect() -> None:
    from cks_pool.prefect_api import prefect_api
    from flows.setup import Setup

    async with prefect_api() as client:
        made = Setup.load()
        await made.at(client)
    say(f"{len(made.deployments)} deployments and {len(made.automations)} automations are as this version has them")
