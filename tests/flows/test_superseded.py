"""Which of the runs that are due at once are carried out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun

from flows.superseded import catching_up

MAINTENANCE, STATUS = uuid4(), uuid4()
START = datetime(2026, 11, 29, tzinfo=UTC)


def due(deployment: UUID, minutes: int, *, scheduled: bool = True, **parameters: Any) -> FlowRun:
    at = START + timedelta(minutes=minutes)
    return FlowRun(
        flow_id=uuid4(),
        deployment_id=deployment,
        expected_start_time=at,
        auto_scheduled=scheduled,
        parameters=parameters,
    )


def test_of_those_that_a_schedule_made_the_latest_of_each_deployment_is_carried_out() -> None:
    maintenance = [due(MAINTENANCE, minutes) for minutes in (10, 0, 5)]
    status = [due(STATUS, 0)]
    assert catching_up([*maintenance, *status]) == [
        (maintenance[0], [maintenance[1], maintenance[2]]),
        (status[0], []),
    ]


def test_schedules_of_other_parameters_are_others() -> None:
    runs = [due(STATUS, 0, pool="default"), due(STATUS, 5, pool="labs")]
    assert catching_up(runs) == [(run, []) for run in runs]


def test_what_somebody_asked_for_is_carried_out_and_makes_up_for_nothing() -> None:
    runs = [due(STATUS, 0), due(STATUS, 5, scheduled=False), due(STATUS, 6, scheduled=False)]
    assert catching_up(runs) == [(run, []) for run in runs]
