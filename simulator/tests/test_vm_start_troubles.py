"""VMs that cannot start: images that cannot be pulled, launchers that fail; what their VM, instance and pod say."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator.app import Simulator
from simulator.controllers.node.pulling import Tries, tried
from simulator.controllers.virt.start_failure import backoff
from simulator.faults.troubles import Trouble, TroubleKind
from simulator.timing.delays import Delays
from tests.http_api import Api, Obj
from tests.lab import Lab, core, kubevirt

VMIS = "virtualmachineinstances"
PATIENT = dataclasses.replace(Delays().scaled(100.0), speed=1.0)
"""Everything is quick, but a back-off takes as long as in life."""


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[tuple[Simulator, Lab]]:
    """A simulator that backs off for real seconds unless its clock is moved, and a lab in it."""
    path = tmp_path / "kubeconfig"
    async with Simulator(speed=1.0, delays=PATIENT, kubeconfig=path) as simulator, Api.connect(path) as api:
        lab = Lab(api, tmp_path)
        await lab.prepare()
        yield simulator, lab


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


def due(vm: Obj) -> float:
    """Seconds until the VM may be started again."""
    stamp = datetime.fromisoformat(vm["status"]["startFailure"]["retryAfterTimestamp"])
    return (stamp - datetime.now(UTC)).total_seconds()


async def failed(lab: Lab, count: int) -> Obj:
    """The VM once so many starts of it have failed and nothing is left of the last one."""

    def look(vm: Obj | None) -> Obj | None:
        status = (vm or {}).get("status") or {}
        counted = (status.get("startFailure") or {}).get("consecutiveFailCount") == count
        return vm if counted and not status.get("created") else None

    vm: Obj = await lab.api.until(kubevirt(lab.namespace, name="cp"), look)
    return vm


async def test_a_vm_that_fails_to_start_is_started_again_after_a_back_off_that_grows(
    patient: tuple[Simulator, Lab],
) -> None:
    simulator, lab = patient
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_START, name="cp", count=2))
    await made(lab, "cp", strategy="Halted")
    await reads(lab, "Stopped")
    opened = asyncio.Event()
    ended = asyncio.create_task(final_instance(lab, opened))
    await opened.wait()
    await lab.power("cp", "start")
    vm = await failed(lab, 1)
    assert vm["status"]["printableStatus"] == "CrashLoopBackOff"
    vmi = await ended
    assert vmi["status"]["phase"] == "Failed"
    assert vm["status"]["startFailure"]["lastFailedVMIUID"] == vmi["metadata"]["uid"]
    assert 5 < due(vm) <= 16
    # Time enough for another VM to start, and this one is left alone.
    await made(lab, "wk")
    await lab.running("wk")
    assert (await lab.api.get(kubevirt(lab.namespace, name="cp")))["status"]["printableStatus"] == "CrashLoopBackOff"
    async with asyncio.timeout(due(vm) - 1):
        simulator.clock.advance(seconds=due(vm) + 1)
        vm = await failed(lab, 2)
    # As much later as the clock was moved.
    assert 35 < due(vm) - simulator.clock.offset.total_seconds() <= 61
    assert vm["status"]["startFailure"]["lastFailedVMIUID"] != vmi["metadata"]["uid"]
    assert len(trouble.struck) == 2
    simulator.clock.advance(seconds=due(vm) + 1 - simulator.clock.offset.total_seconds())
    assert "startFailure" not in (await lab.running())["status"]


async def test_a_restart_forgives_the_failures_before_it(patient: tuple[Simulator, Lab]) -> None:
    simulator, lab = patient
    simulator.troubles.add(Trouble(TroubleKind.FAIL_START, count=1))
    await made(lab, "cp")
    vm = await failed(lab, 1)
    simulator.troubles.add(Trouble(TroubleKind.FAIL_PULL))
    simulator.clock.advance(seconds=due(vm) + 1)
    assert (await reads(lab, "ErrImagePull"))["status"]["startFailure"]["consecutiveFailCount"] == 1
    held = (await lab.api.get(kubevirt(lab.namespace, VMIS, "cp")))["metadata"]["uid"]
    await lab.power("cp", "restart")
    # The instance that goes has never run, which makes it the first failure since.
    failure = await lab.api.until(
        kubevirt(lab.namespace, name="cp"),
        lambda vm: found if (found := vm["status"].get("startFailure") or {}).get("lastFailedVMIUID") == held else None,
    )
    assert failure["consecutiveFailCount"] == 1


async def test_a_vm_that_is_to_run_again_on_failure_backs_off_too(patient: tuple[Simulator, Lab]) -> None:
    simulator, lab = patient
    simulator.troubles.add(Trouble(TroubleKind.FAIL_START, count=1))
    await made(lab, "cp", strategy="RerunOnFailure")
    vm = await failed(lab, 1)
    assert vm["status"]["printableStatus"] == "CrashLoopBackOff"
    assert [request["action"] for request in vm["status"]["stateChangeRequests"]] == ["Start"]
    simulator.clock.advance(seconds=due(vm) + 1)
    assert "startFailure" not in (await lab.running())["status"]


async def final_instance(lab: Lab, opened: asyncio.Event) -> Obj:
    """The first instance that has ended."""
    async for _, vmi in lab.api.events(kubevirt(lab.namespace, VMIS), opened):
        if (vmi.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return vmi
    raise AssertionError("the watch ended")


async def test_a_halted_vm_forgets_its_failed_starts(patient: tuple[Simulator, Lab]) -> None:
    simulator, lab = patient
    simulator.troubles.add(Trouble(TroubleKind.FAIL_START))
    await made(lab, "cp")
    await failed(lab, 1)
    await lab.power("cp", "stop")
    assert "startFailure" not in (await reads(lab, "Stopped"))["status"]


@pytest.mark.parametrize(
    ("count", "shortest", "longest"), [(1, 10, 15), (2, 40, 60), (3, 90, 135), (5, 250, 300), (6, 300, 300)]
)
def test_a_back_off_grows_with_the_square_and_by_chance(count: int, shortest: float, longest: float) -> None:
    assert (backoff(count, 0.0), backoff(count, 1.0)) == (shortest, longest)
