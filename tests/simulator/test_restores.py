"""VirtualMachineRestores where only a simulator can be brought: without snapshot class, with a disk that never binds.

What any KubeVirt does about restores is stated in tests/contract.
"""

from __future__ import annotations

from tests.simulator.lab import Lab, core, kubevirt, snapshots
from tests.simulator.test_snapshots import halted, reasons

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
