"""The command without an image, and what a pair is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from boot.__main__ import _addons, main
from boot.command import Hardware
from boot.disks import DiskFailed, overlay
from boot.pair import made_pair, pool_of
from pool.core.errors import InvalidInput
from pool.guest.addons import NO_ADDONS
from tests.boot.seeds import user_data_of

FAKE = """#!/bin/sh
if [ "$1" = info ]; then echo '{"format": "raw"}'; exit; fi
for argument; do disk=$last last=$argument; done
[ "$last" = 20G ] || { echo "Invalid image size: $last" >&2; exit 1; }
echo "$@" >"$disk"
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only ones that are found; one stands in for qemu-img."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("qemu-img", "qemu-system-x86_64"):
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return " ".join(capsys.readouterr().out.split())


def test_without_qemu_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(capsys, "--image", "node.qcow2")
    assert "no qemu-system-x86_64 and no qemu-img on this machine" in said
    assert "apt install qemu-system-x86 qemu-utils" in said


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("arguments", [[], ["--image", "/nowhere/node.qcow2"]])
def test_without_an_image_it_says_where_to_get_one(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert "boot/README.md" in refused(capsys, *arguments)


def test_a_version_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "kubernetesVersion" in refused(capsys, "--kubernetes", "1.34")


def test_a_cut_that_is_at_no_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no place for a power cut: 'soon'" in refused(capsys, "--cut", "soon")


async def test_a_disk_begins_as_its_base_and_is_as_large_as_the_pool_says(tools: Path) -> None:
    disk = tools / "disk.qcow2"
    await overlay(tools / "qemu-img", disk, "20Gi")
    assert disk.read_text().split() == f"create -q -f qcow2 -F raw -b {tools / 'qemu-img'} {disk} 20G".split()


async def test_what_qemu_img_refuses_is_said(tools: Path) -> None:
    with pytest.raises(DiskFailed, match="Invalid image size: 1P"):
        await overlay(tools / "qemu-img", tools / "disk.qcow2", "1Pi")


async def test_each_machine_is_told_the_service_of_the_other(tmp_path: Path) -> None:
    async with made_pair(pool_of("v1.34.1"), NO_ADDONS, Hardware(), tmp_path) as ((control_plane, worker), _):
        for node, peer in ((control_plane, worker), (worker, control_plane)):
            netdev = next(text for path, text in written(node.files.seed).items() if path.endswith("wg0.netdev"))
            assert f"Endpoint=10.0.2.1:{peer.service.port}\n" in netdev


def written(seed: Path) -> dict[str, str]:
    """The files that a seed has cloud-init write."""
    return {file["path"]: file["content"] for file in yaml.safe_load(user_data_of(seed))["write_files"]}


async def test_the_files_of_a_folder_are_its_addons(tmp_path: Path) -> None:
    (tmp_path / "addons").mkdir()
    (tmp_path / "addons" / "prepare.sh").write_text("echo prepared\n")
    addons = _addons(tmp_path / "addons")
    assert addons == {"prepare.sh": "echo prepared\n"}
    async with made_pair(pool_of(), addons, Hardware(), tmp_path) as ((_, worker), _):
        assert any(path.endswith("prepare.sh") for path in written(worker.files.seed))


def test_addons_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no folder of add-ons"):
        _addons(tmp_path / "none")
