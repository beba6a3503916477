"""ValidatingAdmissionPolicies: whoever writes is judged by expressions, after defaults and before the store.

What kube-apiserver's plugin of that name does, as far as `builtin/policy_rules` lets policies in: without parameters,
selectors and audit annotations. A policy is in force from its next write on; a real server needs a second or so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError, forbidden
from simulator.api.policies.expressions import Expressions, compiled
from simulator.api.policies.matching import matches
from simulator.api.store import Store, Stored

Obj = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
POLICIES = (GROUP, "validatingadmissionpolicies")
BINDINGS = (GROUP, "validatingadmissionpolicybindings")
NAMESPACES = ("", "namespaces")
CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
"""What a validation's reason makes of the answer."""


class Policies:
    """An admission hook that asks every policy that is bound."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiled: dict[str, tuple[str, Expressions]] = {}

    def __call__(self, request: AdmissionRequest) -> None:
        """Raises ApiError, 422 unless the validation gives another reason, for the first that does not hold."""
        # Policies do not judge policies: a bad one could not be mended.
        bindings = [] if request.gvr.group == GROUP else self._store.list(BINDINGS)
        if not bindings:
            return
        for stored in self._store.list(POLICIES):
            own = [one.obj for one in bindings if one.obj["spec"]["policyName"] == stored.obj["metadata"]["name"]]
            if own and matches(stored.obj["spec"]["matchConstraints"], request):
                self._judge(stored, own, request)

    def _judge(self, stored: Stored, bindings: list[Obj], request: AdmissionRequest) -> None:
        policy = stored.obj["metadata"]["name"]
        denials = list(self._expressions(stored).denials(self._data(request)))
        for binding, (said, reason) in _each(bindings, denials):
            name, actions = binding["metadata"]["name"], binding["spec"]["validationActions"]
            whose = f"ValidatingAdmissionPolicy '{policy}' with binding '{name}'"
            if "Warn" in actions:
                request.warnings.append(f"Validation failed for {whose}: {said}")
            if "Deny" in actions:
                raise _denied(request, f"{whose} denied request: {said}", reason or "Invalid")

    def _expressions(self, stored: Stored) -> Expressions:
        meta = stored.obj["metadata"]
        known = self._compiled.get(meta["uid"])
        if known is None or known[0] != meta["resourceVersion"]:
            known = self._compiled[meta["uid"]] = meta["resourceVersion"], compiled(stored.obj["spec"])[0]
        return known[1]

    def _data(self, request: AdmissionRequest) -> Obj:
        of_namespace = (request.gvr.group, request.gvr.plural) == NAMESPACES
        namespace = request.name if of_namespace else request.namespace
        kind = {"group": request.gvr.group, "version": request.gvr.version, "kind": request.kind}
        resource = {"group": request.gvr.group, "version": request.gvr.version, "resource": request.gvr.plural}
        user = request.user
        info: Obj = {"username": user.name, "groups": list(user.groups), "extra": dict(user.extra)}
        inside = None if of_namespace or not namespace else self._store.get(NAMESPACES, ("", namespace))
        return {
            "object": request.object or None,
            "oldObject": request.old_object,
            "namespaceObject": inside.obj if inside is not None else None,
            "request": {
                "kind": kind,
                "requestKind": kind,
                "resource": resource,
                "requestResource": resource,
                "subResource": request.subresource,
                "requestSubResource": request.subresource,
                "name": request.name,
                "namespace": namespace,
                "operation": request.operation,
                "userInfo": {**info, "uid": user.uid} if user.uid else info,
                "dryRun": request.dry_run,
            },
        }


def _each(bindings: list[Obj], denials: list[tuple[str, str]]) -> Iterator[tuple[Obj, tuple[str, str]]]:
    for binding in bindings:
        for denial in denials:
            yield binding, denial


def _denied(request: AdmissionRequest, why: str, reason: str) -> ApiError:
    error = forbidden(request.gvr.group, request.gvr.plural, request.name or "Unknown", why)
    error.code, error.reason = CODES.get(reason, 422), reason
    error.details = {**(error.details or {}), "causes": [{"message": why}]}
    return error
