"""Guests that must not come up, and guests that get into trouble: what is wrong is on their console (events)."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import aiohttp
import pytest

from tests.http_api import Failed, Obj
from tests.lab import CORE, Ca, Lab, core, kubevirt, wireguard


async def told(lab: Lab, vm: str, text: str) -> Obj:
    """The guest's complaint."""

    async def look() -> Obj:
        async for _, event in lab.api.events(core(lab.namespace, "events")):
            about = event["involvedObject"]
            if about["kind"] == "VirtualMachineInstance" and about["name"] == vm and text in event["message"]:
                return event
        raise AssertionError("the watch ended")

    return await asyncio.wait_for(look(), 10)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"advertise": "10.99.0.77"}, "advertiseAddress 10.99.0.77 is none of this node's addresses"),
        ({"ca": "mismatched"}, "do not match"),
    ],
)
async def test_a_control_plane_that_kubeadm_would_refuse_never_serves(
    lab: Lab, change: dict[str, Any], text: str
) -> None:
    if change.pop("ca", None):
        # A CA certificate with the key of another one.
        lab.ca.key = Ca().key
    for name, value in change.items():
        setattr(lab, name, value)
    await lab.create()
    await told(lab, "cp", text)
    await lab.running("cp")
    async with lab.guest() as guest:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await guest.call("GET", "/readyz")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"join_token": "abcdef.ffffffffffffffff"}, "could not find a JWS signature"),
        ({"ca_hash": "sha256:" + "0" * 64}, "none of the public keys"),
        ({"wk_peer_key": wireguard()[1]}, "WireGuard handshake"),
    ],
)
async def test_a_worker_joins_only_with_the_right_token_hash_and_keys(
    lab: Lab, change: dict[str, str], text: str
) -> None:
    for name, value in change.items():
        setattr(lab, name, value)
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready("cp")
        await told(lab, "wk", text)
        assert [node["metadata"]["name"] for node in await guest.items(f"{CORE}/nodes")] == ["cp"]


async def test_only_certificates_of_the_clusters_own_ca_are_let_in(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready("cp")
    async with lab.guest("learner", "learners") as guest:
        with pytest.raises(Failed) as denial:
            await guest.items(core("default", "secrets"))
        assert denial.value.code == 403
    async with lab.guest("cluster-admin-by-kubeadm", "kubeadm:cluster-admins") as guest:
        assert await guest.items(f"{CORE}/nodes")
    own, lab.ca.key = lab.ca.key, Ca().key
    async with lab.guest() as guest:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await guest.items(f"{CORE}/nodes")
    lab.ca.key = own


async def test_a_worker_that_is_gone_is_unknown_after_its_grace(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready()
        await lab.power("wk", "stop", {"gracePeriod": 0})
        await guest.until(f"{CORE}/nodes/wk", lambda node: _ready(node) == "Unknown", timeout=30)
        assert _ready(await guest.get(f"{CORE}/nodes/cp")) == "True"
        await lab.power("wk", "start")
        await guest.until(f"{CORE}/nodes/wk", lambda node: _ready(node) == "True")


def _ready(node: Obj | None) -> str:
    conditions = ((node or {}).get("status") or {}).get("conditions") or []
    return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")


async def test_the_guests_connections_drop_when_it_is_stopped(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready("cp")

        async def watch() -> None:
            async for _ in guest.events(f"{CORE}/nodes"):
                pass

        watching = asyncio.create_task(watch())
        await lab.power("cp", "stop", {"gracePeriod": 0})
        done, _ = await asyncio.wait([watching], timeout=5)
        assert done
        watching.exception()


async def test_a_changed_firmware_uuid_runs_first_boot_again(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready()
    await lab.stop()
    vm = kubevirt(lab.namespace, "virtualmachines", "cp")
    firmware = {"uuid": "11111111-1111-4111-8111-111111111111"}
    await lab.api.merge(vm, {"spec": {"template": {"spec": {"domain": {"firmware": firmware}}}}})
    await lab.start()
    await told(lab, "cp", "new instance-id, running again")
    async with lab.guest() as guest:
        await guest.ready()


async def test_on_a_config_drive_a_changed_firmware_uuid_does_not_matter(lab: Lab) -> None:
    vm = lab.vm("wk")
    volume = vm["spec"]["template"]["spec"]["volumes"][1]
    volume["cloudInitConfigDrive"] = volume.pop("cloudInitNoCloud")
    secret = {"metadata": {"name": "wk-cloudinit"}, "stringData": {"userdata": "#cloud-config\n"}}
    await lab.api.create(core(lab.namespace, "secrets"), secret)
    await lab.api.create(kubevirt(lab.namespace), vm)
    first = await told(lab, "wk", "cloud-init: first boot: wk.lab")
    path = kubevirt(lab.namespace, "virtualmachineinstances", "wk")
    await lab.power("wk", "stop", {"gracePeriod": 0})
    await lab.api.until(path, lambda vmi: vmi is None)
    firmware = {"uuid": "11111111-1111-4111-8111-111111111111"}
    change = {"spec": {"template": {"spec": {"domain": {"firmware": firmware}}}}}
    await lab.api.merge(kubevirt(lab.namespace, "virtualmachines", "wk"), change)
    await lab.power("wk", "start")
    # What the second boot prints first and last.
    messages: list[str] = []
    async with asyncio.timeout(10):
        async for _, event in lab.api.events(core(lab.namespace, "events")):
            about = event["involvedObject"]
            if about["kind"] == "VirtualMachineInstance" and about["uid"] != first["involvedObject"]["uid"]:
                messages.append(event["message"])
            if any("this is a bare machine" in message for message in messages):
                break
    assert any("recovering journal" in message for message in messages)
    assert not any("cloud-init" in message for message in messages)


@pytest.mark.parametrize(
    ("given", "text"),
    [({}, "network data configures 02:00:00:00:00:07 only"), ({"macAddress": "02:00:00:00:00:07"}, "")],
)
async def test_network_data_by_mac_address_fits_only_a_vm_with_that_address(lab: Lab, given: Obj, text: str) -> None:
    vm = lab.vm("wk")
    inside = vm["spec"]["template"]["spec"]
    inside["domain"]["devices"]["interfaces"][0] |= given
    data = "version: 2\nethernets: {pod: {match: {macaddress: '02:00:00:00:00:07'}, dhcp4: true}}\n"
    inside["volumes"][1] = {
        "name": "cloudinit",
        "cloudInitNoCloud": {"userData": "#cloud-config\n", "networkData": data},
    }
    await lab.api.create(kubevirt(lab.namespace), vm)
    await told(lab, "wk", text or "this is a bare machine")


async def test_a_blank_disk_does_not_boot(lab: Lab) -> None:
    vm = lab.vm("cp")
    template = vm["spec"]["dataVolumeTemplates"][0]
    template["spec"]["source"] = {"blank": {}}
    secret = {"metadata": {"name": "cp-cloudinit"}, "data": {"userdata": base64.b64encode(b"#cloud-config\n").decode()}}
    await lab.api.create(core(lab.namespace, "secrets"), secret)
    await lab.api.create(kubevirt(lab.namespace), vm)
    await told(lab, "cp", "No bootable device.")


async def test_a_clean_shutdown_longer_than_its_grace_ends_failed(lab: Lab) -> None:
    await lab.create()
    await lab.running("wk")
    await lab.api.merge(
        kubevirt(lab.namespace, "virtualmachineinstances", "wk"), {"spec": {"terminationGracePeriodSeconds": 2}}
    )
    seen: list[str] = []
    opened = asyncio.Event()

    async def phases() -> None:
        async for type_, vmi in lab.api.events(kubevirt(lab.namespace, "virtualmachineinstances"), opened):
            if vmi["metadata"]["name"] == "wk":
                seen.append(vmi["status"]["phase"])
                if type_ == "DELETED":
                    return

    watching = asyncio.create_task(phases())
    await opened.wait()
    await lab.power("wk", "stop")
    await asyncio.wait_for(watching, 10)
    assert seen[-1] == "Failed"
