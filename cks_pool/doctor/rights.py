"""What this identity may do of what the worker must, by the files that grant it: there is no second list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cks_pool.doctor.checking import Check
from cks_pool.doctor.connection import identity
from cks_pool.doctor.findings import Verdict, error, ok, skipped, warning
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.work.steps import Host

GRANTED = Path(__file__).resolve().parents[2] / "deployments" / "rbac" / "3-worker.yaml"
ACCOUNT = "cks-pool"
"""The worker's ServiceAccount."""
IN_CLUSTERS = "cks-pool-cluster"
"""The role that the worker binds itself to in each cluster's namespace."""
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AT_ONCE = 20
SHOWN = 5


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource. `namespace` empty: in all of them; `name` empty: any object."""

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        of = f" {self.name}" if self.name else ""
        return f"{self.verb} {kind}{of}{f' in {self.namespace}' if self.namespace else ''}"


@dataclass(frozen=True)
class Rights:
    """Who we are, how many rights the worker needs, and which of them we lack."""

    user: str
    needed: int
    missing: Sequence[Right]


def needed(manifests: Sequence[Object], settings: Settings, cluster_namespace: str | None) -> list[Right]:
    """What the manifests grant the worker, in the namespaces that the settings name. Pure.

    `cluster_namespace`: of some cluster, for what the worker may do in such (None: there is none yet).
    """
    roles = {(one["kind"], one["metadata"]["name"]): one["rules"] for one in manifests if "rules" in one}
    found = set()
    for binding in (one for one in manifests if "roleRef" in one):
        if any(subject["name"] == ACCOUNT for subject in binding["subjects"]):
            reference = binding["roleRef"]
            namespace = _namespace(binding, settings)
            found |= set(_rights(roles[reference["kind"], reference["name"]], namespace))
    if cluster_namespace is not None:
        found |= set(_rights(roles["ClusterRole", IN_CLUSTERS], cluster_namespace))
    return sorted(found)


def _namespace(binding: Object, settings: Settings) -> str:
    """The binding's namespace as this installation calls it; the files have the settings' defaults."""
    fields = Settings.model_fields
    ours = {
        fields["namespace"].default: settings.namespace,
        fields["templates_namespace"].default: settings.templates_namespace,
    }
    written = binding["metadata"].get("namespace", "")
    return str(ours.get(written, written))


def _rights(rules: Sequence[Mapping[str, Any]], namespace: str) -> Iterator[Right]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield Right(namespace, group, resource, verb, name)


async def look_rights(host: Host) -> Rights | None:
    """Each right of the worker, asked for. None where the files are not there."""
    if not GRANTED.exists():
        return None
    manifests = [one for one in yaml.safe_load_all(GRANTED.read_text()) if one]
    clusters = await host.state.clusters()
    rights = needed(manifests, host.settings, clusters[0].spec.namespace if clusters else None)
    gate = asyncio.Semaphore(AT_ONCE)

    async def asked(right: Right) -> bool:
        async with gate:
            return await allowed(host.kube, right)

    answers = await asyncio.gather(*(asked(right) for right in rights))
    missing = [right for right, yes in zip(rights, answers, strict=True) if not yes]
    return Rights(await identity(host.kube), len(rights), missing)


async def allowed(kube: Kube, right: Right) -> bool:
    """Whether the server says that we may."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "namespace": right.namespace,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": right.verb,
        "name": right.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    return bool(((await kube.request("POST", REVIEWS, None, review)).get("status") or {}).get("allowed"))


def judge_rights(found: Rights | None) -> Verdict:
    """A worker without a right fails; anybody else can do less, which may be meant."""
    if found is None:
        return skipped(f"{GRANTED} is not there to compare with")
    if not found.missing:
        return ok(f"{found.user or 'this identity'} may do all {found.needed} things that the worker must")
    more = len(found.missing) - SHOWN
    listed = ", ".join(str(right) for right in found.missing[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    text = f"{found.user or 'this identity'} may not {listed}"
    if found.user.endswith(f":{ACCOUNT}"):
        return error(text, "kubectl apply -k deployments/rbac")
    token = f"kubectl create token {ACCOUNT}"
    return warning(
        text, f"fine for looking; work needs it: {token} is the worker's identity, or apply deployments/rbac"
    )


CHECKS = (Check("rights", look_rights, judge_rights),)
