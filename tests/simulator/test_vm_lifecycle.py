"""A cluster of two VMs from first boot to restore, seen through the host's API and the guest's."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulator.http_api import Api, Failed, Obj
from tests.simulator.lab import CORE, POWER, Lab, core, kubevirt, snapshots


async def test_first_boot_joins_two_nodes_and_serves_with_the_clusters_ca(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        nodes = await guest.ready()
        assert {node["metadata"]["name"] for node in await guest.items(f"{CORE}/nodes")} == {"cp", "wk"}
        assert nodes["cp"]["status"]["nodeInfo"]["bootID"] != nodes["wk"]["status"]["nodeInfo"]["bootID"]
        names = {one["metadata"]["name"] for one in await guest.items(f"{CORE}/namespaces")}
        assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= names
        assert await guest.find("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/wk")
        assert (await guest.get("/version"))["major"]


async def test_what_a_learner_does_is_gone_after_a_restore(lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        golden = await guest.ready()
    await lab.stop()
    await lab.snapshot()
    await lab.start()
    async with lab.guest() as guest:
        await guest.answers()
        await guest.create(f"{CORE}/namespaces", {"metadata": {"name": "damage"}})
        pod = {
            "metadata": {"name": "writer"},
            "spec": {
                "nodeName": "wk",
                "containers": [{"name": "c", "image": "busybox"}],
                "volumes": [{"name": "f", "hostPath": {"path": "/root/damage", "type": "FileOrCreate"}}],
            },
        }
        await guest.create(core("default", "pods"), pod)
        await guest.until(core("default", "pods", "writer"), lambda pod: pod and pod["status"]["phase"] == "Running")
    await lab.stop(0)
    await lab.restore("reset")
    await lab.start()
    async with lab.guest() as guest:
        await guest.answers()
        old = await guest.get(f"{CORE}/nodes/cp")
        assert old["status"]["nodeInfo"]["bootID"] == golden["cp"]["status"]["nodeInfo"]["bootID"]
        new = await guest.until(
            f"{CORE}/nodes/wk",
            lambda node: (
                node if node["status"]["nodeInfo"]["bootID"] != golden["wk"]["status"]["nodeInfo"]["bootID"] else None
            ),
        )
        assert new
        assert await guest.find(f"{CORE}/namespaces/damage") is None
        reader = {
            "metadata": {"name": "reader"},
            "spec": {
                "nodeName": "wk",
                "containers": [{"name": "c", "image": "busybox"}],
                "volumes": [{"name": "f", "hostPath": {"path": "/root/damage", "type": "File"}}],
            },
        }
        await guest.create(core("default", "pods"), reader)
        event = await _event(guest, "FailedMount")
        assert "hostPath type check failed: /root/damage is not a file" in event["message"]


async def _event(api: Api, reason: str) -> Obj:
    async for _, event in api.events(core("default", "events")):
        if event["reason"] == reason:
            return event
    raise AssertionError("no more events")


async def test_each_start_has_a_new_pod_and_address_and_the_instance_ends_succeeded(lab: Lab) -> None:
    await lab.create()
    seen = set()
    for _ in range(2):
        await lab.running("cp")
        pods = await lab.api.items(core(lab.namespace, "pods"))
        launcher = next(pod for pod in pods if pod["metadata"]["labels"]["vm.kubevirt.io/name"] == "cp")
        seen.add((launcher["metadata"]["name"], launcher["status"]["podIP"]))
        opened = asyncio.Event()
        phases = asyncio.create_task(_phases(lab, "cp", opened))
        await opened.wait()
        await lab.power("cp", "stop")
        path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
        await lab.api.until(path, lambda vmi: vmi is None)
        assert (await phases)[-1] == "Succeeded"
        assert await lab.api.items(core(lab.namespace, "pods")) is not None
        await lab.power("cp", "start")
    assert len({name for name, _ in seen}) == 2
    assert len({address for _, address in seen}) == 2


async def _phases(lab: Lab, name: str, opened: asyncio.Event) -> list[str]:
    phases = []
    async for type_, vmi in lab.api.events(kubevirt(lab.namespace, "virtualmachineinstances"), opened):
        if vmi["metadata"]["name"] == name:
            phases.append(vmi["status"]["phase"])
            if type_ == "DELETED":
                break
    return phases


async def test_power_answers_as_virt_api_does(lab: Lab) -> None:
    await lab.create()
    await lab.running("cp")
    path = f"{POWER}/namespaces/{lab.namespace}/virtualmachines"
    code, body = await lab.api.call("PUT", f"{path}/cp/start")
    assert (code, body["message"]) == (
        409,
        'Operation cannot be fulfilled on virtualmachine.kubevirt.io "cp": VM is already running',
    )
    code, body = await lab.api.call("PUT", f"{path}/nope/stop")
    assert (code, body["message"]) == (404, 'virtualmachine.kubevirt.io "nope" not found')
    code, _ = await lab.api.call("PUT", f"{path}/cp/stop", accept="application/json")
    assert code == 406
    code, body = await lab.api.call("PUT", f"{path}/cp/restart", {"gracePeriodSeconds": 5})
    assert (code, body["message"]) == (400, "For force restart, only gracePeriod=0 is supported for now")
    code, body = await lab.api.call("PUT", f"{path}/cp/stop", [1])
    assert code == 400
    await lab.stop()
    code, body = await lab.api.call("PUT", f"{path}/cp/stop", {})
    assert body["message"].endswith('"cp": VM is not running')


async def test_a_restart_brings_a_new_instance_with_the_same_disk(lab: Lab) -> None:
    await lab.create()
    before = await lab.running("cp")
    path = kubevirt(lab.namespace, "virtualmachineinstances", "cp")
    old = await lab.api.get(path)
    await lab.power("cp", "restart", {"gracePeriodSeconds": 0})
    await lab.api.until(path, lambda vmi: vmi and vmi["metadata"]["uid"] != old["metadata"]["uid"])
    after = await lab.running("cp")
    assert before["spec"] == after["spec"]


async def test_a_halted_vm_gets_its_disk_and_stays_stopped(lab: Lab) -> None:
    await lab.create(strategy="Halted")
    vm = await lab.api.until(
        kubevirt(lab.namespace, "virtualmachines", "cp"),
        lambda vm: (
            vm
            if vm
            and (vm.get("status") or {}).get("printableStatus") == "Stopped"
            and any(one.get("enabled") for one in vm["status"].get("volumeSnapshotStatuses") or [])
            else None
        ),
    )
    assert not vm["status"].get("created")
    claim = core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk")
    await lab.api.until(claim, lambda claim: claim and claim["status"]["phase"] == "Bound")
    assert await lab.api.find(kubevirt(lab.namespace, "virtualmachineinstances", "cp")) is None


async def test_without_the_right_to_clone_the_vm_says_so_and_goes_on_once_it_has_it(lab: Lab) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/vm-templates/rolebindings"
    await lab.api.delete(f"{rbac}/cloner-{lab.namespace}")
    await lab.create()
    vm = await lab.api.until(
        kubevirt(lab.namespace, "virtualmachines", "cp"),
        lambda vm: (
            vm
            if vm and any(one["type"] == "Failure" for one in (vm.get("status") or {}).get("conditions") or [])
            else None
        ),
    )
    failure = next(one for one in vm["status"]["conditions"] if one["type"] == "Failure")
    assert f"User system:serviceaccount:{lab.namespace}:default has insufficient permissions" in failure["message"]
    assert vm["status"]["printableStatus"] == "Stopped"
    reasons = {event["reason"] for event in await lab.api.items(core(lab.namespace, "events"))}
    assert "UnauthorizedDataVolumeCreate" in reasons
    await lab.allow_cloning()
    vm = await lab.running("cp")
    assert not any(one["type"] == "Failure" for one in vm["status"]["conditions"])


async def test_a_deleted_vm_takes_instance_disk_and_pod_with_it(lab: Lab) -> None:
    await lab.create()
    await lab.running("cp")
    await lab.api.delete(kubevirt(lab.namespace, "virtualmachines", "cp"))
    for path in (
        kubevirt(lab.namespace, "virtualmachines", "cp"),
        kubevirt(lab.namespace, "virtualmachineinstances", "cp"),
        f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{lab.namespace}/datavolumes/cp-rootdisk",
        core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk"),
    ):
        await lab.api.until(path, lambda obj: obj is None)


async def test_changes_are_denied_while_a_snapshot_or_restore_runs(lab: Lab) -> None:
    await lab.create(strategy="Halted")
    vm = kubevirt(lab.namespace, "virtualmachines", "cp")
    claim = core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk")
    await lab.api.until(claim, lambda one: one and one["status"]["phase"] == "Bound")
    await lab.api.merge(f"{vm}/status", {"status": {"restoreInProgress": "other"}})
    with pytest.raises(Failed) as denial:
        await lab.api.merge(vm, {"spec": {"runStrategy": "Always"}})
    assert denial.value.code == 422
    text = (
        'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '
        'Cannot update VM runStrategy until restore "other" completes'
    )
    assert denial.value.message == text
    code, body = await lab.api.call("PUT", f"{POWER}/namespaces/{lab.namespace}/virtualmachines/cp/start")
    assert (code, body["message"]) == (500, f"Internal error occurred: {text}")


async def test_a_namespace_with_a_running_cluster_can_be_deleted(lab: Lab) -> None:
    await lab.create()
    await lab.running("cp")
    await lab.api.delete(f"{CORE}/namespaces/{lab.namespace}")
    await lab.api.until(f"{CORE}/namespaces/{lab.namespace}", lambda namespace: namespace is None)
    assert await lab.api.items(snapshots(lab.namespace)) == []
