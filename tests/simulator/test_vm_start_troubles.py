"""VMs that cannot start: images that cannot be pulled, launchers that fail; what their VM, instance and pod say."""

from __future__ import annotations

import asyncio

import pytest

from simulator.app import Simulator
from simulator.controllers.pulling import Tries, tried
from simulator.troubles import Trouble, TroubleKind
from tests.simulator.http_api import Obj
from tests.simulator.lab import Lab, core, kubevirt

VMIS = "virtualmachineinstances"


def conditions(obj: Obj) -> dict[str, tuple[str, str, str]]:
    """Conditions by type: status, reason, message."""
    found = (obj.get("status") or {}).get("conditions") or []
    return {one["type"]: (one["status"], one.get("reason", ""), one.get("message", "")) for one in found}


async def made(lab: Lab, *names: str, strategy: str = "Always") -> None:
    """VMs whose guests have nothing to do."""
    for name in names:
        await lab.api.create(core(lab.namespace, "secrets"), {"metadata": {"name": f"{name}-cloudinit"}})
        await lab.api.create(kubevirt(lab.namespace), lab.vm(name, strategy=strategy))


async def reads(lab: Lab, status: str, name: str = "cp") -> Obj:
    """The VM, once it reads so."""
    path = kubevirt(lab.namespace, name=name)
    vm: Obj = await lab.api.until(path, lambda vm: vm if vm and vm["status"].get("printableStatus") == status else None)
    return vm


async def seen(lab: Lab, status: str, opened: asyncio.Event, name: str = "cp") -> Obj:
    """The first version of the VM that reads so, however short-lived."""
    async for _, vm in lab.api.events(kubevirt(lab.namespace), opened):
        if vm["metadata"]["name"] == name and (vm.get("status") or {}).get("printableStatus") == status:
            return vm
    raise AssertionError("the watch ended")


async def test_an_image_that_cannot_be_pulled_shows_in_pod_instance_and_vm_until_it_can(
    lab: Lab, simulator: Simulator
) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_PULL, name="cp", message="401 Unauthorized"))
    opened = asyncio.Event()
    first = asyncio.create_task(seen(lab, "ErrImagePull", opened))
    await opened.wait()
    await made(lab, "cp", "wk")
    vm = await asyncio.wait_for(first, 10)
    assert conditions(vm)["Synchronized"] == ("False", "ErrImagePull", "401 Unauthorized")
    vm = await reads(lab, "ImagePullBackOff")
    said = ("False", "ImagePullBackOff", 'Back-off pulling image "virt-launcher": ErrImagePull: 401 Unauthorized')
    assert conditions(vm)["Synchronized"] == said
    assert conditions(vm)["Ready"][:2] == ("False", "GuestNotRunning")
    vmi = await lab.api.get(kubevirt(lab.namespace, VMIS, "cp"))
    assert vmi["status"]["phase"] == "Scheduling"
    pods = await lab.api.items(core(lab.namespace, "pods"))
    [pod] = [pod for pod in pods if pod["metadata"]["labels"]["vm.kubevirt.io/name"] == "cp"]
    assert pod["status"]["phase"] == "Pending"
    [container] = pod["status"]["containerStatuses"]
    assert container["state"]["waiting"]["reason"] in ("ErrImagePull", "ImagePullBackOff")
    events = await lab.api.items(core(lab.namespace, "events"))
    told = {
        (one["reason"], one["message"]) for one in events if one["involvedObject"]["name"] == pod["metadata"]["name"]
    }
    assert ("Failed", 'Failed to pull image "virt-launcher": 401 Unauthorized') in told
    await lab.running("wk")
    assert len(trouble.struck) == 1
    simulator.troubles.remove(trouble)
    assert "Synchronized" not in conditions(await lab.running("cp"))


async def test_a_vm_whose_image_cannot_be_pulled_can_be_stopped(lab: Lab, simulator: Simulator) -> None:
    simulator.troubles.add(Trouble(TroubleKind.FAIL_PULL))
    await made(lab, "cp")
    await reads(lab, "ImagePullBackOff")
    await lab.power("cp", "stop")
    await lab.api.until(kubevirt(lab.namespace, VMIS, "cp"), lambda vmi: vmi is None)
    assert (await reads(lab, "Stopped"))["spec"]["runStrategy"] == "Halted"


@pytest.mark.parametrize(
    ("before", "time", "count", "reason", "again"),
    [
        (None, 100.0, 1, "ErrImagePull", 2.0),
        (Tries(1, 100.0), 101.0, 1, "ErrImagePull", 1.0),
        (Tries(1, 100.0), 102.0, 1, "ImagePullBackOff", 8.0),
        (Tries(1, 100.0), 110.0, 2, "ErrImagePull", 2.0),
        (Tries(2, 100.0), 119.0, 2, "ImagePullBackOff", 1.0),
        (Tries(9, 100.0), 399.0, 9, "ImagePullBackOff", 1.0),
    ],
)
def test_a_kubelet_tries_to_pull_ever_more_seldom(
    before: Tries | None, time: float, count: int, reason: str, again: float
) -> None:
    tries, found, wait = tried(before, time, 1.0)
    assert (tries.count, found, wait) == (count, reason, again)
