"""Sessions and clusters changed by the command: by the pool's state, without Prefect."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command
from tests.pool.lab import Lab


async def test_a_session_gets_a_cluster_keeps_it_and_gives_it_back(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    assert "0042 has cluster1 until" in (await command("assign", "0042", "--ttl", "30m")).out
    assert "0042 has cluster1 until" in (await command("assign", "0042")).out
    assert (await command("heartbeat", "0042")).out.startswith("0042 was heard of at")
    assert (await command("extend", "0042", "10m")).status == 0
    assert "0042 gave cluster1 back" in (await command("release", "0042")).out
    await lab.check()


async def test_a_number_is_a_session_as_typed(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    assert json.loads((await command("assign", "0042", "-o", "json")).out)["sessionId"] == "0042"
    assert [session.name for session in await lab.state.sessions()] == ["0042"]


async def test_no_cluster_for_a_session_is_a_failure_that_says_what_there_is(lab: Lab, command: Command) -> None:
    await lab.add("cluster1", "resetting")
    said = await command("assign", "0042")
    assert said.status == 1
    assert "1 resetting" in said.line


async def test_a_session_that_is_not_there_says_what_sessions_there_are(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    for words in (("release", "42"), ("extend", "42"), ("heartbeat", "42")):
        said = await command(*words)
        assert said.status == 2
        assert "one of 0042" in said.line


async def test_an_epoch_that_is_over_is_refused(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    epoch = (await lab.state.assign("0042")).status.epoch
    assert epoch is not None
    assert (await command("release", "0042", "--epoch", str(epoch + 1))).status == 2
    assert (await command("release", "0042", "--epoch", str(epoch))).status == 0


async def test_clusters_are_cordoned_and_uncordoned(lab: Lab, command: Command) -> None:
    await lab.pool(2)
    await lab.state.assign("0042")
    held, other = (await lab.state.clusters())[:2]
    said = await command("cordon", held.name, other.name)
    assert said.out.splitlines() == [f"{held.name} cordoned; session 0042 keeps it", f"{other.name} cordoned"]
    assert [one.spec.cordoned for one in await lab.state.clusters()] == [True, True]
    assert (await command("uncordon", other.name)).out == f"{other.name} uncordoned\n"
    assert (await command("uncordon", other.name)).out == f"{other.name} is uncordoned already\n"


async def test_nothing_is_cordoned_if_one_of_the_names_is_wrong(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    said = await command("cordon", "cluster1", "cluster7")
    assert said.status == 2
    assert "one of cluster1" in said.line
    assert not (await lab.state.cluster("cluster1")).spec.cordoned


async def test_a_pool_is_scaled(lab: Lab, command: Command) -> None:
    assert "size 5 (it was 3)" in (await command("scale", "default", "--size", "5")).out
    assert (await lab.state.pool()).spec.size == 5
    assert (await command("scale", "default", "--replicas", "5")).out == "default has size 5 already\n"
    assert (await command("scale", "default", "--size", "501")).status == 2


async def test_the_plan_of_maintenance_is_shown_and_not_carried_out(lab: Lab, command: Command) -> None:
    await lab.add("cluster1", "resetting")
    said = await command("maintain", "--dry-run")
    assert "StartReset" in said.out
    assert "CreateMissing" in said.out
    assert [one.name for one in await lab.state.clusters()] == ["cluster1"]


async def test_a_reset_is_for_the_hold_that_was_seen(
    lab: Lab, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, object]] = []

    async def starts(_deployment: str, parameters: dict[str, object], *, wait: bool) -> None:
        started.append(parameters | {"wait": wait})

    monkeypatch.setattr("cks_pool.runs.carry_out", starts)
    await lab.pool(1)
    await lab.state.assign("0042")
    await command("reset", "--session", "0042", "--no-wait")
    hold = {"cluster_id": "cluster1", "session_id": "0042", "epoch": 1}
    await command("reset", "cluster1", "--force", "--no-wait")
    by_force = hold | {"session_id": None, "force": True}
    assert started == [one | {"wait": False} for one in (hold | {"force": False}, by_force)]


async def test_a_cluster_that_is_held_is_not_reset_or_rebuilt_by_mistake(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    assert "--session resets it in place" in (await command("reset", "cluster1")).line
    assert "held by session 0042" in (await command("rebuild", "cluster1")).line
    assert "leave out the cluster" in (await command("reset", "cluster2", "--session", "0042")).line
    assert "no cluster is named" in (await command("reset")).line
