"""What users install: the simulator's wheel has the package with the files that it reads at run time."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

FOLDER = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(FOLDER)).build(directory=str(folder), versions=["standard"])
    return ZipFile(built)


def test_the_wheel_has_the_package_and_nothing_else(wheel: ZipFile) -> None:
    assert {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name} == {"simulator"}


def test_the_wheel_has_every_file_of_the_package(wheel: ZipFile) -> None:
    source = FOLDER / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= set(wheel.namelist())


def test_the_wheel_installs_a_command(wheel: ZipFile) -> None:
    (scripts,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "cks-pool-simulator = simulator.__main__:main" in wheel.read(scripts).decode()
