"""The VM that a restore makes when its target is not there. Pure. (KubeVirt: restore.go, reconcileSpec.)"""

from __future__ import annotations

import json

import jsonpatch

from simulator.client import Obj
from simulator.controllers.restores.plan import LAST_RESTORE, restore_id
from simulator.controllers.restores.source import RestoreError


def created_vm(restore: Obj, content: Obj, spec: Obj) -> Obj:
    """Labels and annotations of the VM that was snapshotted, the restored spec, then the restore's patches.

    Raises RestoreError when those do not apply.
    """
    source = content["spec"]["source"]["virtualMachine"]["metadata"]
    name = restore["spec"]["target"]["name"]
    meta = {
        "name": name,
        "namespace": restore["metadata"]["namespace"],
        "labels": dict(source.get("labels") or {}),
        "annotations": {**(source.get("annotations") or {}), LAST_RESTORE: restore_id(restore)},
    }
    vm: Obj = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta, "spec": spec}
    try:
        patches = [json.loads(patch) for patch in restore["spec"].get("patches") or []]
        patched: Obj = jsonpatch.apply_patch(vm, patches)
    except (ValueError, jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise RestoreError(f"error patching VM {name}: {error}") from error
    return patched
