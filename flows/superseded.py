"""Which scheduled runs a later one makes up for. Pure.

Prefect schedules an hour ahead and more. After an hour without a worker or a server, all that were due meanwhile are
due at once, and a process worker would carry out each. One catches up: what is scheduled looks at things as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State, StateType

LATE = timedelta(seconds=10)
"""A worker that is there takes a run sooner."""


def is_late(run: FlowRun, now: datetime) -> bool:
    """Whether the run was due by a schedule while nobody took runs, so that there may be more like it."""
    return run.auto_scheduled and now - _time(run) > LATE


def catching_up(due: Sequence[FlowRun]) -> list[tuple[FlowRun, list[FlowRun]]]:
    """The runs to carry out, of all that are due, each with those that it makes up for.

    Those are of the same deployment with the same parameters, by a schedule and earlier. What somebody asked for is
    carried out, and makes up for nothing.
    """
    groups: dict[tuple[UUID | None, str], list[FlowRun]] = {}
    for run in due:
        if run.auto_scheduled:
            groups.setdefault((run.deployment_id, repr(sorted(run.parameters.items()))), []).append(run)
    missed = {}
    for group in groups.values():
        *earlier, last = sorted(group, key=_time)
        missed[last.id] = earlier
    return [(run, missed.get(run.id, [])) for run in due if not run.auto_scheduled or run.id in missed]


def skipped(run: FlowRun, instead: FlowRun) -> State[None]:
    """What becomes of a run for which `instead` makes up."""
    text = f"not carried out: due at {_time(run):%Y-%m-%d %H:%M}, and at {_time(instead):%Y-%m-%d %H:%M} UTC again"
    return State(
        type=StateType.CANCELLED, name="Skipped", message=f"{text}, before a worker came; one round catches up"
    )


def _time(run: FlowRun) -> datetime:
    assert run.expected_start_time is not None
    return run.expected_start_time
