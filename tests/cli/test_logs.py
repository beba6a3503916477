"""`logs`: the story of one cluster, out of its Events and its flow runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cks_pool.logs import Entry, is_about, of_events
from tests.cli.conftest import Command
from tests.pool.lab import Lab

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.xdist_group("prefect")  # whose import is paid for there
async def test_events_are_told_in_order_though_prefect_is_away(lab: Lab, command: Command, no_prefect: None) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    await lab.state.release("0042")
    await lab.reset("cluster1")
    await lab.state.events.drain()
    said = await command("logs", "cluster1", "-o", "json")
    assert said.status == 0
    assert "flow runs are left out: no Prefect server answers at http://127.0.0.1:1/api" in said.line
    messages = [entry["message"] for entry in json.loads(said.out)["entries"]]
    assert messages
    assert any("0042" in message for message in messages)
    (last,) = json.loads((await command("logs", "cluster1", "--tail", "1", "-o", "json")).out)["entries"]
    assert last["message"] == messages[-1]
    assert (await command("logs", "cluster2")).status == 2


@pytest.mark.xdist_group("prefect")
def test_runs_are_those_that_are_about_the_cluster() -> None:
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Completed

    from cks_pool.logs import of_runs

    def run(name: str, minutes: int, **parameters: object) -> FlowRun:
        at = NOON + timedelta(minutes=minutes)
        return FlowRun(
            flow_id=uuid4(), name=name, parameters=parameters, end_time=at, state=Completed(message="it\nis clean")
        )

    runs = [
        run("reset-cluster1", 1, cluster_id="cluster1"),
        run("reset-cluster10", 2, cluster_id="cluster10"),
        run("bright-owl", 3, pool="default", cluster_ids=["cluster1", "cluster2"]),
        run("calm-fox", 4, pool="default"),
    ]
    found = of_runs(runs, "cluster1")
    assert [entry.what for entry in found] == ["reset-cluster1", "bright-owl"]
    assert found[0] == Entry(NOON + timedelta(minutes=1), "reset-cluster1", "Completed", "it is clean")


@pytest.mark.parametrize(
    ("parameters", "about"),
    [
        ({"cluster_id": "cluster1"}, True),
        ({"cluster_id": "cluster10"}, False),
        ({"cluster_ids": ["cluster1"]}, True),
        ({"cluster_ids": None}, False),
        ({}, False),
    ],
)
def test_which_runs_are_about_a_cluster(parameters: dict[str, object], about: bool) -> None:
    assert is_about(parameters, "cluster1") is about


def test_an_event_that_came_again_is_told_at_its_last_time() -> None:
    event = {"metadata": {"creationTimestamp": "2026-11-29T11:00:00Z"}, "reason": "Locked", "message": "for\n0042"}
    assert of_events([event | {"lastTimestamp": "2026-11-29T12:00:00Z"}]) == [
        Entry(NOON, "event", "Locked", "for 0042")
    ]
    assert of_events([event | {"eventTime": "2026-11-29T12:00:00.000000Z", "lastTimestamp": None}])[0].at == NOON
    assert of_events([event])[0].at == NOON - timedelta(hours=1)
