"""The pool's own kinds: installed, served, and those of this version."""

from __future__ import annotations

from dataclasses import dataclass

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, error, ok, warning, worst_of
from pool.core.crds import SCHEMA, definitions
from pool.core.resource import VERSION
from pool.kube.client import Object
from pool.kube.gather import gather
from pool.kube.resources import CRDS
from pool.work.namespaces.installed import says
from pool.work.namespaces.kinds import schema_of
from pool.work.steps import Host

CURE = "bring them up: kubectl apply -k deployments/crds (docs/upgrade.md)"


@dataclass(frozen=True)
class Kind:
    """One of our kinds on the host. `versions`: those served; `current`: it has all that ours has."""

    name: str
    there: bool = True
    established: bool = True
    versions: tuple[str, ...] = (VERSION,)
    schema: int = SCHEMA
    current: bool = True


async def look_kinds(host: Host) -> list[Kind]:
    """Our kinds as they are installed."""
    wanted = definitions()
    found = await gather(host.kube.find(CRDS, one["metadata"]["name"]) for one in wanted)
    return [_kind(one, there) for one, there in zip(wanted, found, strict=True)]


def _kind(wanted: Object, found: Object | None) -> Kind:
    name = wanted["metadata"]["name"]
    if found is None:
        return Kind(name, there=False)
    conditions = (found.get("status") or {}).get("conditions") or []
    return Kind(
        name,
        established=any(one["type"] == "Established" and one["status"] == "True" for one in conditions),
        versions=tuple(version["name"] for version in found["spec"]["versions"] if version["served"]),
        schema=schema_of(found),
        current=says(found["spec"], wanted["spec"]),
    )


def judge_kinds(found: list[Kind]) -> Verdict:
    """Every kind, of this code's schema or a newer one: in an upgrade the kinds come first."""
    return worst_of([_judge(kind) for kind in found])


def _judge(kind: Kind) -> Verdict:
    if not kind.there:
        return error(f"{kind.name} is not installed", CURE)
    if not kind.established:
        return error(f"{kind.name} is not served", "kubectl describe crd says why")
    if VERSION not in kind.versions:
        return error(f"{kind.name} serves {', '.join(kind.versions)}, not {VERSION}", "use the newer cks-pool")
    if kind.schema < SCHEMA:
        return error(f"{kind.name} has schema {kind.schema}, this cks-pool needs {SCHEMA}", CURE)
    if kind.schema > SCHEMA:
        return ok(f"{kind.name} {VERSION} of the newer schema {kind.schema}")
    if not kind.current:
        return warning(f"{kind.name} was changed by hand: it is not as schema {SCHEMA} is", CURE)
    return ok(f"{kind.name} {VERSION}")


CHECKS = (Check("crds", look_kinds, judge_kinds),)
