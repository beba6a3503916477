"""A whole world kept in a directory: killed without warning, then served again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.http_api import Api
from tests.lab import Lab, core, kubevirt


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[Api, asyncio.subprocess.Process]]:
    """A simulator of its own process over `directory`; what becomes of it there is the caller's."""
    kubeconfig = directory / "kubeconfig"
    command = (sys.executable, "-m", "simulator", "--speed", "100", "--kubeconfig", str(kubeconfig))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, "--data-dir", str(directory / "data"), stdout=pipe)
    try:
        assert process.stdout is not None
        assert (await asyncio.wait_for(process.stdout.readline(), 30)).startswith(b"ready")
        async with Api.connect(kubeconfig) as api:
            yield api, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_disks_snapshots_and_running_machines_survive_a_kill(tmp_path: Path) -> None:
    answered: list[str] = []
    async with served(tmp_path) as (api, process):
        lab = Lab(api, tmp_path)
        await lab.prepare()
        await lab.create()
        async with lab.guest() as guest:
            nodes = await guest.ready()
            await guest.create(core("default", "configmaps"), {"metadata": {"name": "golden"}})
            await lab.snapshot()
            await api.merge(kubevirt(lab.namespace, "virtualmachines", "wk"), {"spec": {"runStrategy": "Manual"}})
            before = await api.get(kubevirt(lab.namespace, "virtualmachineinstances", "cp"))
            try:
                for number in range(10_000):
                    await guest.create(core("default", "configmaps"), {"metadata": {"name": f"x{number}"}})
                    answered.append(f"x{number}")
                    if number == 20:
                        process.send_signal(signal.SIGKILL)
            except (aiohttp.ClientError, OSError):
                await process.wait()
    async with served(tmp_path) as (api, _):
        lab.api = api
        # On a node that comes back no instance runs any more; who starts a new one is the run strategy's affair.
        await api.until(
            kubevirt(lab.namespace, "virtualmachineinstances", "wk"),
            lambda vmi: vmi and vmi["status"]["phase"] == "Failed",
        )
        await lab.power("wk", "start")
        after = await api.until(
            kubevirt(lab.namespace, "virtualmachineinstances", "cp"),
            lambda vmi: (
                vmi
                if vmi
                and vmi["metadata"]["uid"] != before["metadata"]["uid"]
                and vmi.get("status", {}).get("phase") == "Running"
                else None
            ),
        )
        assert after["status"]["nodeName"] == before["status"]["nodeName"]
        async with lab.guest() as guest:
            # The same nodes, as they boot a second time.
            assert len(answered) > 20
            await guest.answers()
            there = {one["metadata"]["name"] for one in await guest.items(core("default", "configmaps"))}
            assert {"golden", *answered} <= there
            for name, node in nodes.items():
                boot = node["status"]["nodeInfo"]["bootID"]
                again = await guest.until(
                    f"/api/v1/nodes/{name}",
                    lambda one, boot=boot: one if one and one["status"]["nodeInfo"]["bootID"] != boot else None,
                )
                assert again["metadata"]["uid"] == node["metadata"]["uid"]
        for name in ("cp", "wk"):
            await api.merge(kubevirt(lab.namespace, "virtualmachines", name), {"spec": {"runStrategy": "Manual"}})
        await lab.stop()
        await lab.restore("again")
        await lab.start()
        async with lab.guest() as guest:
            await guest.ready()
            there = {one["metadata"]["name"] for one in await guest.items(core("default", "configmaps"))}
            assert "golden" in there
            assert "x0" not in there
