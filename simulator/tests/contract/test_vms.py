"""VMs: what a watcher sees of their lives, their instances and pods, their disks."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.api import Api
from tests.contract.lab import Lab, claims, core, kubevirt, reasons, volumes
from tests.contract.test_power import CONFLICT, VMI, power
from tests.http_api import Failed, Obj

pytestmark = pytest.mark.needs_controllers


async def lives(lab: Lab, opened: asyncio.Event) -> list[str]:
    """Phases of the VMI `cp` until it is gone, repeated ones once."""
    phases: list[str] = []
    async for type_, vmi in lab.api.events(kubevirt(lab.namespace, VMI), opened):
        phase = (vmi.get("status") or {}).get("phase", "")
        if not phases or phases[-1] != phase:
            phases.append(phase)
        if type_ == "DELETED":
            return phases
    raise AssertionError("the watch ended")


async def life(lab: Lab, grace: int | None) -> list[str]:
    """One life of the VM, stopped with this grace."""
    opened = asyncio.Event()
    watch = asyncio.create_task(lives(lab, opened))
    async with asyncio.timeout(3 * lab.api.patience):
        await opened.wait()
        await lab.launch()
        await lab.halt(grace=grace)
        return await watch


async def test_without_grace_an_instance_ends_succeeded_whatever_its_guest_does(lab: Lab) -> None:
    await lab.halted("cp")
    phases = await life(lab, 0)
    assert phases[-2:] == ["Running", "Succeeded"]
    order = [one for one in phases if one]
    assert order == sorted(order, key=["Pending", "Scheduling", "Scheduled", "Running", "Succeeded"].index)


@pytest.mark.needs_guests
@pytest.mark.parametrize(("grace", "phase"), [(None, "Succeeded"), (1, "Failed")])
async def test_with_grace_the_last_phase_tells_whether_the_guest_shut_down(
    lab: Lab, grace: int | None, phase: str
) -> None:
    await lab.halted("cp")
    assert (await life(lab, grace))[-1] == phase


@pytest.mark.needs_guests
@pytest.mark.parametrize("strategy", ["Manual", "Once"])
async def test_an_instance_that_ended_of_itself_stays_where_nobody_starts_it_again(lab: Lab, strategy: str) -> None:
    before = await lab.launched(strategy)
    await lab.shut_down(120)
    path, instance = kubevirt(lab.namespace, name="cp"), kubevirt(lab.namespace, VMI, "cp")
    stopped = await lab.api.until(path, lambda vm: vm if vm["status"]["printableStatus"] == "Stopped" else None)
    assert stopped["status"]["created"] is True
    ended = await lab.api.get(instance)
    assert (ended["metadata"]["uid"], ended["status"]["phase"]) == (before["metadata"]["uid"], "Succeeded")
    if strategy == "Manual":
        assert (await power(lab, "cp", "stop"))[1]["message"] == CONFLICT.format("cp", "VM is not running")
        assert await power(lab, "cp", "start") == (202, "")
        await lab.api.until(instance, lambda vmi: vmi and vmi["metadata"]["uid"] != ended["metadata"]["uid"])
        await lab.running()


@pytest.mark.needs_guests
async def test_rerun_on_failure_starts_again_after_a_failure_and_not_after_a_clean_end(lab: Lab) -> None:
    before = await lab.launched("RerunOnFailure")
    await lab.shut_down(1)
    instance = kubevirt(lab.namespace, VMI, "cp")
    again = await lab.api.until(instance, lambda vmi: vmi if vmi and vmi["metadata"]["uid"] != uid(before) else None)
    await lab.running()
    await lab.shut_down(120)
    await lab.api.gone(instance)
    path = kubevirt(lab.namespace, name="cp")
    await lab.api.until(path, lambda vm: vm["status"]["printableStatus"] == "Stopped")
    assert await power(lab, "cp", "start") == (202, "")
    await lab.api.until(instance, lambda vmi: vmi and vmi["metadata"]["uid"] != uid(again))
    await lab.running()
    # Stopped on request it stays so, too.
    assert await power(lab, "cp", "stop", {"gracePeriod": 0}) == (202, "")
    await lab.api.gone(instance)
    vm = await lab.api.until(path, lambda vm: vm if "stateChangeRequests" not in vm["status"] else None)
    assert (vm["status"]["printableStatus"], vm["spec"]["runStrategy"]) == ("Stopped", "RerunOnFailure")


def uid(obj: Obj) -> str:
    return str(obj["metadata"]["uid"])


async def test_vm_and_instance_have_finalizers_and_events_tell_of_starts_and_stops(lab: Lab) -> None:
    vmi = await lab.launched("Always")
    vm = await lab.get_vm()
    assert "kubevirt.io/virtualMachineControllerFinalize" in vm["metadata"]["finalizers"]
    assert {"kubevirt.io/virtualMachineControllerFinalize", "kubevirt.io/foregroundDeleteVirtualMachine"} <= set(
        vmi["metadata"]["finalizers"]
    )
    steps = [step["phase"] for step in vmi["status"]["phaseTransitionTimestamps"]]
    assert steps == ["Pending", "Scheduling", "Scheduled", "Running"]
    await lab.halt()
    start = "Started the virtual machine by creating the new virtual machine instance cp"
    stop = f"Stopped the virtual machine by deleting the virtual machine instance {uid(vmi)}"
    awaited = {("Normal", "SuccessfulCreate", start), ("Normal", "SuccessfulDelete", stop)}
    async with asyncio.timeout(lab.api.patience):
        async for _, event in lab.api.events(core(lab.namespace, "events")):
            if event["involvedObject"]["uid"] == uid(vm):
                awaited.discard((event["type"], event["reason"], event["message"]))
            if not awaited:
                break


async def test_every_start_has_a_new_pod_that_services_find_by_the_templates_labels(lab: Lab) -> None:
    await lab.halted("cp")
    seen: set[tuple[str, str]] = set()
    macs = []
    for _ in range(2):
        await lab.launch()
        pods = await lab.api.page(core(lab.namespace, "pods"), labelSelector="role=control-plane,kubevirt.io")
        running = [pod for pod in pods["items"] if pod["status"]["phase"] == "Running"]
        [pod] = [pod for pod in running if not pod["metadata"].get("deletionTimestamp")]
        seen.add((pod["metadata"]["uid"], pod["metadata"]["name"]))
        vmi = await lab.api.get(kubevirt(lab.namespace, VMI, "cp"))
        [interface] = vmi["status"]["interfaces"]
        assert interface["ipAddress"] == pod["status"]["podIP"]
        macs.append(interface["mac"])
        assert pod["metadata"]["ownerReferences"][0]["uid"] == vmi["metadata"]["uid"]
        # Longer than the guest's, so that the guest is cut off by KubeVirt and not by the kubelet.
        assert pod["spec"]["terminationGracePeriodSeconds"] > vmi["spec"]["terminationGracePeriodSeconds"]
        assert vmi["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
        await lab.halt()
    assert len({uid for uid, _ in seen}) == len({name for _, name in seen}) == 2
    # The guest takes over the pod's, unless the VM has one of its own.
    assert macs[0] != macs[1]


async def shown(lab: Lab, opened: asyncio.Event, last: str) -> list[str]:
    """What the VM `cp` reads until it reads `last` or is gone, repeated ones once."""
    read: list[str] = []
    async for type_, vm in lab.api.events(kubevirt(lab.namespace), opened):
        status = (vm.get("status") or {}).get("printableStatus", "")
        if not read or read[-1] != status:
            read.append(status)
        if type_ == "DELETED" or status == last:
            return read
    raise AssertionError("the watch ended")


def within(wanted: list[str], read: list[str]) -> bool:
    """Whether all that is wanted was read, in that order."""
    rest = iter(read)
    return all(status in rest for status in wanted)


async def test_a_vms_status_goes_through_its_life_in_order(lab: Lab) -> None:
    await lab.secrets("cp")
    path = kubevirt(lab.namespace, name="cp")
    steps = (
        (["Provisioning", "Starting", "Running"], lambda: lab.api.create(kubevirt(lab.namespace), lab.vm("cp"))),
        (["Running", "Stopping", "Stopped"], lambda: lab.power("cp", "stop", {"gracePeriod": 0})),
        (["Stopped", "Starting", "Running"], lambda: lab.power("cp", "start")),
        (["Running", "Terminating"], lambda: lab.api.remove(path, propagationPolicy="Foreground")),
    )
    for wanted, act in steps:
        opened = asyncio.Event()
        watch = asyncio.create_task(shown(lab, opened, wanted[-1]))
        async with asyncio.timeout(lab.api.patience):
            await opened.wait()
            await act()
            read = await watch
        assert within(wanted, read), read
    await lab.api.gone(path)


async def test_a_halted_vm_gets_its_disks_at_once_unless_it_is_told_not_to(lab: Lab) -> None:
    await lab.secrets("wk")
    vm = lab.vm("wk", strategy="Halted")
    vm["metadata"]["annotations"] = {"kubevirt.io/immediate-data-volume-creation": "false"}
    await lab.api.create(kubevirt(lab.namespace), vm)
    # As long as the other one takes for its whole disk.
    await lab.halted("cp")
    assert await lab.api.find(volumes(lab.namespace, "wk-rootdisk")) is None
    await lab.launch("wk")


async def test_a_new_vm_reads_stopped_before_anything_happened(api: Api, lab: Lab) -> None:
    await lab.secrets("cp")
    made = await api.create(kubevirt(lab.namespace), lab.vm("cp", strategy="Halted"))
    first = made.get("status") or {}
    assert first.get("printableStatus") in (None, "Stopped")
    path = kubevirt(lab.namespace, name="cp")
    known = await api.until(path, lambda vm: vm if vm and (vm.get("status") or {}).get("printableStatus") else None)
    assert known["status"]["printableStatus"] in ("Stopped", "Provisioning")


async def test_a_vm_is_created_until_its_instance_is_gone(lab: Lab) -> None:
    await lab.halted("cp")
    vm = await lab.launch()
    assert (vm["status"]["created"], vm["status"]["ready"]) == (True, True)
    await lab.halt()
    path = kubevirt(lab.namespace, name="cp")
    stopped = await lab.api.until(path, lambda vm: vm if vm and not vm["status"].get("created") else None)
    assert stopped["status"]["printableStatus"] == "Stopped"
    assert reasons(stopped)["Ready"] == ("False", "VMINotExists")


async def test_a_stopped_vm_keeps_saying_what_its_instance_said_last(lab: Lab) -> None:
    await lab.secrets("cp")
    vm = lab.vm("cp")
    vm["spec"]["dataVolumeTemplates"][0]["spec"]["storage"]["accessModes"] = ["ReadWriteOnce"]
    await lab.api.create(kubevirt(lab.namespace), vm)
    said = reasons(await lab.running())
    assert said["LiveMigratable"] == ("False", "DisksNotLiveMigratable")
    assert said["DataVolumesReady"] == ("True", "AllDVsReady")
    await lab.halt()
    path = kubevirt(lab.namespace, name="cp")
    stopped = await lab.api.until(path, lambda vm: vm if vm and not vm["status"].get("created") else None)
    for type_ in ("LiveMigratable", "DataVolumesReady"):
        assert reasons(stopped)[type_] == said[type_]


async def test_what_a_client_writes_into_an_instances_status_is_dropped_without_a_word(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    path = kubevirt(lab.namespace, VMI, "cp")
    code, _ = await lab.api.call("GET", f"{path}/status")
    assert code == 404
    written = await lab.api.merge(path, {"status": {"phase": "Failed"}, "metadata": {"labels": {"contract": "yes"}}})
    assert written["metadata"]["labels"]["contract"] == "yes"
    assert written["status"]["phase"] == "Running"


async def test_an_instance_waits_for_the_secret_of_its_cloud_init(lab: Lab) -> None:
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp"))
    instance = kubevirt(lab.namespace, VMI, "cp")
    await lab.api.until(instance, lambda vmi: vmi and vmi["status"].get("phase") == "Scheduling")
    async with asyncio.timeout(lab.api.patience):
        async for _, event in lab.api.events(core(lab.namespace, "events")):
            if event["reason"] == "FailedMount" and 'secret "cp-cloudinit" not found' in event["message"]:
                break
    assert (await lab.api.get(instance))["status"]["phase"] == "Scheduling"
    assert (await lab.get_vm())["status"]["printableStatus"] == "Starting"
    await lab.secrets("cp")
    await lab.running()


async def test_an_image_that_cannot_be_pulled_is_what_the_status_reads(lab: Lab) -> None:
    await lab.secrets("cp")
    vm = lab.vm("cp")
    del vm["spec"]["dataVolumeTemplates"]
    image = "registry.invalid/nothing:0"
    vm["spec"]["template"]["spec"]["volumes"][0] = {"name": "rootdisk", "containerDisk": {"image": image}}
    await lab.api.create(kubevirt(lab.namespace), vm)
    path = kubevirt(lab.namespace, name="cp")
    for status in ("ErrImagePull", "ImagePullBackOff"):
        shown = await lab.api.until(path, lambda vm: vm if vm["status"].get("printableStatus") == status else None)  # noqa: B023
        assert reasons(shown)["Synchronized"] == ("False", status)
    assert (await lab.api.get(kubevirt(lab.namespace, VMI, "cp")))["status"]["phase"] == "Scheduling"
    [pod] = await lab.api.items(core(lab.namespace, "pods"))
    states = [one["state"].get("waiting", {}).get("reason") for one in pod["status"]["containerStatuses"]]
    assert {"ErrImagePull", "ImagePullBackOff"} & set(states)
    await lab.halt()
    await lab.api.until(path, lambda vm: vm["status"]["printableStatus"] == "Stopped")


async def test_a_deleted_vm_takes_everything_of_its_own_along(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    await lab.api.remove(kubevirt(lab.namespace, name="cp"), propagationPolicy="Foreground")
    await lab.api.gone(
        kubevirt(lab.namespace, name="cp"),
        kubevirt(lab.namespace, VMI, "cp"),
        volumes(lab.namespace, "cp-rootdisk"),
        claims(lab.namespace, "cp-rootdisk"),
    )


async def test_a_namespace_with_a_running_vm_can_be_removed(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    await lab.api.delete(f"/api/v1/namespaces/{lab.namespace}")
    await lab.api.gone(f"/api/v1/namespaces/{lab.namespace}")


async def test_a_cloned_disk_carries_the_templates_labels(lab: Lab) -> None:
    await lab.halted("cp")
    volume = await lab.api.get(volumes(lab.namespace, "cp-rootdisk"))
    claim = await lab.api.get(claims(lab.namespace, "cp-rootdisk"))
    for one in (volume, claim):
        assert one["metadata"]["labels"]["role"] == "control-plane"
    assert volume["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "DataVolume"
    assert claim["status"]["phase"] == "Bound"


async def test_a_data_volumes_spec_is_final(lab: Lab) -> None:
    await lab.halted("cp")
    change = {"spec": {"storage": {"resources": {"requests": {"storage": "20Gi"}}}}}
    with pytest.raises(Failed, match="Cannot update DataVolume Spec"):
        await lab.api.merge(volumes(lab.namespace, "cp-rootdisk"), change)
