"""VirtualMachineRestores where only a simulator can be brought: without snapshot class, with a disk that never binds,
by a clock; and what is computed.

What any KubeVirt does about restores is stated in tests/contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.app import Simulator
from simulator.controllers.restores.plan import restored_claim, restored_spec
from simulator.controllers.restores.target import Decision, decide
from simulator.timing.delays import Delays
from tests.http_api import Api, Obj
from tests.lab import Lab, core, kubevirt, snapshots
from tests.test_snapshots import halted, ready, reasons, spec

RESTORES = "virtualmachinerestores"


async def claims(lab: Lab) -> dict[str, str]:
    """Names and UIDs of the namespace's claims that are not on their way out."""
    found = await lab.api.items(core(lab.namespace, "persistentvolumeclaims"))
    return {
        one["metadata"]["name"]: one["metadata"]["uid"] for one in found if not one["metadata"].get("deletionTimestamp")
    }


async def test_a_restore_of_a_snapshot_without_volumes_leaves_the_old_disk(lab: Lab) -> None:
    await lab.api.delete("/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/standard")
    await halted(lab)
    await lab.snapshot("cp")
    before = await claims(lab)
    await lab.restore("one", "cp")
    assert await claims(lab) == before


async def test_a_claim_that_never_binds_is_waited_for_and_left_behind_when_aborted(lab: Lab) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.never_bind("standard")
    restore = await lab.begin_restore("stuck", "cp")
    name = f"restore-{restore['metadata']['uid']}-rootdisk"
    await lab.api.until(core(lab.namespace, "persistentvolumeclaims", name), lambda one: one)
    path = snapshots(lab.namespace, RESTORES, "stuck")
    await lab.api.until(path, lambda one: reasons(one).get("Ready") == ("False", "Waiting for new PVCs"))
    await lab.api.delete(path)
    await lab.api.until(path, lambda one: one is None)
    vm = await lab.api.get(kubevirt(lab.namespace, "virtualmachines", "cp"))
    assert "restoreInProgress" not in vm["status"]
    left = await lab.api.get(core(lab.namespace, "persistentvolumeclaims", name))
    assert left["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    assert left["metadata"]["annotations"]["restore.kubevirt.io/name"] == "stuck"


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Lab]:
    """A world whose restores wait a second for their target, not five minutes."""
    path, delays = tmp_path / "kubeconfig", Delays(restore_grace=1.0)
    async with Simulator(speed=100.0, kubeconfig=path, delays=delays), Api.connect(path) as api:
        lab = Lab(api, tmp_path)
        await lab.prepare()
        yield lab


async def test_a_grace_period_that_is_over_ends_a_restore_at_the_next_change(hasty: Lab) -> None:
    lab = hasty
    await halted(lab)
    await lab.snapshot("cp")
    await lab.power("cp", "start")
    await lab.running()
    restore = await lab.begin_restore("late", "cp")
    path = snapshots(lab.namespace, RESTORES, "late")
    await lab.api.until(path, lambda one: "Ready" in reasons(one or {}))
    # Another clock of a second, which wakes no restore: a snapshot in vain.
    await lab.api.create("/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
    await lab.api.create(snapshots("elsewhere"), spec("nobody", failureDeadline="2s"))
    await lab.api.until(
        snapshots("elsewhere", name="nobody-snap"), lambda one: one and one["status"].get("phase") == "Failed"
    )
    assert "Failure" not in reasons(await lab.api.get(path))
    vm = kubevirt(lab.namespace, "virtualmachines", "cp")
    await lab.api.merge(vm, {"metadata": {"annotations": {"any": "change"}}})
    failed = await lab.api.until(path, lambda one: one if "Failure" in reasons(one) else None)
    text = "Restore target failed to be ready within 5m0s. Please power off the target VM before attempting restore"
    assert reasons(failed) == dict.fromkeys(("Progressing", "Ready"), ("False", text)) | {"Failure": ("True", text)}
    assert restore["spec"]["targetReadinessPolicy"] == "WaitGracePeriod"


def test_a_target_that_is_off_when_its_grace_is_over_is_restored() -> None:
    restore = {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}, "spec": {}}
    assert decide(restore, False, 300.0) is None
    decision = decide(restore, True, 300.0)
    assert decision is not None
    assert decision.kind is Decision.Kind.FAIL


async def test_a_memory_dump_is_kept_in_the_snapshot_and_not_restored(lab: Lab) -> None:
    await halted(lab)
    storage = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"]}
    await lab.api.create(core(lab.namespace, "persistentvolumeclaims"), {"metadata": {"name": "dump"}, "spec": storage})
    claim = core(lab.namespace, "persistentvolumeclaims", "dump")
    await lab.api.until(claim, lambda one: one and one["status"]["phase"] == "Bound")
    path = kubevirt(lab.namespace, "virtualmachines", "cp")
    volumes = (await lab.api.get(path))["spec"]["template"]["spec"]["volumes"]
    volumes.append({"name": "dump", "memoryDump": {"claimName": "dump"}})
    await lab.api.merge(path, {"spec": {"template": {"spec": {"volumes": volumes}}}})
    await lab.snapshot("cp")
    taken = await ready(lab)
    assert taken["status"]["snapshotVolumes"]["includedVolumes"] == ["rootdisk", "dump"]
    await lab.restore("one", "cp")
    restore = await lab.api.get(snapshots(lab.namespace, RESTORES, "cp-one"))
    assert [one["volumeName"] for one in restore["status"]["restores"]] == ["rootdisk"]
    left = (await lab.api.get(path))["spec"]["template"]["spec"]["volumes"]
    assert [one["name"] for one in left] == ["rootdisk", "cloudinit"]
    assert "dump" in await claims(lab)


async def test_a_lost_claim_is_an_error(lab: Lab, simulator: Simulator) -> None:
    await halted(lab)
    await lab.snapshot("cp")
    await lab.never_bind("standard")
    restore = await lab.begin_restore("losing", "cp")
    name = f"restore-{restore['metadata']['uid']}-rootdisk"
    path = core(lab.namespace, "persistentvolumeclaims", name)
    await lab.api.until(path, lambda one: one)
    await lab.api.merge(f"{path}/status", {"status": {"phase": "Lost"}})
    text = f'PVC {lab.namespace}/{name} in status "Lost"'
    told = snapshots(lab.namespace, RESTORES, "losing")
    await lab.api.until(told, lambda one: reasons(one or {}).get("Ready") == ("False", text))


def content(**source: Any) -> Obj:
    inside = {"volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "disk", "readOnly": True}}]}
    meta = {"name": "cp", "namespace": "lab", "uid": "vm"}
    return {
        "spec": {"source": {"virtualMachine": {"metadata": meta, "spec": {"template": {"spec": inside}, **source}}}}
    }


RESTORE: Obj = {
    "metadata": {"name": "one", "namespace": "lab", "uid": "1"},
    "spec": {"target": {"name": "cp"}},
    "status": {"restores": [{"volumeName": "disk", "persistentVolumeClaim": "new"}]},
}


@pytest.mark.parametrize(
    ("asked", "measured", "wanted"), [("1Gi", "2Gi", "2Gi"), ("3Gi", "2Gi", "3Gi"), ("1Gi", None, "1Gi")]
)
def test_a_restored_claim_is_as_large_as_its_snapshot_needs_and_as_was_asked_for(
    asked: str, measured: str | None, wanted: str
) -> None:
    spec = {"resources": {"requests": {"storage": asked}, "limits": {"storage": "9Gi"}}, "volumeName": "old"}
    backup = {"volumeName": "disk", "persistentVolumeClaim": {"metadata": {}, "spec": spec}}
    status = {"restoreSize": measured} if measured else {}
    snapshot = {"metadata": {"name": "snap"}, "status": status}
    [entry] = RESTORE["status"]["restores"]
    made = restored_claim(RESTORE, None, content(), entry, backup, snapshot)
    assert made["spec"]["resources"] == {"requests": {"storage": wanted}, "limits": {"storage": "9Gi"}}
    assert "volumeName" not in made["spec"]


def test_an_empty_firmware_uuid_is_filled_from_the_name_of_the_same_vm_only() -> None:
    def uuid_of(target: str) -> str | None:
        restore = {**RESTORE, "spec": {"target": {"name": target}}}
        spec = restored_spec(None, content(), restore)
        found: str | None = spec["template"]["spec"]["domain"]["firmware"].get("uuid")
        return found

    assert uuid_of("cp") == uuid_of("cp") is not None
    assert uuid_of("copy") is None


def test_a_target_that_is_made_is_off_however_its_strategy_is_written() -> None:
    assert restored_spec(None, content(runStrategy="Always"), RESTORE)["runStrategy"] == "Halted"
    legacy = restored_spec(None, content(running=True), RESTORE)
    assert (legacy["running"], "runStrategy" in legacy) == (False, False)
    [volume] = legacy["template"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "new", "readOnly": True}
