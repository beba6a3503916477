"""Resources that are questions: access reviews, token requests, scale."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from simulator.api import bodies
from simulator.api.access.auth import ACCOUNTS, ISSUER, Authenticator
from simulator.api.access.rbac import Authorizer
from simulator.api.errors import Cause, bad_request, conflict, invalid, method_not_allowed, no_such_path, not_found
from simulator.api.requests import Request, Response, Target, User, answer
from simulator.api.store import Store
from simulator.api.values import type_name

Obj = dict[str, Any]
AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
SHORTEST = 600
"""Seconds that a token is good for at least."""
REVIEWS = {
    (AUTHORIZATION, "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    (AUTHORIZATION, "subjectaccessreviews"): "SubjectAccessReview",
    (AUTHORIZATION, "localsubjectaccessreviews"): "LocalSubjectAccessReview",
    (AUTHORIZATION, "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    (AUTHENTICATION, "selfsubjectreviews"): "SelfSubjectReview",
    (AUTHENTICATION, "tokenreviews"): "TokenReview",
}


def entries() -> dict[tuple[str, str], list[Obj]]:
    """The reviews as discovery lists them."""
    found: dict[tuple[str, str], list[Obj]] = {}
    for (group, plural), kind in REVIEWS.items():
        inside = plural == "localsubjectaccessreviews"
        entry = {"name": plural, "singularName": kind.lower(), "namespaced": inside, "kind": kind, "verbs": ["create"]}
        found.setdefault((group, "v1"), []).append(entry)
    return found


class Virtual:
    """Answers them from the authenticator and the authorizer."""

    def __init__(self, store: Store, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._store = store
        self._authenticator = authenticator
        self._authorizer = authorizer

    def serves(self, where: Target) -> bool:
        return (where.group, where.plural) in REVIEWS or (where.plural, where.subresource) == (
            "serviceaccounts",
            "token",
        )

    def respond(self, request: Request, where: Target, user: User) -> Response:
        """Raises ApiError 400, 404, 405."""
        if where.version != "v1":
            raise no_such_path()
        if where.verb != "create":
            raise method_not_allowed()
        body = bodies.read_object(request.body, request.headers.get("content-type", ""))
        if not isinstance(body, dict):
            raise bad_request("the body is no object")
        _check_shapes(body)
        if where.plural == "serviceaccounts":
            return answer(self._token(body, where), 201)
        review = {
            "apiVersion": f"{where.group}/v1",
            "kind": REVIEWS[where.group, where.plural],
            "metadata": {"creationTimestamp": None},
            "spec": body.get("spec") or {},
            "status": self._status(where.plural, body.get("spec") or {}, user),
        }
        return answer(review, 201)

    def _status(self, plural: str, spec: Obj, user: User) -> Obj:
        if plural == "selfsubjectreviews":
            return {"userInfo": _info(user)}
        if plural == "tokenreviews":
            for audience in spec.get("audiences") or [ISSUER]:
                found = self._authenticator.by_token(spec.get("token", ""), audience)
                if found is not None:
                    return {"authenticated": True, "user": _info(found), "audiences": [audience]}
            return {"authenticated": False, "error": "invalid bearer token"}
        if plural == "selfsubjectrulesreviews":
            return self._rules(user, spec.get("namespace", ""))
        if plural != "selfsubjectaccessreviews":
            user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
        decision = self._authorizer.decide(user, _asked(spec))
        status: Obj = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _rules(self, user: User, namespace: str) -> Obj:
        resource, other = [], []
        rules = [rule for rule, _ in self._authorizer.rules(user, namespace)]
        for rule in rules:
            if rule.get("nonResourceURLs"):
                other.append({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]})
            else:
                fields = ("verbs", "apiGroups", "resources", "resourceNames")
                resource.append({field: rule[field] for field in fields if rule.get(field)})
        return {"resourceRules": resource, "nonResourceRules": other, "incomplete": False}

    def _token(self, body: Obj, where: Target) -> Obj:
        stored = self._store.get(ACCOUNTS, (where.namespace, where.name))
        if stored is None:
            raise not_found("", "serviceaccounts", where.name)
        spec = body.get("spec") or {}
        audiences, seconds = spec.get("audiences") or [ISSUER], spec.get("expirationSeconds") or 3600
        if seconds < SHORTEST:
            said = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            raise invalid(AUTHENTICATION, "TokenRequest", "", [Cause("spec.expirationSeconds", said)])
        reference = spec.get("boundObjectRef")
        self._check_bound(reference or {}, where.namespace)
        token, ends = self._authenticator.issue(stored.obj, audiences, seconds)
        stamp = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "kind": "TokenRequest",
            "apiVersion": f"{AUTHENTICATION}/v1",
            "metadata": {"name": where.name, "namespace": where.namespace, "creationTimestamp": None},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": token, "expirationTimestamp": stamp},
        }

    def _check_bound(self, reference: Obj, namespace: str) -> None:
        """Raises ApiError 404 for a token of an object that is not there, 409 for one of another uid."""
        plural = {"Pod": "pods", "Secret": "secrets"}.get(reference.get("kind", ""))
        if plural is None:
            return
        name, uid = reference.get("name", ""), reference.get("uid")
        stored = self._store.get(("", plural), (namespace, name))
        if stored is None:
            raise not_found("", plural, name)
        if uid and uid != stored.obj["metadata"]["uid"]:
            why = f"the UID in the bound object reference ({uid}) does not match the UID in record."
            raise conflict("", plural, name, f"{why} The object might have been deleted and then recreated")


_SHAPES: dict[str, type] = {
    "spec": dict,
    "resourceAttributes": dict,
    "nonResourceAttributes": dict,
    "boundObjectRef": dict,
    "expirationSeconds": int,
    "audiences": list,
    "groups": list,
}


def _check_shapes(body: Obj) -> None:
    """Raises ApiError 400 for fields of the wrong type."""
    spec = body.get("spec")
    for field, value in [("spec", spec), *(spec.items() if isinstance(spec, dict) else ())]:
        wanted = _SHAPES.get(field)
        if wanted is not None and value is not None and not isinstance(value, wanted):
            raise bad_request(f"json: cannot unmarshal {type_name(value)} into Go struct field {field}")


def _info(user: User) -> Obj:
    info: Obj = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    return info


def _asked(spec: Obj) -> Target:
    of = spec.get("resourceAttributes")
    if of:
        return Target(
            of.get("verb", ""),
            of.get("group", ""),
            of.get("version", ""),
            of.get("resource", ""),
            of.get("namespace", ""),
            of.get("name", ""),
            of.get("subresource", ""),
        )
    path = spec.get("nonResourceAttributes") or {}
    return Target(path.get("verb", ""), rest=path.get("path", ""))
