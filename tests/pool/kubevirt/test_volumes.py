"""Which disks a sweep removes: the residue of aborted restores and nothing else.

| disk                                   | an unfinished restore's | used by a VM | goes |
|----------------------------------------|-------------------------|--------------|------|
| restored (annotation or label)         | no                      | no           | yes  |
| restored                               | yes                     | no           | no   |
| restored                               | no                      | yes          | no   |
| of a failed restore                    | it is final             | no           | yes  |
| the VM's own old one                   | no                      | no, another  | yes  |
| labelled ours, its VM not there (yet)  | no                      | no           | no   |
| of nobody, or of another pool          | no                      | no           | no   |
| any, outside the cluster's namespace   | no                      | no           | no   |
| being deleted already                  | no                      | no           | no   |
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pool.kubevirt.volumes import leftovers
from tests.pool.builders import member, pool

CLUSTER = member()
OURS = {"labels": CLUSTER.labels}
NOTE = {"annotations": {"restore.kubevirt.io/name": "r1"}}
RESTORED = OURS | NOTE
BY_LABEL = {"labels": {"restore.kubevirt.io/source-vm-name": "cp-cluster1"} | CLUSTER.labels}
FORMER = NOTE | {"labels": member(uid="uid-former").labels}
OTHERS = NOTE | {"labels": member(of=pool("other")).labels}
OWNED = {"ownerReferences": [{"kind": "VirtualMachine", "name": "cp-cluster1", "uid": "vm-uid"}]}


def disk(name: str = "disk", namespace: str = "cluster1", **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", **meta}}


def vm(*disks: str) -> dict[str, Any]:
    volumes = [{"name": "rootdisk", "dataVolume": {"name": name}} for name in disks]
    return {
        "metadata": {"name": "cp-cluster1", "namespace": "cluster1", "uid": "vm-uid"},
        "spec": {"template": {"spec": {"volumes": volumes}}},
    }


def restore(name: str = "r1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "cluster1", "uid": "restore-uid"}, "status": status}


FAILED = restore(complete=False, conditions=[{"type": "Failure", "status": "True", "reason": "no"}])


@pytest.mark.parametrize(
    ("found", "restores", "vms", "goes"),
    [
        pytest.param(disk(**RESTORED), [], [vm("other")], True, id="restored and unused"),
        pytest.param(disk(**BY_LABEL), [], [vm("other")], True, id="restored, by label"),
        pytest.param(disk(**RESTORED), [], [], True, id="restored, ownerless, VM gone"),
        pytest.param(disk(**RESTORED), [restore(complete=False)], [vm("other")], False, id="of a running restore"),
        pytest.param(
            disk("restore-restore-uid-rootdisk", **BY_LABEL),
            [restore("by-name", complete=False)],
            [vm("other")],
            False,
            id="of a running restore, by its name",
        ),
        pytest.param(disk(**RESTORED), [restore()], [vm("other")], False, id="of a restore without a status yet"),
        pytest.param(disk(**RESTORED), [restore(complete=True)], [vm("disk")], False, id="in use"),
        pytest.param(disk(**RESTORED), [restore(complete=True)], [vm("other")], True, id="of a finished restore"),
        pytest.param(disk(**RESTORED), [FAILED], [vm("other")], True, id="of a failed restore"),
        pytest.param(disk(**OURS, **OWNED), [], [vm("other")], True, id="the VM's old disk"),
        pytest.param(disk(**OURS, **OWNED), [], [vm("disk")], False, id="the VM's disk"),
        pytest.param(disk(**OURS, **OWNED), [], [], False, id="the VM is not there"),
        pytest.param(disk(**OURS), [], [vm("other")], False, id="ours, owned by no VM"),
        pytest.param(disk(), [], [vm("other")], False, id="somebody's"),
        pytest.param(disk(**NOTE), [], [vm("other")], False, id="somebody's, restored"),
        pytest.param(disk(**OTHERS), [], [vm("other")], False, id="another pool's, restored"),
        pytest.param(disk(**FORMER), [], [vm("other")], True, id="an earlier cluster's of this name, restored"),
        pytest.param(disk(namespace="production", **RESTORED), [], [], False, id="in a foreign namespace"),
        pytest.param(disk(deletionTimestamp="now", **RESTORED), [], [], False, id="going already"),
    ],
)
def test_what_is_swept(
    found: dict[str, Any], restores: list[dict[str, Any]], vms: list[dict[str, Any]], goes: bool
) -> None:
    plan = leftovers([found], [], restores, vms, CLUSTER)
    assert [one.found["metadata"]["uid"] for one in plan] == ([found["metadata"]["uid"]] if goes else [])
    assert bool(leftovers([], [found], restores, vms, CLUSTER)) == goes


def test_data_volumes_go_before_their_claims() -> None:
    plan = leftovers([disk(**RESTORED)], [disk(**RESTORED)], [], [], CLUSTER)
    assert [one.resource.plural for one in plan] == ["datavolumes", "persistentvolumeclaims"]


@pytest.mark.parametrize("gap", ["id", "namespace", "uid", "pool", "pool_uid"])
def test_there_is_no_cluster_without_a_whole_identity_to_sweep_by(gap: str) -> None:
    with pytest.raises(ValueError, match="whole identity"):
        replace(CLUSTER, **{gap: ""})
