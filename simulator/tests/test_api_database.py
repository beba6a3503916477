"""State kept in SQLite: there again after the process was killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from simulator.api.database import Database
from simulator.app import Simulator
from simulator.client import GVR
from tests.http_api import Api

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")


def config(name: str) -> Obj:
    return {"metadata": {"name": name}}


async def served(kubeconfig: Path, data: Path) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "simulator", "--no-controllers", "--kubeconfig", str(kubeconfig))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, "--data-dir", str(data), stdout=pipe)
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 30)).startswith(b"ready")
    return process


async def test_every_answered_write_survives_a_kill(tmp_path: Path) -> None:
    kubeconfig, data = tmp_path / "kubeconfig", tmp_path / "data"
    process = await served(kubeconfig, data)
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    answered: list[str] = []

    async def write() -> None:
        async with Api.connect(kubeconfig) as api:
            for number in range(10_000):
                made = await api.create(MAPS, config(f"x{number}"))
                answered.append(made["metadata"]["name"])
                if number == 50:
                    process.send_signal(signal.SIGKILL)

    writing = asyncio.create_task(write())
    await asyncio.wait([writing], timeout=30)
    assert writing.exception() is not None
    await process.wait()
    process = await served(kubeconfig, data)
    try:
        async with Api.connect(kubeconfig) as api:
            there = {one["metadata"]["name"] for one in await api.items(MAPS)}
    finally:
        process.terminate()
        await process.wait()
    assert len(answered) > 50
    assert set(answered) <= there
    assert yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"] == token


async def test_versions_go_on_and_definitions_are_served_again(tmp_path: Path) -> None:
    async with Simulator(controllers=False, data_dir=tmp_path) as first:
        await first.client.create(CONFIG_MAPS, config("x"), "default")
        await first.client.delete(CONFIG_MAPS, "x", "default")
        version = first.api.store.version
        kinds = {(kind.group, kind.plural) for kind in first.api.registry}
    async with Simulator(controllers=False, data_dir=tmp_path) as second:
        assert second.api.store.version >= version
        assert {(kind.group, kind.plural) for kind in second.api.registry} == kinds
        made = await second.client.create(CONFIG_MAPS, config("y"), "default")
        assert int(made["metadata"]["resourceVersion"]) > version
        assert [one["metadata"]["name"] for one in await second.client.list(CONFIG_MAPS, "default")] == [
            "kube-root-ca.crt",
            "y",
        ]


def test_database_is_for_its_owner_only(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db")
    database.close()
    assert (tmp_path / "x.db").stat().st_mode & 0o077 == 0
