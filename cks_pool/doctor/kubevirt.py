"""KubeVirt and CDI: installed, available, their gates; and whether somebody answers at their webhooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, error, ok, skipped, warning, worst_of
from pool.core.errors import NotFound
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import ENDPOINT_SLICES, Resource
from pool.work.steps import Host

KUBEVIRT = Resource("kubevirt.io", "v1", "kubevirts", "KubeVirt")
CDI = Resource("cdi.kubevirt.io", "v1beta1", "cdis", "CDI", namespaced=False)
ADMISSION = ("admissionregistration.k8s.io", "v1")
WEBHOOKS = (
    Resource(*ADMISSION, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False),
    Resource(*ADMISSION, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False),
)
GROUPS = frozenset({"kubevirt.io", "snapshot.kubevirt.io", "subresources.kubevirt.io", "cdi.kubevirt.io"})
"""API groups that the pool's work goes through."""
SNAPSHOT = "Snapshot"
"""KubeVirt's feature gate of snapshots; on by default since it is Beta, off where it is among the disabled ones."""


@dataclass(frozen=True)
class Operator:
    """KubeVirt or CDI. `installed`: its API is there; `told`: its own resource is, which says how it is."""

    name: str
    installed: bool
    told: bool = False
    phase: str = ""
    version: str = ""
    available: str = ""
    message: str = ""
    enabled: tuple[str, ...] = field(default=())
    disabled: tuple[str, ...] = field(default=())


async def look_operator(resource: Resource, host: Host) -> Operator:
    """What the operator's own resource says; there is one of it."""
    try:
        served = await host.kube.request("GET", f"/apis/{resource.api_version}")
    except NotFound:
        return Operator(resource.kind, installed=False)
    if resource.plural not in {one["name"] for one in served.get("resources") or []}:
        return Operator(resource.kind, installed=True)
    found = await host.kube.list(resource)
    if not found:
        return Operator(resource.kind, installed=False)
    return operator_of(resource.kind, found[0])


def operator_of(name: str, obj: Object) -> Operator:
    """What is read of a KubeVirt or CDI resource. Pure."""
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    available: Object = next((one for one in status.get("conditions") or [] if one["type"] == "Available"), {})
    developer = (spec.get("configuration") or {}).get("developerConfiguration") or {}
    return Operator(
        name,
        installed=True,
        told=True,
        phase=str(status.get("phase", "")),
        version=str(status.get("observedKubeVirtVersion") or status.get("observedVersion") or ""),
        available=str(available.get("status", "")),
        message=str(available.get("message") or available.get("reason") or ""),
        enabled=tuple(developer.get("featureGates") or (spec.get("config") or {}).get("featureGates") or ()),
        disabled=tuple(developer.get("disabledFeatureGates") or ()),
    )


def judge_operator(found: Operator) -> Verdict:
    """Deployed and available, with snapshots."""
    name = found.name
    if not found.installed:
        return error(f"{name} is not installed", f"install {name} on the host cluster")
    if not found.told:
        return skipped(f"its API is served, and no resource {name} that says how it is (an emulated host?)")
    text = f"{name} {found.version or 'of an unknown version'} {found.phase or 'without a phase'}"
    if found.phase != "Deployed" or found.available != "True":
        why = f", Available {found.available or 'unknown'}: {found.message}" if found.available != "True" else ""
        return error(f"{text}{why}", f"kubectl describe {name.lower()} -A says why")
    gates = f", gates {', '.join(found.enabled)}" if found.enabled else ""
    if SNAPSHOT in found.disabled:
        return error(f"{text}, gate {SNAPSHOT} disabled", f"take {SNAPSHOT} out of disabledFeatureGates")
    return ok(f"{text}{gates}")


@dataclass(frozen=True)
class Webhook:
    """A webhook that the pool's work goes through, and how many ready endpoints its service has."""

    name: str
    service: str
    ready: int
    required: bool
    """Requests fail without it."""


async def look_webhooks(host: Host) -> list[Webhook]:
    """KubeVirt's and CDI's webhooks, as the API server calls them."""
    listed = await gather(host.kube.list(resource) for resource in WEBHOOKS)
    hooks = list(_concerning([obj for found in listed for obj in found]))
    services = sorted({_service(hook) for hook in hooks})
    counts = dict(zip(services, await gather(_ready(host.kube, one) for one in services), strict=True))
    return [
        Webhook(hook["name"], "/".join(_service(hook)), counts[_service(hook)], hook.get("failurePolicy") != "Ignore")
        for hook in hooks
    ]


def _concerning(configurations: Sequence[Object]) -> Iterator[Object]:
    for configuration in configurations:
        for hook in configuration.get("webhooks") or []:
            groups = {group for rule in hook.get("rules") or [] for group in rule.get("apiGroups") or []}
            if groups & GROUPS and "service" in hook["clientConfig"]:
                yield hook


def _service(hook: Object) -> tuple[str, str]:
    service = hook["clientConfig"]["service"]
    return service["namespace"], service["name"]


async def _ready(kube: Kube, service: tuple[str, str]) -> int:
    namespace, name = service
    slices = await kube.list(ENDPOINT_SLICES, namespace, labels=f"kubernetes.io/service-name={name}")
    endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or []]
    # Kubernetes: not said counts as ready.
    return sum((endpoint.get("conditions") or {}).get("ready") is not False for endpoint in endpoints)


def judge_webhooks(found: Sequence[Webhook]) -> Verdict:
    """Somebody answers at each."""
    if not found:
        return skipped("no webhook of KubeVirt or CDI is registered here")
    dead = [hook for hook in found if not hook.ready]
    if not dead:
        return ok(f"{len(found)} of KubeVirt and CDI, each with an endpoint that is ready")
    return worst_of([_dead(hook) for hook in dead])


def _dead(hook: Webhook) -> Verdict:
    namespace, _, name = hook.service.partition("/")
    text = f"nobody answers at webhook {hook.name} (service {hook.service})"
    cure = f"kubectl -n {namespace} get pods shows whether those of {name} run"
    return error(text, cure) if hook.required else warning(text, cure)


CHECKS = (
    Check("kubevirt", partial(look_operator, KUBEVIRT), judge_operator),
    Check("cdi", partial(look_operator, CDI), judge_operator),
    Check("webhooks", look_webhooks, judge_webhooks),
)
