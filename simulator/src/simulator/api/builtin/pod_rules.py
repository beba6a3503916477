"""What pods have to be, as far as launchers, importers and what people run beside them go
(Kubernetes: pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause, required, unsupported
from simulator.api.names import name_causes
from simulator.api.values import shown

Obj = dict[str, Any]
_CHANGES = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_POLICIES = {
    "restartPolicy": ("Always", "Never", "OnFailure"),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
}
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def pod(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a Pod."""
    spec = obj["spec"]
    causes = list(pod_spec(spec, "spec"))
    if old is not None and _fixed(spec) != _fixed(old["spec"]):
        causes.append(Cause("spec", _CHANGES, "FieldValueForbidden"))
    return causes


def pod_spec(spec: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with the spec of a pod, or of a template of pods."""
    volumes = [volume.get("name") or "" for volume in spec.get("volumes") or []]
    for index, name in enumerate(volumes):
        yield from _named(name, f"{path}.volumes[{index}].name", volumes[:index])
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    names: list[str] = []
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or []):
            yield from _container(container, f"{path}.{field}[{index}]", names, volumes)
            names.append(container.get("name") or "")
    for field, choice in _POLICIES.items():
        if spec.get(field) not in choice:
            yield unsupported(f"{path}.{field}", spec.get(field), choice)


def _named(name: str, path: str, others: list[str]) -> Iterator[Cause]:
    if not name:
        yield required(path)
        return
    yield from name_causes(name, "label", path)
    if name in others:
        yield Cause(path, f"Duplicate value: {shown(name)}", "FieldValueDuplicate")


def _container(container: Obj, path: str, names: list[str], volumes: list[str]) -> Iterator[Cause]:
    yield from _named(container.get("name") or "", f"{path}.name", names)
    if not container.get("image"):
        yield required(f"{path}.image")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        at = f"{path}.volumeMounts[{index}]"
        if not mount.get("name"):
            yield required(f"{at}.name")
        elif mount["name"] not in volumes:
            yield Cause(f"{at}.name", f"Not found: {shown(mount['name'])}", "FieldValueNotFound")
        if not mount.get("mountPath"):
            yield required(f"{at}.mountPath")
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        yield unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)


def _fixed(spec: Obj) -> Obj:
    """What of a pod's spec never changes; its node is changed by binding only."""
    free = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates")
    kept = {key: value for key, value in spec.items() if key not in free}
    for field in ("containers", "initContainers"):
        kept[field] = [{**one, "image": ""} for one in spec.get(field) or []]
    return kept
