"""Each part of the infrastructure played alone beside another API server: it does its own work and leaves the rest."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, Cause, invalid
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from simulator.client.http import HttpClient
from simulator.controllers.parts import Controllers, Part
from simulator.timing.delays import Delays
from simulator.virtapi.install import install
from tests.conftest import REPOSITORY
from tests.http_api import Api, Obj
from tests.lab import CORE, core, kubevirt, snapshots
from tests.lab import Lab as Clusters
from tests.test_cdi_and_storage import phase, volume, volumes

SPACE = "alone"
CLAIM = {
    "metadata": {"name": "disk"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
MINIMAL = {"domain": {"devices": {}}, "volumes": [{"name": "disk", "dataVolume": {"name": "disk"}}]}


@asynccontextmanager
async def playing(server: Simulator, path: Path, *parts: Part) -> AsyncIterator[Api]:
    """Those parts, over HTTP; the API with a namespace."""
    install(server.api, server.client)
    async with HttpClient.connect(path) as client, Api.connect(path) as api:
        controllers = Controllers(client, Delays().scaled(100), only=parts)
        await controllers.start()
        try:
            await api.create(f"{CORE}/namespaces", {"metadata": {"name": SPACE}})
            yield api
        finally:
            await controllers.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def machine(name: str) -> Obj:
    """A VM with a blank disk."""
    template = {"metadata": {"name": "disk"}, "spec": volume("disk", {"blank": {}})["spec"]}
    body = {"runStrategy": "Always", "dataVolumeTemplates": [template], "template": {"spec": MINIMAL}}
    kind = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine"}
    return {**kind, "metadata": {"name": name}, "spec": body}


def pod(*claims: str) -> Obj:
    disks = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    containers = [{"name": "web", "image": "web", "ports": [{"containerPort": 80}]}]
    return {"metadata": {"name": "pod", "labels": {"app": "web"}}, "spec": {"containers": containers, "volumes": disks}}


async def test_cdi_makes_claims_and_fills_none(api_server: Simulator, path: Path) -> None:
    async with playing(api_server, path, Part.CDI) as api:
        await api.create(volumes(SPACE), volume("disk", {"blank": {}}))
        await phase(api, volumes(SPACE, "disk"), "ImportInProgress")
        claim = await api.get(core(SPACE, "persistentvolumeclaims", "disk"))
        assert claim["status"]["phase"] == "Pending"
        # Any other driver may bind it, and CDI sees that it did.
        status = {**claim, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
        await api.merge(core(SPACE, "persistentvolumeclaims", "disk") + "/status", {"status": status["status"]})
        await phase(api, volumes(SPACE, "disk"), "Succeeded")


async def test_csi_binds_claims_and_snapshots_them(api_server: Simulator, path: Path) -> None:
    async with playing(api_server, path, Part.CSI) as api:
        await api.create(volumes(SPACE), volume("other", {"blank": {}}))
        await api.create(core(SPACE, "persistentvolumeclaims"), CLAIM)
        await phase(api, core(SPACE, "persistentvolumeclaims", "disk"), "Bound")
        taken = "/apis/snapshot.storage.k8s.io/v1/namespaces/alone/volumesnapshots"
        source = {"persistentVolumeClaimName": "disk"}
        kind = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot"}
        spec = {"source": source, "volumeSnapshotClassName": "standard"}
        await api.create(taken, {**kind, "metadata": {"name": "snap"}, "spec": spec})
        await api.until(f"{taken}/snap", lambda one: one and (one.get("status") or {}).get("readyToUse"))
        assert "status" not in await api.get(volumes(SPACE, "other"))
        await api.delete(core(SPACE, "persistentvolumeclaims", "disk"))
        await api.until(core(SPACE, "persistentvolumeclaims", "disk"), lambda one: one is None)


async def test_a_node_runs_pods_and_says_where_late_claims_are_wanted(api_server: Simulator, path: Path) -> None:
    async with playing(api_server, path, Part.NODE) as api:
        late = {"metadata": {"name": "late"}, "provisioner": "x.invalid", "volumeBindingMode": "WaitForFirstConsumer"}
        await api.create("/apis/storage.k8s.io/v1/storageclasses", late)
        claim = {**CLAIM, "spec": {**CLAIM["spec"], "storageClassName": "late"}}
        await api.create(core(SPACE, "persistentvolumeclaims"), claim)
        await api.create(core(SPACE, "pods"), pod("disk"))
        await api.until(
            core(SPACE, "persistentvolumeclaims", "disk"),
            lambda one: one and (one["metadata"].get("annotations") or {}).get("volume.kubernetes.io/selected-node"),
        )
        await api.merge(core(SPACE, "persistentvolumeclaims", "disk") + "/status", {"status": {"phase": "Bound"}})
        running = await phase(api, core(SPACE, "pods", "pod"), "Running")
        assert running["spec"]["nodeName"] == "node-a"


async def test_the_network_lists_the_addresses_behind_services(api_server: Simulator, path: Path) -> None:
    async with playing(api_server, path, Part.NETWORK) as api:
        await api.create(core(SPACE, "pods"), pod())
        ready = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": "127.97.0.9", "conditions": ready}
        await api.merge(core(SPACE, "pods", "pod") + "/status", {"status": status})
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await api.create(core(SPACE, "services"), {"metadata": {"name": "web"}, "spec": spec})
        found = await api.until(
            core(SPACE, "endpoints", "web"), lambda one: one if one and one.get("subsets") else None
        )
        assert [one["ip"] for one in found["subsets"][0]["addresses"]] == ["127.97.0.9"]


async def no_loopback(request: AdmissionRequest) -> None:
    """What other API servers say of Endpoints with addresses on loopback."""
    for subset in request.object.get("subsets") or [] if request.kind == "Endpoints" else []:
        for index, address in enumerate(subset.get("addresses") or []):
            if address["ip"].startswith("127."):
                said = f'Invalid value: "{address["ip"]}": may not be in the loopback range (127.0.0.0/8, ::1/128)'
                raise invalid("", "Endpoints", request.name, [Cause(f"subsets[0].addresses[{index}].ip", said)])


async def test_services_lead_to_pods_where_endpoints_on_loopback_are_refused(api_server: Simulator, path: Path) -> None:
    api_server.api.admission.append(no_loopback)
    server = await asyncio.start_server(echo, "127.97.0.9", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, playing(api_server, path, Part.NETWORK) as api:
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": port}]}
        made = await api.create(core(SPACE, "services"), {"metadata": {"name": "web"}, "spec": spec})
        await api.create(core(SPACE, "pods"), pod())
        status = {"phase": "Running", "podIP": "127.97.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
        await api.merge(core(SPACE, "pods", "pod") + "/status", {"status": status})
        assert await asked(made["spec"]["clusterIP"], 80) == b"hello"
        listed = await api.find(core(SPACE, "endpoints", "web"))
        assert not (listed or {}).get("subsets")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


async def asked(address: str, port: int) -> bytes:
    """What comes back of a line, once something listens there."""
    async with asyncio.timeout(10):
        while True:
            try:
                reader, writer = await asyncio.open_connection(address, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.write(b"hello\n")
            said = await reader.read()
            writer.close()
            return said.strip()


async def test_virt_asks_for_disks_then_for_a_pod(api_server: Simulator, path: Path) -> None:
    async with playing(api_server, path, Part.VIRT) as api:
        await api.create(kubevirt(SPACE), machine("vm"))
        await api.until(volumes(SPACE, "disk"), lambda one: one is not None)
        assert await api.find(kubevirt(SPACE, "virtualmachineinstances", "vm")) is None
        await api.create(core(SPACE, "persistentvolumeclaims"), CLAIM)
        await api.merge(volumes(SPACE, "disk") + "/status", {"status": {"phase": "Succeeded"}})
        await api.until(kubevirt(SPACE, "virtualmachineinstances", "vm"), lambda one: one is not None)
        pods = await api.items(core(SPACE, "pods"))
        if not pods:
            async for _, one in api.events(core(SPACE, "pods")):
                pods = [one]
                break
        assert pods[0]["metadata"]["name"].startswith("virt-launcher-vm-")
        assert "nodeName" not in pods[0]["spec"]


LIFE = [
    pytest.param([Fault(FaultKind.ERROR, resource="events", verbs=("create", "patch"), code=500)], id="no events"),
    pytest.param([Fault(FaultKind.CONFLICT, verbs=("update",), count=1, per_object=True)], id="first writes overtaken"),
    pytest.param([Fault(FaultKind.LAG, seconds=0.3)], id="lists lag"),
    pytest.param(
        [
            Fault(FaultKind.DROP_WATCH, resource=one, seconds=0.1)
            for one in ("persistentvolumeclaims", "persistentvolumes", "volumesnapshots")
        ],
        id="watches end",
    ),
]


@pytest.mark.parametrize("faults", LIFE)
async def test_a_vm_lives_whatever_the_api_server_does_to_the_controllers(
    api_server: Simulator, path: Path, tmp_path: Path, faults: list[Fault]
) -> None:
    install(api_server.api, api_server.client)
    async with HttpClient.connect(path) as client, Api.connect(path) as api:
        lab = Clusters(api, tmp_path)
        await lab.prepare()
        for fault in faults:
            api_server.faults.add(fault)
        controllers = Controllers(client, Delays().scaled(100))
        await controllers.start()
        try:
            await lab.create(strategy="Halted")
            for name in ("cp", "wk"):
                await phase(api, volumes(lab.namespace, f"{name}-rootdisk"), "Succeeded")
            await lab.snapshot()
            await lab.restore("one")
        finally:
            await controllers.stop()
            struck = [fault.total for fault in faults]
            api_server.faults.clear()
    assert all(struck)
    async with Api.connect(path) as api:
        for name in ("cp", "wk"):
            vm = await api.get(kubevirt(lab.namespace, name=name))
            assert vm["spec"]["dataVolumeTemplates"][0]["metadata"]["name"].startswith("restore-")
            assert (await api.get(snapshots(lab.namespace, name=f"{name}-snap")))["status"]["phase"] == "Succeeded"


async def account(api: Api, path: Path, name: str, *rules: Obj) -> Path:
    """The kubeconfig of a new service account that may do what the rules say."""
    await api.create(core("default", "serviceaccounts"), {"metadata": {"name": name}})
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.create(f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    await api.create(f"{rbac}/clusterrolebindings", binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await api.create(f"{core('default', 'serviceaccounts', name)}/token", request))["status"]["token"]
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = {"token": token}
    own = path.with_name(name)
    own.write_text(json.dumps(config))
    return own


IMPERSONATE = [
    {
        "apiGroups": [""],
        "resources": ["serviceaccounts"],
        "resourceNames": ["kubevirt-controller"],
        "verbs": ["impersonate"],
    },
    {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["system:masters"], "verbs": ["impersonate"]},
]


async def test_an_account_that_may_impersonate_needs_no_other_right(api_server: Simulator, path: Path) -> None:
    async with Api.connect(path) as admin:
        own = await account(admin, path, "player", *IMPERSONATE)
    async with HttpClient.connect(own) as client, Api.connect(path) as api:
        controllers = Controllers(client, Delays().scaled(100), only=[Part.CSI])
        await controllers.start()
        try:
            await api.create(core("default", "persistentvolumeclaims"), CLAIM)
            await phase(api, core("default", "persistentvolumeclaims", "disk"), "Bound")
        finally:
            await controllers.stop()


async def test_an_account_without_the_right_is_told_so_at_once(api_server: Simulator, path: Path) -> None:
    async with Api.connect(path) as admin:
        own = await account(admin, path, "nobody", *IMPERSONATE[:1])
    async with HttpClient.connect(own) as client:
        controllers = Controllers(client, Delays().scaled(100), only=[Part.CSI])
        with pytest.raises(ApiError, match='cannot impersonate resource "groups"'):
            await controllers.start()
        await controllers.stop()


async def test_the_command_ends_in_one_line_when_the_api_server_does_not_let_it(
    api_server: Simulator, path: Path
) -> None:
    async with Api.connect(path) as admin:
        own = await account(admin, path, "nobody")
    pipe = asyncio.subprocess.PIPE
    given = ("-m", "simulator", "controllers", "--kubeconfig", str(own), "--only", "csi")
    process = await asyncio.create_subprocess_exec(sys.executable, *given, stdout=pipe, stderr=pipe)
    out, said = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out) == (2, b"")
    assert said.decode().startswith("simulator controllers: serviceaccounts")
    assert said.count(b"\n") == 1


async def test_guests_run_in_pods_that_another_started_and_that_stay_its(api_server: Simulator, path: Path) -> None:
    async with playing(api_server, path, Part.VIRT, Part.CDI, Part.CSI, Part.GUESTS) as api:
        await api.create(kubevirt(SPACE), machine("vm"))
        waiting = await api.until(
            kubevirt(SPACE, "virtualmachineinstances", "vm"),
            lambda one: one if ((one or {}).get("status") or {}).get("phase") == "Scheduling" else None,
        )
        assert "nodeName" not in waiting["status"]
        async with HttpClient.connect(path) as client:
            node = Controllers(client, Delays().scaled(100), only=[Part.NODE])
            await node.start()
            try:
                await phase(api, kubevirt(SPACE, "virtualmachineinstances", "vm"), "Running")
            finally:
                await node.stop()


async def test_guests_without_the_storages_disks_say_so(
    api_server: Simulator, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with playing(api_server, path, Part.VIRT, Part.CDI, Part.CSI) as api, HttpClient.connect(path) as client:
        node = Controllers(client, Delays().scaled(100), only=[Part.NODE, Part.GUESTS, Part.NETWORK])
        await node.start()
        try:
            lab = Clusters(api, tmp_path)
            await lab.prepare()
            await lab.create()
            await lab.running("cp")
        finally:
            await node.stop()
    assert f"claim {lab.namespace}/cp-rootdisk has no content here" in caplog.text


def test_the_page_about_the_simulator_names_every_part() -> None:
    page = (REPOSITORY / "simulator" / "README.md").read_text()
    section = page.split("## Parts beside another API server")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE) == list(Part)
    [rights] = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert yaml.safe_load(rights) == IMPERSONATE
