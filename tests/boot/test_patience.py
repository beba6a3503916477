from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from boot.command import Hardware
from boot.pair import made_pair, pool_of
from boot.patience import patient
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
    assert after == before
    assert changed.startswith("#cloud-config\n")
    assert [document["kind"] for document in documents] == kinds
    assert documents[0]["timeouts"]["discovery"] == "1h0m0s"
