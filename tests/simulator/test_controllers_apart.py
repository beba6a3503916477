"""The controllers beside an API server that is not in their process: over HTTP, all parts or some."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from simulator.app import Simulator
from simulator.controllers.parts import Controllers, Part
from simulator.delays import Delays
from simulator.http_client import HttpClient
from simulator.virtapi.install import install
from tests.simulator.http_api import Api
from tests.simulator.lab import Lab, core, kubevirt


async def test_a_cluster_boots_and_resets_with_its_controllers_over_http(api_server: Simulator, tmp_path: Path) -> None:
    install(api_server.api, api_server.client)
    path = tmp_path / "kubeconfig"
    async with HttpClient.connect(path) as client, Api.connect(path) as api:
        controllers = Controllers(client, Delays().scaled(100))
        await controllers.start()
        try:
            lab = Lab(api, tmp_path)
            await lab.prepare()
            await lab.create()
            async with lab.guest() as guest:
                await guest.ready()
            await lab.stop()
            await lab.snapshot()
            await lab.restore("one")
            await lab.start()
            async with lab.guest() as guest:
                await guest.ready()
        finally:
            await controllers.stop()


async def test_parts_that_are_not_played_leave_their_kinds_alone(api_server: Simulator, tmp_path: Path) -> None:
    install(api_server.api, api_server.client)
    path = tmp_path / "kubeconfig"
    async with HttpClient.connect(path) as client, Api.connect(path) as api:
        controllers = Controllers(client, Delays().scaled(100), only=[Part.CDI, Part.CSI])
        await controllers.start()
        try:
            lab = Lab(api, tmp_path)
            await lab.prepare()
            await api.until(
                core("vm-templates", "persistentvolumeclaims", "golden"),
                lambda claim: claim and claim["status"]["phase"] == "Bound",
            )
            await lab.create()
            vm = await api.get(kubevirt(lab.namespace, "virtualmachines", "cp"))
            assert "status" not in vm
        finally:
            await controllers.stop()


async def test_chosen_parts_run_as_a_process_of_their_own(api_server: Simulator, tmp_path: Path) -> None:
    install(api_server.api, api_server.client)
    path = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "simulator.controllers", "--kubeconfig", str(path), "--speed", "100"]
    process = await asyncio.create_subprocess_exec(*command, "--only", "cdi,csi", stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line == b"ready cdi,csi\n"
        async with Api.connect(path) as api:
            await Lab(api, tmp_path).prepare()
            await api.until(
                core("vm-templates", "persistentvolumeclaims", "golden"),
                lambda claim: claim and claim["status"]["phase"] == "Bound",
            )
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_an_unknown_part_is_refused_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulator.controllers", "--kubeconfig", str(tmp_path), "--only", "nope"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert said.decode().count("\n") == 1
    assert "virt, cdi, csi, node, network" in said.decode()
