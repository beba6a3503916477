"""The controllers beside an API server that is not in their process: over HTTP, all parts or some."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.app import Simulator
from simulator.client.http import HttpClient
from simulator.controllers.parts import Controllers, Part
from simulator.timing.delays import Delays
from simulator.virtapi.install import install
from tests.http_api import Api
from tests.lab import Lab, core, kubevirt


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


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[str]:
    """`python -m simulator ...` until the context ends; what it says when it is ready."""
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", "simulator", *arguments, stdout=pipe)
    try:
        assert running.stdout is not None
        yield (await asyncio.wait_for(running.stdout.readline(), 30)).decode()
    finally:
        if running.returncode is None:
            running.terminate()
        assert await asyncio.wait_for(running.wait(), 10) == 0


async def test_storage_is_played_beside_an_api_server_of_another_process(tmp_path: Path) -> None:
    path = str(tmp_path / "kubeconfig")
    beside = ("controllers", "--kubeconfig", path, "--speed", "100", "--only", "cdi,csi")
    async with process("--kubeconfig", path, "--no-controllers") as ready:
        assert ready.startswith("ready https://")
        async with process(*beside) as ready, Api.connect(tmp_path / "kubeconfig") as api:
            assert ready == "ready cdi,csi\n"
            await Lab(api, tmp_path).prepare()
            await api.until(
                "/apis/cdi.kubevirt.io/v1beta1/namespaces/vm-templates/datavolumes/golden",
                lambda volume: volume and (volume.get("status") or {}).get("phase") == "Succeeded",
            )
            claim = await api.get(core("vm-templates", "persistentvolumeclaims", "golden"))
            assert claim["status"]["phase"] == "Bound"
            snapshots = "/apis/snapshot.storage.k8s.io/v1/namespaces/vm-templates/volumesnapshots"
            source = {"persistentVolumeClaimName": "golden"}
            spec = {"volumeSnapshotClassName": "standard", "source": source}
            meta = {"name": "snap"}
            kind = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot"}
            await api.create(snapshots, {**kind, "metadata": meta, "spec": spec})
            await api.until(f"{snapshots}/snap", lambda one: one and (one.get("status") or {}).get("readyToUse"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "nope"), "there are virt, cdi, csi, node, guests, network"),
        (("--kubeconfig", "/nowhere/kubeconfig"), "/nowhere/kubeconfig is no file"),
        ((), "the following arguments are required: --kubeconfig"),
        (("--kubeconfig", __file__, "--speed", "0"), "0 is not above 0"),
    ],
)
def test_bad_flags_and_files_are_refused_in_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["controllers", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told
