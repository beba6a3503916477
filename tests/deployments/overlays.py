"""What `kubectl apply -k` is given, as kubectl builds it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pool.kube.client import Object

OVERLAYS = Path(__file__).resolve().parents[2] / "deployments" / "overlays"
NAMES = sorted(path.name for path in OVERLAYS.iterdir())


@cache
def built(overlay: str) -> list[Object]:
    """The overlay's manifests."""
    made = subprocess.run(["kubectl", "kustomize", OVERLAYS / overlay], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(made.stdout))


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
