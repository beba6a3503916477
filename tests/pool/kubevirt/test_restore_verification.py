"""A restore that calls itself complete is believed only if the VM runs on the disk it made of the golden snapshot."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pool.core.errors import RestoreFailed
from pool.kubevirt.restores import verify
from tests.pool.builders import member

MACHINE = member().control_plane
DISK = "restore-uid1-rootdisk"
RESTORE: dict[str, Any] = {
    "metadata": {"name": "r", "namespace": "cluster1", "uid": "uid1"},
    "status": {
        "complete": True,
        "restores": [
            {
                "volumeName": "rootdisk",
                "persistentVolumeClaim": DISK,
                "dataVolumeName": DISK,
                "volumeSnapshotName": "vmsnapshot-golden-volume-rootdisk",
            }
        ],
    },
}
VM: dict[str, Any] = {
    "metadata": {"name": "cp-cluster1", "annotations": {"restore.kubevirt.io/lastRestoreUID": "r-uid1"}},
    "spec": {
        "dataVolumeTemplates": [{"metadata": {"name": DISK}}],
        "template": {"spec": {"volumes": [{"name": "rootdisk", "dataVolume": {"name": DISK}}]}},
    },
}


def changed(obj: dict[str, Any], value: Any, *path: str | int) -> dict[str, Any]:
    made = copy.deepcopy(obj)
    node: Any = made
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return made


def test_a_real_restore_is_believed() -> None:
    assert verify(RESTORE, VM, MACHINE, "golden") == DISK


@pytest.mark.parametrize(
    ("restore", "vm"),
    [
        pytest.param(changed(RESTORE, [], "status", "restores"), VM, id="nothing restored"),
        pytest.param(
            changed(RESTORE, "old-disk", "status", "restores", 0, "persistentVolumeClaim"), VM, id="an old disk taken"
        ),
        pytest.param(
            changed(RESTORE, "vmsnapshot-other-volume-rootdisk", "status", "restores", 0, "volumeSnapshotName"),
            VM,
            id="of another snapshot",
        ),
        pytest.param(
            RESTORE,
            changed(VM, "old-disk", "spec", "template", "spec", "volumes", 0, "dataVolume", "name"),
            id="VM still on the old disk",
        ),
        pytest.param(RESTORE, changed(VM, [], "spec", "dataVolumeTemplates"), id="VM's templates do not follow"),
        pytest.param(RESTORE, changed(VM, {}, "metadata", "annotations"), id="VM not marked"),
    ],
)
def test_others_are_not(restore: dict[str, Any], vm: dict[str, Any]) -> None:
    with pytest.raises(RestoreFailed, match="not proved"):
        verify(restore, vm, MACHINE, "golden")
