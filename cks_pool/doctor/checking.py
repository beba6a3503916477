"""Checks carried out: all at once, each by itself, within one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cks_pool.doctor.findings import Finding, Verdict, error, skipped, without_cure
from pool.core.errors import ApiUnavailable, Forbidden, NotFound, PoolError
from pool.kube.faults import NO_SUCH_KIND

S = TypeVar("S")

Judge = Callable[[Any], Verdict]


@dataclass(frozen=True)
class Check(Generic[S]):
    """`look` gathers facts of the subject (the host, Prefect's API); `judge` says what they mean, purely."""

    name: str
    look: Callable[[S], Awaitable[Any]]
    judge: Judge


async def carried_out(checks: Sequence[Check[S]], subject: S, deadline: float) -> list[Finding]:
    """Every check's finding, in order. `deadline`: seconds for each of them, which go on side by side."""
    return list(await asyncio.gather(*(_one(check, subject, deadline) for check in checks)))


async def _one(check: Check[S], subject: S, deadline: float) -> Finding:
    try:
        async with asyncio.timeout(deadline):
            facts = await check.look(subject)
        verdict = check.judge(facts)
    except TimeoutError:
        verdict = error(f"no answer within {deadline:g} s", "see what holds the API up, or give it longer: --timeout")
    except Forbidden as refused:
        verdict = skipped(f"this identity may not look: {refused.message}", "ask as somebody who may read it")
    except NotFound as missing:
        there = missing.reason != NO_SUCH_KIND
        verdict = (
            error(without_cure(missing), missing.cure) if there else skipped(f"not served here: {missing.message}")
        )
    except ApiUnavailable as away:
        verdict = error(without_cure(away), away.cure or "see whether the API server is up")
    except PoolError as known:
        verdict = error(without_cure(known), known.cure)
    except Exception as fault:  # noqa: BLE001 - one check's fault hides no other's finding
        verdict = error(f"the check itself failed: {type(fault).__name__}: {fault}", "report it with this line")
    return Finding(check.name, verdict)


def all_skipped(checks: Sequence[Check[Any]], why: str) -> list[Finding]:
    """Findings of checks whose subject cannot be reached."""
    return [Finding(check.name, skipped(why)) for check in checks]
