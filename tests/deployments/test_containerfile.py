"""The image's recipe fits the wheel, the lock and the manifests; that it can be built is `test_image`'s."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.deployments.overlays import OVERLAYS, containers, pods
from tests.pool.kubectl import needed

ROOT = OVERLAYS.parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = re.sub(r"\\\n", " ", (ROOT / "deployments" / "image" / "Containerfile").read_text())


def said(instruction: str) -> list[str]:
    """What the recipe says behind each such instruction."""
    return [
        line.removeprefix(instruction).strip() for line in RECIPE.splitlines() if line.startswith(f"{instruction} ")
    ]


def test_it_takes_along_all_that_the_wheel_is_made_of() -> None:
    copied = {name for line in said("COPY") if "--from=" not in line for name in line.split()[:-1]}
    assert not [name for name in copied if not (ROOT / name).exists()]
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    members = {f"{name}/pyproject.toml" for name in PROJECT["tool"]["uv"]["workspace"]["members"]}
    needed = {*wheel["packages"], *wheel["force-include"], *members, PROJECT["project"]["readme"], "uv.lock"}
    assert not [name for name in needed if not any(name == one or name.startswith(f"{one}/") for one in copied)]


def test_a_build_is_sent_what_it_takes_along_and_nothing_else() -> None:
    copied = {name for line in said("COPY") if "--from=" not in line for name in line.split()[:-1]}
    for ignore in (".containerignore", ".dockerignore"):
        lines = [line for line in (ROOT / ignore).read_text().splitlines() if not line.startswith("#")]
        assert lines[0] == "*"
        assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied, ignore


def test_it_installs_from_the_lock_and_nothing_that_is_for_development() -> None:
    commands = [words for line in said("RUN") for words in re.findall(r"uv (sync|export) ([^|&]*)", line)]
    assert [name for name, _ in commands] == ["sync", "sync", "export"]
    assert all({"--frozen", "--no-dev"} <= set(options.split()) for _, options in commands)
    assert all("--require-hashes" in line for line in said("RUN") if "pip install" in line)


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    version = PROJECT["project"]["version"]
    base = ROOT / "deployments" / "base"
    jobs = [one for one in yaml.safe_load_all((base / "setup.yaml").read_text()) if one["kind"] == "Job"]
    assert re.findall(r'image\.version="(.*?)"', RECIPE) == [version]
    assert [one["metadata"]["name"] for one in jobs] == [f"cks-pool-setup-{version.replace('.', '-')}"]


@needed
@pytest.mark.parametrize("overlay", ["complete", "own-prefect"])
def test_what_the_manifests_run_is_what_it_starts_as_whom_it_is_made_for(overlay: str) -> None:
    assert said("ENTRYPOINT") == ['["cks-pool"]']
    assert "cks-pool" in PROJECT["project"]["scripts"]
    ours = [(pod, one) for _, pod in pods(overlay) for one in containers(pod) if one["image"].startswith("cks-pool")]
    assert {one["image"] for _, one in ours} == {f"cks-pool:{PROJECT['project']['version']}"}
    for pod, one in ours:
        context = pod["spec"]["securityContext"]
        assert said("USER") == [f"{context['runAsUser']}:{context['runAsGroup']}"], one["name"]
        assert one.get("args") or one["command"][0] == "prefect", one["name"]
        assert "/tmp" in {mount["mountPath"] for mount in one["volumeMounts"]}, one["name"]
