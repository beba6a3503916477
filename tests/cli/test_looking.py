"""`status`, `pools`, `sessions`: what is there, in every format, and nothing but that."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from cks_pool.following import Seen, follow, in_lines, lines_of, looks
from pool.work.steps import Host
from tests.cli.conftest import Command
from tests.pool.lab import Lab


async def test_status_shows_each_cluster_and_who_waits(lab: Lab, command: Command) -> None:
    await lab.pool(2)
    await lab.state.assign("0042")
    await lab.add("cluster3", "error")
    said = await command("status")
    assert said.status == 0
    head, _, first, second, third = said.out.splitlines()
    assert head.startswith("pool default, 3 of 3 clusters: 1 available, 1 locked")
    assert first.split()[:3] == ["cluster1", "locked", "0042"]
    assert second.split()[:3] == ["cluster2", "available", "-"]
    assert third.split()[:2] == ["cluster3", "error"]


async def test_status_names_those_who_wait_in_the_order_of_the_queue(lab: Lab, command: Command) -> None:
    await lab.add("cluster1", "resetting")
    waiting = [lab.another().assign(name, wait_seconds=60, priority=rank) for name, rank in (("low", 0), ("high", 5))]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in waiting]
        async with lab.state.following():
            with lab.state.view.news() as news:
                while len(lab.state.view.sessions) < 2:
                    news.clear()
                    await news.wait()
        said = await command("status")
        rows = await command("sessions")
        for task in tasks:
            task.cancel()
    assert said.out.splitlines()[-1] == "waiting: high, low"
    assert "place 1 of 2 in the queue" in rows.out
    assert "place 2 of 2 in the queue" in rows.out


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
async def test_data_are_the_platforms_contract(lab: Lab, command: Command, form: str, read: type) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    found = read((await command("status", "-o", form)).out)
    assert found["stats"]["lockedClusters"] == 1
    (cluster,) = found["clusters"]
    assert (cluster["clusterId"], cluster["status"], cluster["assignedSession"]) == ("cluster1", "locked", "0042")
    (session,) = read((await command("sessions", "-o", form)).out)["sessions"]
    assert (session["sessionId"], session["assignedCluster"], session["pool"]) == ("0042", "cluster1", "default")
    (pool,) = read((await command("pools", "-o", form)).out)["pools"]
    assert (pool["name"], pool["size"], pool["stats"]["totalClusters"]) == ("default", 3, 1)


async def test_names_are_those_that_kubectl_takes(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    assert (await command("status", "-o", "name")).out == "pooledcluster.cks.io/cluster1\n"
    assert (await command("sessions", "-o", "name")).out == "session.cks.io/0042\n"
    assert (await command("pools", "-o", "name")).out == "pool.cks.io/default\n"


async def test_wide_says_more(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    assert "NAMESPACE" in (await command("status", "-o", "wide")).out
    assert "IMAGE" in (await command("pools", "-o", "wide")).out
    assert "PRIORITY" in (await command("sessions", "-o", "wide")).out


async def test_sessions_that_ended_are_shown_when_asked_for(lab: Lab, command: Command) -> None:
    await lab.pool(1)
    await lab.state.assign("0042")
    await lab.state.release("0042")
    assert "--all" in (await command("sessions")).out
    assert "Released" in (await command("sessions", "--all")).out


class TestWatch:
    async def test_each_change_is_seen(self, lab: Lab) -> None:
        await lab.pool(1)
        host = Host(lab.settings, lab.kube, lab.watching, lab.state)
        seen = looks(host, "default")
        async for look in seen:
            text = look.text(wide=False)
            if "available" in lines_of(look)["cluster1"]:
                assert "1 available" in text
                await lab.another().assign("0042")
            elif "session 0042" in lines_of(look)["cluster1"]:
                break
        await seen.aclose()

    async def test_lines_stay_as_they_are_while_only_time_goes_by(self, lab: Lab) -> None:
        await lab.pool(1)
        await lab.state.assign("0042")
        host = Host(lab.settings, lab.kube, lab.watching, lab.state)
        seen = looks(host, "default")
        look = await anext(seen)
        await seen.aclose()
        later = replace(look, at=look.at + timedelta(minutes=5))
        assert lines_of(later) == lines_of(look)
        assert later.text(wide=False) != look.text(wide=False)

    async def test_elsewhere_than_on_a_terminal_it_is_a_line_for_each_change(
        self, lab: Lab, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await lab.pool(2)
        host = Host(lab.settings, lab.kube, lab.watching, lab.state)

        async def changing() -> AsyncIterator[Seen]:
            async with aclosing(looks(host, "default")) as seen:
                look = await anext(seen)
            yield look
            yield look
            yield replace(look, clusters=look.clusters[:1])

        await in_lines(changing())
        said = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
        assert said == ["cluster1  available", "cluster2  available", "cluster2  gone"]

    async def test_it_ends_when_the_pool_is_gone(self, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        await follow(Host(lab.settings, lab.kube, lab.watching, lab.state), "exam", wide=False)
        assert capsys.readouterr().out == "pool exam is gone\n"

    async def test_it_is_a_table(self, lab: Lab, command: Command) -> None:
        assert "leave out either" in (await command("status", "--watch", "-o", "json")).line


async def test_a_pool_that_is_not_there_says_what_pools_there_are(lab: Lab, command: Command) -> None:
    said = await command("status", "-p", "exam")
    assert said.status == 2
    assert "no pool exam" in said.line
    assert "one of default" in said.line


async def test_a_namespace_without_pools_says_how_the_first_is_made(lab: Lab, command: Command) -> None:
    assert "bootstrap-pool" in (await command("pools", "-n", "elsewhere")).out
    assert "bootstrap-pool" in (await command("status", "-n", "elsewhere")).line


async def test_options_go_before_the_environment(
    lab: Lab, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kubeconfig = os.environ["CKS_POOL_KUBECONFIG"]
    monkeypatch.setenv("CKS_POOL_KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.setenv("CKS_POOL_NAMESPACE", "elsewhere")
    said = await command("status", "--kubeconfig", kubeconfig, "-n", "cks-pool")
    assert said.status == 0
    assert os.environ["CKS_POOL_NAMESPACE"] == "elsewhere"
    assert "no context other" in (await command("status", "--kubeconfig", kubeconfig, "--context", "other")).line


async def test_options_of_the_host_may_stand_before_the_command(lab: Lab, command: Command) -> None:
    assert (await command("-n", "cks-pool", "--context=", "pools")).out == (await command("pools")).out
    assert "namespace elsewhere" in (await command("--namespace", "elsewhere", "pools")).out
    assert "-n" in (await command("-n", "elsewhere")).line


def test_looking_imports_no_prefect() -> None:
    """What starts a flow's engine takes seconds: nobody who looks at a pool waits for that."""
    code = "import sys, cks_pool.__main__, cks_pool.looking, cks_pool.sessions, cks_pool.clusters, cks_pool.runs\n"
    code += "print(sorted({name.partition('.')[0] for name in sys.modules} & {'prefect', 'fastapi', 'sqlalchemy'}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
