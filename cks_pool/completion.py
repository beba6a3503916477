"""Shell completion: scripts, and what they ask this command for while somebody types.

Names come from the host with little time to answer. Whatever goes wrong, nothing is offered, and nothing is said.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from pool.work.steps import Host

PATIENCE = 2.0
"""Seconds that somebody waits who pressed Tab."""

Candidates = list[tuple[str, str]]
"""What may be typed, and what it is."""


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell to complete in.")], /
) -> None:
    """Print the completion script of a shell; it knows clusters, sessions, Pools and flows."""
    from cks_pool.app import NAME, app
    from cks_pool.formats import say

    say(app.generate_completion(prog_name=NAME, shell=shell))


def clusters(context: CompletionContext) -> Candidates:
    """The clusters, each with its phase."""

    async def names(host: Host) -> Candidates:
        return [(one.name, str(one.phase)) for one in await host.state.clusters()]

    return _asked(context, names)


def sessions(context: CompletionContext) -> Candidates:
    """The sessions that are not over, each with its cluster."""

    async def names(host: Host) -> Candidates:
        found = [one for one in await host.state.sessions() if not one.phase.ended]
        return [(one.name, one.status.assigned_cluster or str(one.phase)) for one in found]

    return _asked(context, names)


def pools(context: CompletionContext) -> Candidates:
    """The Pools."""

    async def names(host: Host) -> Candidates:
        return [(name, "") for name in await host.state.pool_names()]

    return _asked(context, names)


def flows(_context: CompletionContext) -> Candidates:
    """The flows."""
    from cks_pool.deployed import FLOWS

    return [(name, "") for name in FLOWS]


def contexts(context: CompletionContext) -> Candidates:
    """The contexts of the kubeconfig."""
    from pool.kube.credentials.access import Files
    from pool.kube.credentials.kubeconfig import read

    typed = _typed(context, "--kubeconfig") or os.environ.get("CKS_POOL_KUBECONFIG") or os.environ.get("KUBECONFIG")
    paths = (typed or str(Path.home() / ".kube" / "config")).split(os.pathsep)
    try:
        found = read([Path(path) for path in paths], Files())
    except Exception:  # noqa: BLE001 - nothing is offered then
        return []
    return [(one.name, one.context.cluster) for one in found.contexts] if found else []


def _asked(context: CompletionContext, names: Callable[[Host], Awaitable[Candidates]]) -> Candidates:
    from cks_pool.hosts import host_at
    from cks_pool.options import Where

    kubeconfig = _typed(context, "--kubeconfig")
    where = Where(
        namespace=_typed(context, "--namespace"),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
        context=_typed(context, "--context"),
    )

    async def asked() -> Candidates:
        async with asyncio.timeout(PATIENCE), host_at(where, patience=0) as host:
            return await names(host)

    before = logging.root.manager.disable
    logging.disable()
    try:
        return asyncio.run(asked())
    except Exception:  # noqa: BLE001 - nothing is offered then
        return []
    finally:
        logging.disable(before)


def _typed(context: CompletionContext, option: str) -> str | None:
    found = context.get(option)
    return found.raw if found is not None else None
