"""What roles and their bindings have to be (Kubernetes: pkg/apis/rbac/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause, required, unsupported
from simulator.api.values import shown

Obj = dict[str, Any]
_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("ServiceAccount", "User", "Group")


def role(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a Role."""
    rules = enumerate(obj.get("rules") or [])
    return [cause for index, rule in rules for cause in _rule(rule, f"rules[{index}]", namespaced=True)]


def cluster_role(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a ClusterRole."""
    rules = enumerate(obj.get("rules") or [])
    return [cause for index, rule in rules for cause in _rule(rule, f"rules[{index}]", namespaced=False)]


def _rule(rule: Obj, path: str, *, namespaced: bool) -> Iterator[Cause]:
    urls = rule.get("nonResourceURLs") or []
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    if urls:
        if namespaced:
            said = "namespaced rules cannot apply to non-resource URLs"
            yield Cause(f"{path}.nonResourceURLs", f"Invalid value: {shown(urls)}: {said}")
        if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            said = "rules cannot apply to both regular resources and non-resource URLs"
            yield Cause(f"{path}.nonResourceURLs", f"Invalid value: {shown(urls)}: {said}")
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def role_binding(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a RoleBinding."""
    return list(_binding(obj, old, ("Role", "ClusterRole"), namespaced=True))


def cluster_role_binding(obj: Obj, old: Obj | None) -> list[Cause]:
    """What is wrong with a ClusterRoleBinding."""
    return list(_binding(obj, old, ("ClusterRole",), namespaced=False))


def _binding(obj: Obj, old: Obj | None, kinds: tuple[str, ...], *, namespaced: bool) -> Iterator[Cause]:
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _GROUP:
        yield unsupported("roleRef.apiGroup", reference.get("apiGroup"), (_GROUP,))
    if reference.get("kind", "") not in kinds:
        yield unsupported("roleRef.kind", reference.get("kind", ""), kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(obj.get("subjects") or []):
        yield from _subject(subject, f"subjects[{index}]", namespaced=namespaced)
    if old is not None and reference != old.get("roleRef"):
        yield Cause("roleRef", f"Invalid value: {shown(reference)}: cannot change roleRef")


def _subject(subject: Obj, path: str, *, namespaced: bool) -> Iterator[Cause]:
    kind = subject.get("kind", "")
    if not subject.get("name"):
        yield required(f"{path}.name")
    if kind not in _SUBJECTS:
        yield unsupported(f"{path}.kind", kind, _SUBJECTS)
        return
    group = "" if kind == "ServiceAccount" else _GROUP
    if subject.get("apiGroup", "") != group:
        yield unsupported(f"{path}.apiGroup", subject.get("apiGroup", ""), (group,))
    if kind == "ServiceAccount" and not subject.get("namespace") and not namespaced:
        yield required(f"{path}.namespace")
