"""What ValidatingAdmissionPolicies and their bindings have to be (Kubernetes: pkg/apis/admissionregistration).

What `simulator.api.policies` does not know is refused here, for a policy that does not judge is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from simulator.api.errors import Cause, required, unsupported
from simulator.api.names import key_causes
from simulator.api.policies import CODES
from simulator.api.policies.expressions import compiled
from simulator.api.values import shown

Obj = dict[str, Any]
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ACTIONS = ("Audit", "Deny", "Warn")
_BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and"
    " headers serves no purpose)"
)


def prepare(obj: Obj, _old: Obj | None) -> None:
    """Defaults of a policy."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if constraints := spec.get("matchConstraints"):
        _prepare_match(constraints)


def prepare_binding(obj: Obj, _old: Obj | None) -> None:
    """Defaults of a binding."""
    if found := (obj.get("spec") or {}).get("matchResources"):
        _prepare_match(found)


def _prepare_match(constraints: Obj) -> None:
    constraints.setdefault("matchPolicy", "Equivalent")
    constraints.setdefault("namespaceSelector", {})
    constraints.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in constraints.get(field) or []:
            rule.setdefault("scope", "*")


def policy(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a policy."""
    spec = obj["spec"]
    causes = list(_unknown(spec, "spec", "paramKind", "auditAnnotations"))
    if spec["failurePolicy"] not in ("Fail", "Ignore"):
        causes.append(unsupported("spec.failurePolicy", spec["failurePolicy"], ("Fail", "Ignore")))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        causes.append(required("spec.matchConstraints"))
    else:
        causes += _unknown(constraints, "spec.matchConstraints", "namespaceSelector", "objectSelector")
        if not constraints.get("resourceRules"):
            causes.append(required("spec.matchConstraints.resourceRules"))
        for index, rule in enumerate(constraints.get("resourceRules") or []):
            causes += _rule(rule, f"spec.matchConstraints.resourceRules[{index}]")
    causes += _names(spec)
    if not spec.get("validations"):
        said = "validations or auditAnnotations must contain at least one item"
        causes += [required(f"spec.{field}", said) for field in ("validations", "auditAnnotations")]
    for index, one in enumerate(spec.get("validations") or []):
        causes += _validation(one, f"spec.validations[{index}]")
    # Expressions are only looked at where all that is around them is right.
    return causes or compiled(spec)[1]


def _rule(rule: Obj, path: str) -> Iterator[Cause]:
    for field in ("apiGroups", "apiVersions", "resources", "operations"):
        if not rule.get(field):
            yield required(f"{path}.{field}")
    for index, one in enumerate(rule.get("operations") or []):
        known = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
        if one not in known:
            yield unsupported(f"{path}.operations[{index}]", one, known)


def _names(spec: Obj) -> Iterator[Cause]:
    for index, one in enumerate(spec.get("matchConditions") or []):
        path = f"spec.matchConditions[{index}].name"
        yield from key_causes(one["name"], path) if one.get("name") else [required(path)]
    for index, one in enumerate(spec.get("variables") or []):
        path, name = f"spec.variables[{index}].name", one.get("name") or ""
        if not name.strip():
            yield required(path, "name is not specified")
        elif not _IDENTIFIER.fullmatch(name):
            yield Cause(path, f"Invalid value: {shown(name)}: must be a valid CEL identifier")


def _validation(source: Obj, path: str) -> Iterator[Cause]:
    message, reason = source.get("message") or "", source.get("reason")
    if message and not message.strip():
        yield Cause(f"{path}.message", f"Invalid value: {shown(message)}: must be non-empty if specified")
    elif "\n" in message.strip():
        yield Cause(f"{path}.message", f"Invalid value: {shown(message)}: must not contain line breaks")
    if reason is not None and reason not in CODES:
        yield unsupported(f"{path}.reason", reason, sorted(CODES))


def binding(obj: Obj, _old: Obj | None) -> list[Cause]:
    """What is wrong with a binding."""
    spec = obj.get("spec") or {}
    causes = list(_unknown(spec, "spec", "paramRef", "matchResources"))
    actions = spec.get("validationActions") or []
    if not spec.get("policyName"):
        causes.append(required("spec.policyName"))
    for index, one in enumerate(actions):
        if one not in _ACTIONS:
            causes.append(unsupported(f"spec.validationActions[{index}]", one, _ACTIONS))
        if one in actions[:index]:
            said = f"Duplicate value: {shown(one)}"
            causes.append(Cause(f"spec.validationActions[{index}]", said, "FieldValueDuplicate"))
    if {"Deny", "Warn"} <= set(actions):
        causes.append(Cause("spec.validationActions", f"Invalid value: {shown(actions)}: {_BOTH}"))
    if not actions:
        causes.append(required("spec.validationActions", "at least one validation action is required"))
    return causes


def _unknown(holder: Obj, path: str, *fields: str) -> Iterator[Cause]:
    for field in fields:
        if holder.get(field):
            yield Cause(f"{path}.{field}", "Forbidden: the simulator does not know it", "FieldValueForbidden")
