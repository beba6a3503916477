"""`doctor`: every check at once, and what they found."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any

from cyclopts import Parameter

from cks_pool.doctor import connection, kinds, kubevirt, network, prefect, rights, storage
from cks_pool.doctor.checking import Check, all_skipped, carried_out
from cks_pool.doctor.findings import Finding, Severity, error, exit_status, one_line, without_cure
from cks_pool.errors import BadInput
from cks_pool.formats import data, say
from cks_pool.hosts import host_at
from cks_pool.options import HERE, DataOutput, Where
from cks_pool.prefect_api import prefect_api
from pool.core.errors import PoolError
from pool.work.steps import Host

OF_HOST: tuple[Check[Host], ...] = (
    *connection.CHECKS,
    *rights.CHECKS,
    *kinds.CHECKS,
    *kubevirt.CHECKS,
    *storage.CHECKS,
    *network.CHECKS,
)
OF_PREFECT: tuple[Check[Any], ...] = prefect.CHECKS
PATIENCE = 3.0
"""Seconds for which a call is tried again: what is away is to be said, not waited out."""


async def doctor(
    *,
    timeout: Annotated[float, Parameter(help="Seconds that the checks may take, all together.")] = 20.0,
    output: DataOutput = None,
    where: Where = HERE,
) -> int:
    """Check each thing that must be true, and say the cure where it is not."""
    of_host, of_prefect = await asyncio.gather(examine_host(where, timeout), examine_prefect(timeout))
    found = [*of_host, *of_prefect]
    say(data({"findings": [one.as_data() for one in found]}, output) if output else as_text(found))
    return exit_status(found)


async def examine_host(where: Where, deadline: float) -> list[Finding]:
    """What the checks of the host find; it has to answer at all."""
    first, *others = OF_HOST
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(deadline / 2):
                host = await stack.enter_async_context(host_at(where, patience=PATIENCE, any_kinds=True))
        except TimeoutError:
            refused = error(f"no answer within {deadline / 2:g} s", "see whether the API server is up")
        except PoolError as away:
            refused = error(without_cure(away), away.cure)
        else:
            return await carried_out(OF_HOST, host, deadline / 2)
    return [Finding(first.name, refused), *all_skipped(others, "the host cannot be reached")]


async def examine_prefect(deadline: float) -> list[Finding]:
    """What the checks of Prefect find. Sessions do without it, work does not."""
    first, *others = OF_PREFECT
    # Its import takes a second or two, in which the checks of the host would stand still.
    await asyncio.to_thread(importlib.import_module, "prefect")
    try:
        async with asyncio.timeout(deadline), prefect_api() as client:
            return await carried_out(OF_PREFECT, client, deadline / 2)
    except TimeoutError:
        refused = error(f"no answer within {deadline:g} s", "see the server's log")
    except BadInput as away:
        text, _, cure = str(away).partition("; ")
        refused = error(text, cure)
    return [Finding(first.name, refused), *all_skipped(others, "Prefect's API cannot be reached")]


def as_text(found: Sequence[Finding]) -> str:
    """The findings for people: a line each, its cure below, and how many of what kind. Pure."""
    width = max(len(one.name) for one in found)
    lines = []
    for one in found:
        verdict = one.verdict
        lines.append(f"{verdict.severity:<9}{one.name.ljust(width)}  {one_line(verdict.found)}")
        if verdict.cure:
            lines.append(f"{'':<9}{'':<{width}}  -> {one_line(verdict.cure)}")
    counts = [sum(one.verdict.severity is severity for one in found) for severity in Severity]
    return "\n".join(lines) + "\n" + ", ".join(f"{n} {severity}" for n, severity in zip(counts, Severity, strict=True))
