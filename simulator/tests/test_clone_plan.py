"""By which strategy CDI clones, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.controllers.cdi.clone_plan import Clone, CloneError, Plan, Strategy

COPY, CSI_CLONE, SNAPSHOT = Strategy.COPY, Strategy.CSI_CLONE, Strategy.SNAPSHOT


def clone(**given: Any) -> Clone:
    """A clone that the storage can make, but for what is given."""
    known = {"size": "1Gi", "mode": "Filesystem", "expansion": True, "driver": "a", "snapshots": True, **given}

    def claim(size: str, mode: str) -> dict[str, Any]:
        resources = {"requests": {"storage": size}}
        return {"spec": {"resources": resources, "volumeMode": mode}, "status": {"capacity": {"storage": size}}}

    storage_class = {"provisioner": "a", "allowVolumeExpansion": known["expansion"]}
    target = claim(known["size"], known["mode"])
    return Clone(claim("1Gi", "Filesystem"), target, storage_class, known["driver"], known["snapshots"])


NO_CLASS = Plan(COPY, "NoVolumeSnapshotClass", "No compatible volumesnapshotclass found")
OTHER_DRIVER = Plan(COPY, "IncompatibleProvisioners", "Provisioners are incompatible")
OTHER_MODE = Plan(COPY, "IncompatibleVolumeModes", "The volume modes of source and target are incompatible")
CANNOT_GROW = Plan(COPY, "NoVolumeExpansion", "No volume expansion is possible")


@pytest.mark.parametrize(
    ("given", "wanted", "plan"),
    [
        ({}, SNAPSHOT, Plan(SNAPSHOT)),
        ({}, CSI_CLONE, Plan(CSI_CLONE)),
        ({}, COPY, Plan(COPY)),
        ({"snapshots": False}, SNAPSHOT, NO_CLASS),
        ({"snapshots": False}, CSI_CLONE, Plan(CSI_CLONE)),
        ({"snapshots": False}, COPY, Plan(COPY)),
        ({"driver": "b"}, SNAPSHOT, NO_CLASS),
        ({"driver": "b"}, CSI_CLONE, OTHER_DRIVER),
        ({"driver": "b"}, COPY, Plan(COPY)),
        ({"mode": "Block"}, SNAPSHOT, OTHER_MODE),
        ({"mode": "Block"}, COPY, Plan(COPY)),
        ({"size": "2Gi"}, SNAPSHOT, Plan(SNAPSHOT)),
        ({"size": "2Gi", "expansion": False}, SNAPSHOT, CANNOT_GROW),
        ({"size": "2Gi", "expansion": False}, COPY, Plan(COPY)),
    ],
)
def test_what_the_storage_cannot_clone_is_copied_for_a_reason(
    given: dict[str, Any], wanted: Strategy, plan: Plan
) -> None:
    assert clone(**given).plan(wanted) == plan


def test_a_snapshot_is_taken_unless_another_strategy_is_asked_for() -> None:
    assert clone().plan() == Plan(SNAPSHOT)


@pytest.mark.parametrize("wanted", list(Strategy))
def test_nothing_is_cloned_into_less_room(wanted: Strategy) -> None:
    with pytest.raises(CloneError, match="storage size is smaller than the source"):
        clone(size="500Mi").plan(wanted)
