"""Who may do what: roles and bindings, as the RBAC authorizer reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator.api.errors import ApiError, qualified
from simulator.api.requests import Target, User
from simulator.api.store import Store

Obj = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Decision:
    """Whether it is allowed, and which binding says so."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Judges by the roles and bindings in the store; system:masters may do everything."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: User, target: Target) -> Decision:
        if MASTERS in user.groups:
            return Decision(True)
        for rule, why in self.rules(user, target.namespace):
            if allows(rule, target):
                return Decision(True, why)
        return Decision(False)

    def rules(self, user: User, namespace: str) -> Iterator[tuple[Obj, str]]:
        """The user's rules in a namespace (empty: those of the whole cluster), each with the binding it comes from."""
        for stored in self._store.list((GROUP, "clusterrolebindings")):
            binding = stored.obj
            if any(_is(subject, user, "") for subject in binding.get("subjects") or []):
                why = f'RBAC: allowed by ClusterRoleBinding "{binding["metadata"]["name"]}" of '
                yield from self._role_rules(binding, "", why, user)
        if not namespace:
            return
        for stored in self._store.list((GROUP, "rolebindings"), namespace):
            binding = stored.obj
            if any(_is(subject, user, namespace) for subject in binding.get("subjects") or []):
                why = f'RBAC: allowed by RoleBinding "{binding["metadata"]["name"]}/{namespace}" of '
                yield from self._role_rules(binding, namespace, why, user)

    def _role_rules(self, binding: Obj, namespace: str, why: str, user: User) -> Iterator[tuple[Obj, str]]:
        reference = binding["roleRef"]
        whom = f'{reference["kind"]} "{reference["name"]}" to {_subject_of(user)}'
        for rule in self.rules_of(reference, namespace) or []:
            yield rule, why + whom

    def rules_of(self, reference: Obj, namespace: str) -> list[Obj] | None:
        """The rules of the role that a binding's `roleRef` names; None when it is not there."""
        if reference["kind"] == "ClusterRole":
            stored = self._store.get((GROUP, "clusterroles"), ("", reference["name"]))
        else:
            stored = self._store.get((GROUP, "roles"), (namespace, reference["name"]))
        return None if stored is None else self._effective(stored.obj)

    def _effective(self, role: Obj) -> list[Obj]:
        """A role's rules; an aggregated ClusterRole has those of all that it selects."""
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if not selectors:
            return role.get("rules") or []
        rules: list[Obj] = []
        for stored in self._store.list((GROUP, "clusterroles")):
            labels = stored.obj["metadata"].get("labels") or {}
            if any(one.get("matchLabels", {}).items() <= labels.items() for one in selectors):
                rules += stored.obj.get("rules") or []
        return rules


def _subject_of(user: User) -> str:
    if user.name.startswith(_SERVICE_ACCOUNT):
        namespace, _, name = user.name.removeprefix(_SERVICE_ACCOUNT).partition(":")
        return f'ServiceAccount "{name}/{namespace}"'
    return f'User "{user.name}"'


def _is(subject: Obj, user: User, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "User":
        return bool(name == user.name)
    if kind == "Group":
        return name in user.groups
    return user.name == f"{_SERVICE_ACCOUNT}{subject.get('namespace') or namespace}:{name}"


def allows(rule: Obj, target: Target) -> bool:
    """Whether one PolicyRule covers what is asked."""
    if not _has(rule.get("verbs"), target.verb):
        return False
    if not target.is_resource:
        return any(_path_matches(path, target.rest) for path in rule.get("nonResourceURLs") or [])
    if not _has(rule.get("apiGroups"), target.group):
        return False
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    listed = rule.get("resources") or []
    of_any = f"*/{target.subresource}" if target.subresource else ""
    if not ("*" in listed or resource in listed or (of_any and of_any in listed)):
        return False
    names = rule.get("resourceNames")
    return not names or target.name in names


def _has(listed: list[str] | None, wanted: str) -> bool:
    return bool(listed) and ("*" in (listed or ()) or wanted in (listed or ()))


def _path_matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def denied(user: User, target: Target) -> ApiError:
    """403 in Kubernetes' words."""
    if not target.is_resource:
        said = f'forbidden: User "{user.name}" cannot {target.verb} path "{target.rest}"'
        return ApiError(403, "Forbidden", said, {})
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    where = f' in the namespace "{target.namespace}"' if target.namespace else " at the cluster scope"
    subject = qualified(target.plural, target.group)
    name = f' "{target.name}"' if target.name else ""
    said = (
        f'{subject}{name} is forbidden: User "{user.name}" cannot {target.verb} resource "{resource}" in API group'
        f' "{target.group}"{where}'
    )
    details = {"name": target.name, "group": target.group, "kind": target.plural}
    return ApiError(403, "Forbidden", said, {key: value for key, value in details.items() if value})
