from __future__ import annotations

import io
import json
from pathlib import Path

import pycdlib
import pytest

from boot.seed import write_seed

USER_DATA = "#cloud-config\nhostname: cp-boot1\n" + "# long\n" * 1000


@pytest.fixture
def seed(tmp_path: Path) -> pycdlib.PyCdlib:
    path = tmp_path / "seed.iso"
    write_seed(path, instance_id="a-uuid", hostname="cp-boot1", user_data=USER_DATA, network_data="version: 2\n")
    image = pycdlib.PyCdlib()
    image.open(str(path))
    yield image
    image.close()


def text_of(seed: pycdlib.PyCdlib, **path: str) -> str:
    content = io.BytesIO()
    seed.get_file_from_iso_fp(content, **path)
    return content.getvalue().decode()


def test_it_is_the_volume_that_cloud_init_looks_for(seed: pycdlib.PyCdlib) -> None:
    assert seed.pvd.volume_identifier.decode().strip() == "cidata"


@pytest.mark.parametrize("reader", ["rr_path", "joliet_path"])
def test_its_files_have_their_names_and_their_text(seed: pycdlib.PyCdlib, reader: str) -> None:
    assert text_of(seed, **{reader: "/user-data"}) == USER_DATA
    assert text_of(seed, **{reader: "/network-config"}) == "version: 2\n"
    meta = json.loads(text_of(seed, **{reader: "/meta-data"}))
    assert meta == {"instance-id": "a-uuid", "local-hostname": "cp-boot1"}
