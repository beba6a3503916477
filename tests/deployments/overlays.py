"""What `kubectl apply -k` is given, as kubectl builds it: the overlays, components on one, and the documents' own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from pool.kube.client import Object

ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENTS = ROOT / "deployments"
OVERLAYS = DEPLOYMENTS / "overlays"
OWN = "own"
"""The overlay that docs/install.md shows with all that may stand there."""
NAMES = [*sorted(path.name for path in OVERLAYS.iterdir()), "complete+ingress", "complete+priority", OWN]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown(kind: str, page: str = "install.md") -> list[str]:
    """The manifests of that kind that a page shows."""
    blocks = YAML.findall((ROOT / "docs" / page).read_text())
    return [block for block in blocks if yaml.safe_load(block)["kind"] == kind]


@contextmanager
def folder_of(overlay: str) -> Iterator[Path]:
    """Where kubectl finds it, `rbac` too; one that is not shipped in a folder beside those that are."""
    if overlay == "rbac":
        yield DEPLOYMENTS / overlay
        return
    if overlay in (path.name for path in OVERLAYS.iterdir()):
        yield OVERLAYS / overlay
        return
    with TemporaryDirectory() as made:
        own = Path(made) / "overlays" / "own"
        own.mkdir(parents=True)
        for path in (*OVERLAYS.iterdir(), DEPLOYMENTS / "components"):
            (Path(made) / path.relative_to(DEPLOYMENTS)).symlink_to(path)
        (ingress,) = shown("ConfigMap")
        (own / "ingress.yaml").write_text(ingress)
        (notify,) = shown("NetworkPolicy", "operate.md")
        (own / "notify.yaml").write_text(notify)
        (own / "kustomization.yaml").write_text(shown("Kustomization")[-1] if overlay == OWN else _with(overlay))
        yield own


def _with(overlay: str) -> str:
    on, component = overlay.split("+")
    resources = [f"../{on}", *(["ingress.yaml"] if component == "ingress" else [])]
    components = [f"../../components/{component}"]
    return yaml.safe_dump({"sortOptions": {"order": "fifo"}, "resources": resources, "components": components})


@cache
def manifests(overlay: str) -> str:
    """The overlay's manifests."""
    with folder_of(overlay) as folder:
        return subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True).stdout


@cache
def built(overlay: str) -> list[Object]:
    """The same, read."""
    return list(yaml.safe_load_all(manifests(overlay)))


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    """Those of these kinds."""
    return [obj for obj in built(overlay) if obj["kind"] in kinds]


def pods(overlay: str) -> Iterator[tuple[str, Object]]:
    """Name of each workload, and its pods' template."""
    for obj in of_kind(overlay, "Deployment", "StatefulSet", "Job"):
        yield obj["metadata"]["name"], obj["spec"]["template"]


def containers(template: Object) -> list[dict[str, Any]]:
    """All of a pod's containers, those that run before the others as well."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
