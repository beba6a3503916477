"""Which writes a policy is about (`matchConstraints`): by operation, resource, scope and name.

Other versions of a kind are not told apart: rules are compared with the one that is stored.
"""

from __future__ import annotations

from typing import Any

from simulator.api.admission import AdmissionRequest

Obj = dict[str, Any]


def matches(constraints: Obj, request: AdmissionRequest) -> bool:
    """Whether one of the rules covers the request, and none excludes it."""
    if any(_covers(rule, request) for rule in constraints.get("excludeResourceRules") or []):
        return False
    return any(_covers(rule, request) for rule in constraints.get("resourceRules") or [])


def _covers(rule: Obj, request: AdmissionRequest) -> bool:
    names = rule.get("resourceNames")
    return (
        _has(rule.get("operations"), request.operation)
        and _has(rule.get("apiGroups"), request.gvr.group)
        and _has(rule.get("apiVersions"), request.gvr.version)
        and any(_names(one, request) for one in rule.get("resources") or [])
        and rule.get("scope") in (None, "*", "Namespaced" if request.namespace else "Cluster")
        and (not names or request.name in names)
    )


def _names(resource: str, request: AdmissionRequest) -> bool:
    """`pods` is the objects alone, `pods/status` and `pods/*` are subresources (`pods/*` the objects, too)."""
    plural, _, subresource = resource.partition("/")
    return plural in ("*", request.gvr.plural) and subresource in ("*", request.subresource)


def _has(listed: list[str] | None, wanted: str) -> bool:
    return "*" in (listed or ()) or wanted in (listed or ())
