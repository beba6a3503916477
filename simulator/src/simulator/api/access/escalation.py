"""Nobody grants rights that they do not hold themselves: roles need `escalate` for that, bindings `bind`.

The rules are those of Kubernetes' RBAC registry (`policybased` storages and `ConfirmNoEscalation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from simulator.api.access.rbac import GROUP, MASTERS, Authorizer
from simulator.api.admission import AdmissionRequest
from simulator.api.errors import forbidden, not_found
from simulator.api.requests import Target

Obj = dict[str, Any]
_ROLES = ("roles", "clusterroles")
_BINDINGS = ("rolebindings", "clusterrolebindings")
_FULL = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
_PARTS = {
    "apiGroups": "APIGroups",
    "resources": "Resources",
    "nonResourceURLs": "NonResourceURLs",
    "resourceNames": "ResourceNames",
    "verbs": "Verbs",
}


class Escalation:
    """An admission hook for roles and bindings."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def __call__(self, request: AdmissionRequest) -> None:
        """Raises ApiError 403 when rights would be granted that the caller does not hold, 404 for a role unknown."""
        writes = request.operation in ("CREATE", "UPDATE")
        if request.gvr.group != GROUP or not writes or MASTERS in request.user.groups:
            return
        if request.gvr.plural in _ROLES:
            self._role(request)
        elif request.gvr.plural in _BINDINGS:
            self._binding(request)

    def _role(self, request: AdmissionRequest) -> None:
        role = request.object
        if _frees_only(role, request.old_object):
            return
        name = request.name if request.operation == "UPDATE" else ""
        if self._may(request, "escalate", request.gvr.plural, name):
            return
        self._held(request, role.get("rules") or [])
        if role.get("aggregationRule") and any(self._missing(request, _FULL)):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(GROUP, request.gvr.plural, request.name, why)

    def _binding(self, request: AdmissionRequest) -> None:
        binding = request.object
        reference = binding.get("roleRef") or {}
        if _frees_only(binding, request.old_object):
            return
        plural = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        if self._may(request, "bind", plural, reference.get("name", "")):
            return
        rules = self._authorizer.rules_of(reference, request.namespace)
        if rules is None:
            # It is told as one of the kind that is written.
            raise not_found(GROUP, request.gvr.plural, reference.get("name", ""))
        self._held(request, rules)

    def _may(self, request: AdmissionRequest, verb: str, plural: str, name: str) -> bool:
        target = Target(verb, GROUP, request.gvr.version, plural, request.namespace, name)
        return self._authorizer.decide(request.user, target).allowed

    def _held(self, request: AdmissionRequest, rules: list[Obj]) -> None:
        missing = list(self._missing(request, rules))
        if not missing:
            return
        listed = "\n".join(sorted({_shown(rule) for rule in _compact(missing)}))
        whom = f'user "{request.user.name}" (groups={_quoted(request.user.groups)})'
        why = f"{whom} is attempting to grant RBAC permissions not currently held:\n{listed}"
        raise forbidden(GROUP, request.gvr.plural, request.name, why)

    def _missing(self, request: AdmissionRequest, rules: list[Obj]) -> Iterator[Obj]:
        """The single rights among `rules` that the caller does not hold there."""
        owned = [rule for rule, _ in self._authorizer.rules(request.user, request.namespace)]
        for rule in rules:
            for part in _broken_down(rule):
                if not any(covers(one, part) for one in owned):
                    yield part


def _frees_only(obj: Obj, old: Obj | None) -> bool:
    """Whether an update changes but what the garbage collector must change to remove it."""
    return old is not None and _lasting(obj) == _lasting(old)


def _lasting(obj: Obj) -> Obj:
    passing = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in passing}}


def _broken_down(rule: Obj) -> Iterator[Obj]:
    """One group, resource, verb and name each, or one path and verb."""
    verbs, names = rule.get("verbs") or [], rule.get("resourceNames") or []
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            for verb in verbs:
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                yield from ({**part, "resourceNames": [name]} for name in names) if names else [part]
    for path in rule.get("nonResourceURLs") or []:
        for verb in verbs:
            yield {"nonResourceURLs": [path], "verbs": [verb]}


def covers(rule: Obj, part: Obj) -> bool:
    """Whether whoever has `rule` has the single right `part`."""
    if not _has(rule, "verbs", part["verbs"][0]):
        return False
    if "nonResourceURLs" in part:
        path = part["nonResourceURLs"][0]
        owned = rule.get("nonResourceURLs") or []
        return any(one == path or (one.endswith("*") and path.startswith(one[:-1])) for one in owned)
    resource = part["resources"][0]
    _, slash, subresource = resource.partition("/")
    of_any = bool(slash) and f"*/{subresource}" in (rule.get("resources") or [])
    if not _has(rule, "apiGroups", part["apiGroups"][0]) or not (_has(rule, "resources", resource) or of_any):
        return False
    names = rule.get("resourceNames") or []
    return not names or set(part.get("resourceNames") or [""]) <= set(names)


def _has(rule: Obj, field: str, wanted: str) -> bool:
    listed = rule.get(field) or []
    return "*" in listed or wanted in listed


def _compact(parts: Iterable[Obj]) -> list[Obj]:
    """Rights to the same resource, their verbs together."""
    found: dict[str, Obj] = {}
    for part in parts:
        key = repr({field: value for field, value in part.items() if field != "verbs"})
        found.setdefault(key, {**part, "verbs": []})["verbs"] += part["verbs"]
    return list(found.values())


def _shown(rule: Obj) -> str:
    return f"{{{', '.join(f'{title}:{_quoted(rule[field])}' for field, title in _PARTS.items() if rule.get(field))}}}"


def _quoted(values: Iterable[str]) -> str:
    """A list of strings as Go's %q prints it."""
    return f"[{' '.join(f'{chr(34)}{value}{chr(34)}' for value in values)}]"
