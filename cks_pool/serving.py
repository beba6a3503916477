"""Services that run until they are stopped: `serve` and `worker`; and what the first one asks for: `token`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cks_pool.completion import pools
from cks_pool.formats import data, say
from cks_pool.options import HERE, DataOutput, Where, applied
from cks_pool.prefect_api import no_server_of_its_own

LISTEN = "CKS_GATEWAY_LISTEN"
WORK_POOL = "cks-pool"
"""The work pool that the deployments name (prefect.yaml)."""


async def serve(
    *,
    listen: Annotated[str | None, Parameter(help="Address and port; CKS_GATEWAY_LISTEN if left out.")] = None,
    where: Where = HERE,
) -> None:
    """Serve the HTTP API and the page, until SIGINT or SIGTERM."""
    no_server_of_its_own()
    from gateway.serving import serve as until_stopped
    from gateway.settings import GatewaySettings
    from pool.core.environment import from_environment

    with where.applied(), applied({LISTEN: listen}):
        await until_stopped(from_environment(GatewaySettings))


def worker(
    *,
    work_pool: Annotated[str, Parameter(help="Prefect's work pool to serve; made if missing.")] = WORK_POOL,
    name: Annotated[str | None, Parameter(help="What its name in the UI begins with; the host's by default.")] = None,
    limit: Annotated[int | None, Parameter(help="Flow runs at once; no limit by default.")] = None,
    alive: Annotated[
        Path | None, Parameter(help="A file to touch every 5 s as long as its event loop goes round, for a probe.")
    ] = None,
    where: Where = HERE,
) -> int:
    """Run flows for Prefect in one warm process, and stand by for the pools."""
    no_server_of_its_own()
    from flows.worker import main

    words = ["--pool", work_pool]
    words += ["--name", name] if name is not None else []
    words += ["--limit", str(limit)] if limit is not None else []
    words += ["--alive", str(alive)] if alive is not None else []
    with where.applied():
        return main(words)


def token(
    name: Annotated[str, Parameter(help="What the gateway's log calls whoever shows it, for example lms-2026-11.")],
    /,
    *,
    role: Annotated[
        Literal["session", "viewer", "operator"],
        Parameter(help="session: sessions; viewer: looks; operator: all."),
    ],
    pool: Annotated[
        str | None, Parameter(name=["--pool", "-p"], help="Only this Pool; for role session.", completer=pools)
    ] = None,
    output: DataOutput = None,
) -> None:
    """Make a token for the gateway: its entry on stdout, for the file of tokens; itself, shown once, on stderr."""
    from gateway.access.roles import Role
    from gateway.access.tokens import as_yaml, new_token

    secret, entry = new_token(name, Role(role), pool)
    if output:
        say(data({"token": secret, "entry": entry.model_dump(mode="json", exclude_none=True)}, output))
        return
    say(as_yaml(entry).rstrip())
    sys.stderr.write(f"{secret}\n")
