"""What users install: the product's wheel has the product, and asks for nothing that only the simulator needs."""

from __future__ import annotations

import email
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

from cks_pool.doctor.rights import GRANTED

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = {"pool", "flows", "gateway", "cks_pool"}
"""Packages of the product, those to come among them."""
READ_AT_RUN_TIME = {"deployments"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return ZipFile(built)


def requirements(project: Path) -> set[str]:
    """Names of what a pyproject.toml asks for."""
    given = tomllib.loads(project.read_text())["project"]["dependencies"]
    return {Requirement(one).name for one in given}


def test_the_wheel_has_every_package_of_the_product_and_nothing_else(wheel: ZipFile) -> None:
    present = {name for name in PRODUCT if (ROOT / name / "__init__.py").exists()}
    top = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert top == present | READ_AT_RUN_TIME


def test_the_wheel_has_what_is_read_at_run_time(wheel: ZipFile) -> None:
    found = [*(ROOT / "deployments" / "templates").rglob("*"), ROOT / "deployments" / "automations.yaml", GRANTED]
    there = {path.relative_to(ROOT).as_posix() for path in found if path.is_file()}
    assert there
    assert there <= set(wheel.namelist())


def test_the_wheel_has_all_that_the_page_is_made_of(wheel: ZipFile) -> None:
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway" / "page").iterdir()}
    assert len(there) > 5
    assert there <= set(wheel.namelist())


def test_the_wheel_has_the_deployments_that_it_makes(wheel: ZipFile) -> None:
    assert wheel.read("flows/prefect.yaml") == (ROOT / "prefect.yaml").read_bytes()


def test_the_wheel_asks_for_nothing_that_only_the_simulator_needs(wheel: ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    asked = {
        Requirement(one).name for one in email.message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist", [])
    }
    assert asked == requirements(ROOT / "pyproject.toml")
    assert asked.isdisjoint({"cks-pool-simulator", "cel-expr-python", "jsonpatch", "orjson"})
