"""What the release before left on a host: its definitions, and objects as its own code wrote them.

`previous/` is made anew at each release, from the release before it: `crds/` are its deployments/crds as they were,
`objects.yaml` a Pool, clusters in every phase and sessions in every phase, listed from an API server with their status
(`kubectl get -o yaml`, without managedFields and resourceVersion).
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pool.core.clusters import PooledCluster
from pool.core.pools import Pool
from pool.core.sessions import Session
from pool.kube.client import Kube, Object
from pool.kube.resources import CRDS, NAMESPACES, POOLED_CLUSTERS, POOLS, SESSIONS
from pool.kube.watching import Watching
from simulator.app import Simulator

PREVIOUS = Path(__file__).parent / "previous"
LAST_WRITE = datetime(2026, 11, 29, 2, 21, 29, tzinfo=UTC)
"""When the release before wrote for the last time."""
KINDS = {one.kind: one for one in (POOLS, POOLED_CLUSTERS, SESSIONS)}
MODELS: dict[str, type[Pool | PooledCluster | Session]] = {
    "Pool": Pool,
    "PooledCluster": PooledCluster,
    "Session": Session,
}


@cache
def previous_definitions() -> list[Object]:
    """The CustomResourceDefinitions of the release before. Shared by all callers, not to be changed."""
    return [yaml.safe_load(path.read_text()) for path in sorted((PREVIOUS / "crds").glob("*.yaml"))]


@cache
def previous_objects() -> list[Object]:
    """What it wrote. Shared by all callers, not to be changed."""
    return list(yaml.safe_load_all((PREVIOUS / "objects.yaml").read_text()))


async def apply(kube: Kube, watching: Watching, definitions: list[Object]) -> None:
    """As `kubectl apply -f`: labels of the applier before go where this one has none."""
    for wanted in definitions:
        name = wanted["metadata"]["name"]
        if await kube.find(CRDS, name) is not None and "cks.io/schema" not in wanted["metadata"]["labels"]:
            await kube.patch(CRDS, name, {"metadata": {"labels": {"cks.io/schema": None}}})
        await kube.apply(CRDS, deepcopy(wanted), force=True)
        await watching.until(CRDS, name, None, _established, timeout=10, what="it to be served")


async def restore_previous(simulator: Simulator, kube: Kube, watching: Watching) -> None:
    """A host as the release before left it, as its etcd has it: UIDs and status too."""
    await kube.create(NAMESPACES, NAMESPACES.manifest("cks-pool"))
    await apply(kube, watching, previous_definitions())
    for obj in deepcopy(previous_objects()):
        kind, meta = KINDS[obj["kind"]], obj["metadata"]
        simulator.api.store.put((kind.group, kind.plural), (meta["namespace"], meta["name"]), obj, expected=None)


def fields(schema: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Every field of a schema by its path, with the values that it may have if they are told."""
    found: dict[str, Any] = {path: frozenset(schema.get("enum") or ())} if path else {}
    for name, child in (schema.get("properties") or {}).items():
        found |= fields(child, f"{path}.{name}")
    if "items" in schema:
        found |= fields(schema["items"], f"{path}[]")
    return found


def schema_in(definition: Object) -> dict[str, Any]:
    """The schema of the one version that a definition has."""
    (version,) = definition["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def _established(crd: Object | None) -> bool | None:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return True if any(c["type"] == "Established" and c["status"] == "True" for c in conditions) else None
