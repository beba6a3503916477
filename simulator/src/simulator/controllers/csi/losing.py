"""When a storage's snapshot can be lost to the greatest harm: once KubeVirt has told its users that it can be used."""

from __future__ import annotations

from simulator.client import Client, Obj
from simulator.client.finding import find
from simulator.client.meta import controller_of
from simulator.client.resources import VM_SNAPSHOT_CONTENTS, VM_SNAPSHOTS


async def used_by_kubevirt(client: Client, snapshot: Obj) -> bool:
    """Whether the VirtualMachineSnapshot that a VolumeSnapshot belongs to is readyToUse; True for one that is none of
    KubeVirt's. Raises ApiError.

    Asked for, not watched: storage is played beside clusters without KubeVirt too.
    """
    reference = controller_of(snapshot)
    if reference is None or reference["kind"] != "VirtualMachineSnapshotContent":
        return True
    namespace = snapshot["metadata"]["namespace"]
    content = await find(client, VM_SNAPSHOT_CONTENTS, reference["name"], namespace)
    if content is None:
        return True
    parent = await find(client, VM_SNAPSHOTS, content["spec"]["virtualMachineSnapshotName"], namespace)
    return parent is None or bool((parent.get("status") or {}).get("readyToUse"))
