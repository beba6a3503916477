from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from boot.command import Hardware
from boot.pair import made_pair, pool_of
from boot.patience import PATCHES, patient
from tests.boot.seeds import user_data_of


def files_of(user_data: str) -> dict[str, Any]:
    return {file["path"]: file for file in yaml.safe_load(user_data)["write_files"]}


@pytest.mark.parametrize(
    ("number", "kinds"), [(0, ["InitConfiguration", "ClusterConfiguration"]), (1, ["JoinConfiguration"])]
)
async def test_kubeadm_waits_longer_on_emulated_processors_and_nothing_else_is_changed(
    tmp_path: Path, number: int, kinds: list[str]
) -> None:
    async with made_pair(pool_of(), {"prepare.sh": "true\n"}, Hardware(), tmp_path) as (nodes, _):
        rendered = user_data_of(nodes[number].files.seed)
    changed = patient(rendered)
    before, after = files_of(rendered), files_of(changed)
    documents = list(yaml.safe_load_all(after.pop("/etc/cks/kubeadm.yaml")["content"]))
    del before["/etc/cks/kubeadm.yaml"]
    assert {path: file for path, file in after.items() if not path.startswith(PATCHES)} == before
    assert changed.startswith("#cloud-config\n")
    assert [document["kind"] for document in documents] == kinds
    assert documents[0]["timeouts"]["discovery"] == "1h0m0s"


async def test_no_kubelet_ends_a_part_of_the_control_plane_that_is_slow_on_emulated_processors(tmp_path: Path) -> None:
    async with made_pair(pool_of(), {}, Hardware(), tmp_path) as (nodes, _):
        control_plane, worker = (files_of(patient(user_data_of(node.files.seed))) for node in nodes)
    init = next(yaml.safe_load_all(control_plane["/etc/cks/kubeadm.yaml"]["content"]))
    patches = {
        path: yaml.safe_load(file["content"]) for path, file in control_plane.items() if path.startswith(PATCHES)
    }
    assert init["patches"] == {"directory": PATCHES}
    assert set(patches) == {
        f"{PATCHES}/{part}+strategic.yaml"
        for part in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    for path, patch in patches.items():
        (container,) = patch["spec"]["containers"]
        assert path == f"{PATCHES}/{container['name']}+strategic.yaml"
        # An hour, as kubeadm waits.
        assert container["livenessProbe"]["failureThreshold"] * 10 == 3600
    assert not any(path.startswith(PATCHES) for path in worker)
