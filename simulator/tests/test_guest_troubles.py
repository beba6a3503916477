"""Faults of guests and their machines: each befalls whom it is meant for, shows as in life, can be taken away again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from simulator.app import Simulator
from simulator.controllers.snapshots.quiescing import ANNOTATION, Agent
from simulator.controllers.virt.run_strategy import final
from simulator.faults.troubles import Part, Trouble, TroubleKind
from simulator.timing.delays import Delays
from tests.http_api import Obj
from tests.lab import CORE, POWER, Guest, Lab, core, kubevirt, node_ready
from tests.test_vm_start_troubles import final_instance

VMIS = "virtualmachineinstances"


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """One in which a node is missed after less than a second."""
    delays = Delays(lease_floor=0.2)
    async with Simulator(speed=200.0, delays=delays, kubeconfig=tmp_path / "kubeconfig") as running:
        yield running


async def unreachable(guest: Guest) -> None:
    with pytest.raises((aiohttp.ClientError, OSError)):
        await guest.call("GET", "/readyz")


async def running(lab: Lab, name: str) -> Obj:
    path = kubevirt(lab.namespace, VMIS, name)
    vmi: Obj = await lab.api.until(path, lambda vmi: vmi if vmi and vmi["status"].get("phase") == "Running" else None)
    return vmi


def conditions(obj: Obj) -> dict[str, str]:
    return {one["type"]: one["status"] for one in (obj.get("status") or {}).get("conditions") or []}


async def test_a_hung_boot_has_a_running_domain_and_no_guest_until_it_is_mended(lab: Lab, simulator: Simulator) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT, namespace=lab.namespace, name="cp"))
    await lab.create()
    for name in ("cp", "wk"):
        await running(lab, name)
    pods = await lab.api.items(core(lab.namespace, "pods"))
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    async with lab.guest() as guest:
        await unreachable(guest)
        assert len(trouble.struck) == 1
        simulator.troubles.remove(trouble)
        await guest.ready()


async def test_a_hung_guests_agent_is_not_there_until_it_boots(lab: Lab, simulator: Simulator) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT))
    vm = lab.vm("cp")
    vm["spec"]["template"]["metadata"]["annotations"] = {ANNOTATION: Agent.CONNECTED}
    await lab.api.create(core(lab.namespace, "secrets"), {"metadata": {"name": "cp-cloudinit"}})
    await lab.api.create(kubevirt(lab.namespace), vm)
    assert "AgentConnected" not in conditions(await running(lab, "cp"))
    simulator.troubles.remove(trouble)
    path = kubevirt(lab.namespace, VMIS, "cp")
    await lab.api.until(path, lambda vmi: vmi and conditions(vmi).get("AgentConnected") == "True")


async def test_a_boot_hangs_as_often_as_asked_for_and_the_next_one_does_not(lab: Lab, simulator: Simulator) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT, name="c?", count=1))
    await lab.create()
    await running(lab, "cp")
    async with lab.guest() as guest:
        await unreachable(guest)
        await lab.power("cp", "restart")
        await guest.ready()
    assert len(trouble.struck) == 1


async def test_a_hung_guest_does_not_hear_that_it_is_to_stop_and_is_cut_off(lab: Lab, simulator: Simulator) -> None:
    simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT))
    await lab.api.create(core(lab.namespace, "secrets"), {"metadata": {"name": "cp-cloudinit"}})
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp"))
    await running(lab, "cp")
    path = kubevirt(lab.namespace, VMIS, "cp")
    ended = asyncio.create_task(lab.api.until(path, lambda vmi: vmi if vmi and final(vmi) else None))
    await lab.power("cp", "stop")
    assert (await ended)["status"]["phase"] == "Failed"


async def test_a_guest_that_has_booted_does_not_hang_but_its_next_boot_does(lab: Lab, simulator: Simulator) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready()
        trouble = simulator.troubles.add(Trouble(TroubleKind.HANG_BOOT, name="cp", count=1))
        path = kubevirt(lab.namespace, VMIS, "cp")
        ended = asyncio.create_task(lab.api.until(path, lambda vmi: vmi if vmi and final(vmi) else None))
        await lab.power("cp", "restart")
        assert (await ended)["status"]["phase"] == "Succeeded"
        await lab.api.until(path, lambda vmi: vmi and vmi["status"].get("phase") == "Running")
        await unreachable(guest)
        assert len(trouble.struck) == 1


async def test_an_unhealthy_api_server_answers_and_is_not_ready(lab: Lab, simulator: Simulator) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.UNHEALTHY_GUEST, name="cp", part=Part.APISERVER))
    await lab.create()
    async with lab.guest() as guest:
        assert "readyz check failed" in await guest.answers(500)
        assert (await guest.call("GET", "/version"))[0] == 200
        simulator.troubles.remove(trouble)
        assert (await guest.call("GET", "/readyz"))[0] == 200


async def test_a_dead_kubelet_leaves_its_node_as_the_disk_has_it(lab: Lab, simulator: Simulator) -> None:
    await lab.create()
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/wk"
    async with lab.guest() as guest:
        await guest.ready()
        await lab.stop()
        trouble = simulator.troubles.add(Trouble(TroubleKind.UNHEALTHY_GUEST, name="wk"))
        await lab.start()
        golden = (await guest.ready("cp", "wk"))["wk"]
        renewed = (await guest.get(lease))["spec"]["renewTime"]
        await lost(guest, "wk")
        assert (await guest.get(lease))["spec"]["renewTime"] == renewed
        assert (await guest.get(f"{CORE}/nodes/wk"))["status"]["nodeInfo"] == golden["status"]["nodeInfo"]
        assert node_ready(await guest.get(f"{CORE}/nodes/cp"))
        simulator.troubles.remove(trouble)
        await guest.ready("wk")


async def test_a_kubelet_can_die_in_a_running_guest(lab: Lab, simulator: Simulator) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready()
        simulator.troubles.add(Trouble(TroubleKind.UNHEALTHY_GUEST, name="wk"))
        await lost(guest, "wk")


async def lost(guest: Guest, node: str) -> None:
    """The node's lease is too old for the control plane."""
    await guest.until(f"{CORE}/nodes/{node}", lambda one: one and conditions(one).get("Ready") == "Unknown", timeout=30)


@pytest.mark.parametrize("grace", [120, 0])
async def test_a_stuck_vm_stays_though_it_was_told_to_stop_until_it_is_mended(
    lab: Lab, simulator: Simulator, grace: int
) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.STUCK_STOP, name="cp"))
    await lab.create()
    await lab.running("cp")
    await lab.running("wk")
    for name in ("cp", "wk"):
        await lab.power(name, "stop", {"gracePeriod": grace})
    await lab.api.until(kubevirt(lab.namespace, VMIS, "wk"), lambda vmi: vmi is None)
    vmi = await lab.api.get(kubevirt(lab.namespace, VMIS, "cp"))
    assert vmi["metadata"]["deletionTimestamp"]
    assert vmi["status"]["phase"] == "Running"
    pod = (await lab.api.items(core(lab.namespace, "pods")))[0]
    assert pod["metadata"]["deletionTimestamp"]
    assert pod["status"]["phase"] == "Running"
    # Nor when the pod is taken away from under it.
    await lab.api.delete(core(lab.namespace, "pods", f"{pod['metadata']['name']}?gracePeriodSeconds=0"))
    instance = kubevirt(lab.namespace, VMIS, "cp")
    await lab.api.until(instance, lambda vmi: conditions(vmi).get("Ready") == "False")
    # Time enough for another VM to start and to stop.
    await lab.power("wk", "start")
    await lab.running("wk")
    await lab.power("wk", "stop", {"gracePeriod": grace})
    await lab.api.until(kubevirt(lab.namespace, VMIS, "wk"), lambda vmi: vmi is None)
    assert (await lab.api.get(instance))["status"]["phase"] == "Running"
    simulator.troubles.remove(trouble)
    await lab.api.until(instance, lambda vmi: vmi is None)
    assert await lab.api.items(core(lab.namespace, "pods")) == []


async def test_a_stop_gives_the_instance_its_grace_even_if_it_is_refused(lab: Lab, simulator: Simulator) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.STUCK_STOP))
    await lab.api.create(core(lab.namespace, "secrets"), {"metadata": {"name": "cp-cloudinit"}})
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp"))
    await running(lab, "cp")
    await lab.power("cp", "stop")
    path, instance = f"{POWER}/namespaces/lab/virtualmachines/cp/stop", kubevirt(lab.namespace, VMIS, "cp")
    code, answer = await lab.api.call("PUT", path, {"gracePeriod": 300})
    assert (code, answer["message"].split(": ")[1]) == (
        409,
        "Halted only supports manual stop requests with a shorter graceperiod",
    )
    assert (await lab.api.get(instance))["spec"]["terminationGracePeriodSeconds"] == 300
    assert await lab.api.call("PUT", path, {"gracePeriod": 0}) == (202, "")
    assert (await lab.api.get(instance))["spec"]["terminationGracePeriodSeconds"] == 0
    simulator.troubles.remove(trouble)
    await lab.api.until(instance, lambda vmi: vmi is None)
    vm = kubevirt(lab.namespace, name="cp")
    await lab.api.until(vm, lambda vm: vm and "stateChangeRequests" not in vm["status"])


@pytest.mark.parametrize("strategy", ["Always", "Manual"])
async def test_a_guest_that_powers_itself_off_ends_clean_and_runs_again_if_the_strategy_says_so(
    lab: Lab, simulator: Simulator, strategy: str
) -> None:
    await lab.create(strategy=strategy)
    if strategy == "Manual":
        await lab.start()
    async with lab.guest() as guest:
        await guest.ready()
        instance = kubevirt(lab.namespace, VMIS, "cp")
        before = await lab.api.get(instance)
        opened = asyncio.Event()
        ended = asyncio.create_task(final_instance(lab, opened))
        await opened.wait()
        trouble = simulator.troubles.add(Trouble(TroubleKind.POWER_OFF, name="cp", count=1))
        last = await ended
        assert (last["metadata"]["uid"], last["status"]["phase"]) == (before["metadata"]["uid"], "Succeeded")
        assert len(trouble.struck) == 1
        if strategy == "Always":
            await guest.ready("cp")
            again = await running(lab, "cp")
            assert again["metadata"]["uid"] != before["metadata"]["uid"]
            events = await lab.api.items(core(lab.namespace, "events"))
            assert not any("recovering journal" in one["message"] for one in events)
        else:
            await unreachable(guest)
            kept = await lab.api.get(instance)
            assert kept["metadata"]["uid"] == before["metadata"]["uid"]
            pod = next(
                one
                for one in await lab.api.items(core(lab.namespace, "pods"))
                if one["metadata"]["labels"]["vm.kubevirt.io/name"] == "cp"
            )
            await lab.api.until(
                core(lab.namespace, "pods", pod["metadata"]["name"]), lambda one: one["status"]["phase"] == "Succeeded"
            )
