"""Which snapshots are believed."""

from __future__ import annotations

from typing import Any

import pytest

from pool.core.errors import SnapshotError, SnapshotFailed, SnapshotMissing, SnapshotNotReady
from pool.kubevirt.snapshots import verify
from tests.pool.builders import member

MACHINE = member().control_plane
GOOD: dict[str, Any] = {
    "phase": "Succeeded",
    "readyToUse": True,
    "snapshotVolumes": {"includedVolumes": ["rootdisk"], "excludedVolumes": ["cloudinit"]},
}


def snapshot(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "cp-snap", "namespace": "cluster1"}, "status": GOOD | status}


def test_a_ready_offline_snapshot_of_the_root_disk_is_believed() -> None:
    assert verify(snapshot(), MACHINE, "cp-snap") == snapshot()


@pytest.mark.parametrize(
    ("found", "error"),
    [
        pytest.param(None, SnapshotMissing, id="none"),
        pytest.param(
            {"metadata": {"name": "cp-snap", "deletionTimestamp": "now"}, "status": GOOD}, SnapshotMissing, id="going"
        ),
        pytest.param({"metadata": {"name": "cp-snap"}}, SnapshotNotReady, id="no status yet"),
        pytest.param(snapshot(phase="InProgress", readyToUse=False), SnapshotNotReady, id="in progress"),
        pytest.param(snapshot(readyToUse=False), SnapshotNotReady, id="succeeded, but not ready"),
        pytest.param(snapshot(phase="Failed", readyToUse=False), SnapshotFailed, id="failed"),
        pytest.param(
            snapshot(readyToUse=False, error={"message": "VolumeSnapshots (x) missing"}), SnapshotFailed, id="lost"
        ),
        pytest.param(snapshot(snapshotVolumes={"excludedVolumes": ["rootdisk"]}), SnapshotFailed, id="of nothing"),
        pytest.param(snapshot(indications=["Online"]), SnapshotFailed, id="of a running VM"),
        pytest.param(
            snapshot(sourceIndications=[{"indication": "PartialSnapshot", "message": "-"}]),
            SnapshotFailed,
            id="of a part",
        ),
    ],
)
def test_others_are_told_apart(found: dict[str, Any] | None, error: type[SnapshotError]) -> None:
    with pytest.raises(SnapshotError) as raised:
        verify(found, MACHINE, "cp-snap")
    assert type(raised.value) is error
    assert "cluster1/cp-snap" in str(raised.value)
