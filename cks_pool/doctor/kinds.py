"""The pool's own kinds: installed, served, and those of this version."""

from __future__ import annotations

from dataclasses import dataclass

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, error, ok, worst_of
from pool.core.crds import definitions
from pool.kube.client import Object
from pool.kube.gather import gather
from pool.kube.resources import CRDS
from pool.work.namespaces.installed import says
from pool.work.steps import Host

CURE = "kubectl apply -f deployments/crds, or cks-pool run create-namespaces as the installer"


@dataclass(frozen=True)
class Kind:
    """One of our kinds on the host. `current`: it has all that this version needs."""

    name: str
    versions: tuple[str, ...]
    there: bool
    served: bool
    current: bool


async def look_kinds(host: Host) -> list[Kind]:
    """Our kinds as they are installed."""
    wanted = definitions()
    found = await gather(host.kube.find(CRDS, one["metadata"]["name"]) for one in wanted)
    return [_kind(one, there) for one, there in zip(wanted, found, strict=True)]


def _kind(wanted: Object, found: Object | None) -> Kind:
    spec = (found or wanted)["spec"]
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    served = any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
    versions = tuple(version["name"] for version in spec["versions"])
    current = found is not None and says(found["spec"], wanted["spec"])
    return Kind(wanted["metadata"]["name"], versions, found is not None, served, current)


def judge_kinds(found: list[Kind]) -> Verdict:
    """Every kind in this version."""
    return worst_of([_judge(kind) for kind in found])


def _judge(kind: Kind) -> Verdict:
    if not kind.there:
        return error(f"{kind.name} is not installed", CURE)
    if not kind.served:
        return error(f"{kind.name} is not served", "kubectl describe crd says why")
    if not kind.current:
        return error(f"{kind.name} is of another version of cks-pool", CURE)
    return ok(f"{kind.name} {', '.join(kind.versions)}")


CHECKS = (Check("crds", look_kinds, judge_kinds),)
