"""When a storage's snapshot can be lost to the greatest harm: once KubeVirt has told its users that it can be used."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import GVR, Client, Obj
from simulator.controllers.meta import controller_of
from simulator.controllers.resources import VM_SNAPSHOT_CONTENTS, VM_SNAPSHOTS


async def used_by_kubevirt(client: Client, snapshot: Obj) -> bool:
    """Whether the VirtualMachineSnapshot that a VolumeSnapshot belongs to is readyToUse; True for one that is none of
    KubeVirt's. Raises ApiError.

    Asked for, not watched: storage is played beside clusters without KubeVirt too.
    """
    reference = controller_of(snapshot)
    if reference is None or reference["kind"] != "VirtualMachineSnapshotContent":
        return True
    namespace = snapshot["metadata"]["namespace"]
    content = await _find(client, VM_SNAPSHOT_CONTENTS, namespace, reference["name"])
    if content is None:
        return True
    parent = await _find(client, VM_SNAPSHOTS, namespace, content["spec"]["virtualMachineSnapshotName"])
    return parent is None or bool((parent.get("status") or {}).get("readyToUse"))


async def _find(client: Client, gvr: GVR, namespace: str, name: str) -> Obj | None:
    try:
        return await client.get(gvr, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return None
