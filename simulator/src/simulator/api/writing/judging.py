"""What an object has to pass before it is stored: decoding by its schema, its namespace, validation."""

from __future__ import annotations

from typing import Any

import orjson

from simulator.api import bodies, objects
from simulator.api.apply.applying import untyped
from simulator.api.calls import Call
from simulator.api.definitions import crds
from simulator.api.errors import ApiError, Cause, bad_request, forbidden, invalid, not_found, not_supported
from simulator.api.schemas import structure
from simulator.api.store import Store
from simulator.api.validation import custom as validation
from simulator.api.validation import defaulting, gotypes, govalues
from simulator.api.values import shown

Obj = dict[str, Any]
NAMESPACES = ("", "namespaces")
_UNCHANGED: set[bytes] = set()
"""Specs of definitions that fit their type and that decoding leaves as they are."""


def decode(call: Call, obj: Obj) -> None:
    """Default, then drop what the schema does not know, as strictly as the caller wants it.

    Raises ApiError 400, for a patch 422 or 500, when a value does not fit its field's type or, if the caller is strict,
    when there is something to drop.
    """
    schema = call.version.schema
    if schema is None:
        return
    wanted = call.request.query.get("fieldValidation") or "Warn"
    given = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS) if wanted == "Strict" else b""
    # The server's own record, which no write can change: the most of many objects, and never unfit.
    record = obj["metadata"].pop("managedFields", None)
    # A definition's is large, and the same at every server of a process.
    spec = obj.get("spec") if call.kind.collection == crds.CRDS else None
    raw = orjson.dumps(spec) if spec else b""
    if raw in _UNCHANGED:
        obj["spec"] = {}
    if call.kind.builtin:
        wrong = gotypes.misfit(obj, call.kind.group, call.kind.kind)
    else:
        wrong = gotypes.misfit_metadata(obj["metadata"])
    if wrong is not None:
        raise _misfit(call, obj, wrong)
    if call.kind.builtin:
        govalues.settle(obj, call.kind.group, call.kind.kind)
    else:
        govalues.settle_metadata(obj["metadata"])
    unknown: list[str] = []
    metadata = structure("V1ObjectMeta")
    if metadata is not None and not call.kind.builtin:
        defaulting.prune(obj["metadata"], metadata, path="metadata", removed=unknown)
    defaulting.prune(obj, schema, root=True, removed=unknown)
    defaulting.default(obj, schema)
    if raw in _UNCHANGED:
        obj["spec"] = spec
    elif raw and raw == orjson.dumps(spec):
        _UNCHANGED.add(raw)
    if record is not None:
        obj["metadata"]["managedFields"] = record
    said = [f'unknown field "{path}"' for path in unknown]
    if said and wanted == "Strict":
        raise _undeclared(call, given.decode(), f"strict decoding error: {', '.join(said)}")
    if wanted == "Warn":
        call.warnings += said


def _undeclared(call: Call, given: str, why: str) -> ApiError:
    """What a strict caller is told; of a patch it is the patched object that cannot be decoded."""
    kind, version = call.kind.kind, call.target.version
    if call.target.verb == "patch" and not call.kind.builtin:
        return invalid("", "", "", [Cause("patch", f"Invalid value: {shown(given)}: {why}")])
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def _misfit(call: Call, obj: Obj, wrong: gotypes.Misfit) -> ApiError:
    """The decoder's words, and around them those of the endpoint; kube-apiserver has no code of its own for apply."""
    kind, version = call.kind.kind, call.target.version
    if call.target.verb != "patch":
        return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {wrong}')
    if bodies.media_type(call.request.headers.get("content-type", "")) == bodies.APPLY:
        return untyped(call, obj["metadata"], str(wrong))
    patch = call.request.body.decode(errors="replace")
    return invalid("", "", "", [Cause("patch", f"Invalid value: {shown(patch)}: {wrong}")])


def check_namespace(store: Store, call: Call, obj: Obj) -> None:
    """Raises ApiError 404 when the namespace is not there, 403 when it is being deleted."""
    if not call.kind.namespaced:
        return
    name = call.target.namespace
    namespace = store.get(NAMESPACES, ("", name))
    if namespace is None:
        raise not_found("", "namespaces", name)
    if namespace.obj["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        error = forbidden(call.kind.group, call.kind.plural, obj["metadata"].get("name", ""), why)
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated"}
        error.details = {**(error.details or {}), "causes": [{**cause, "field": "metadata.namespace"}]}
        raise error


def check_definition(store: Store, call: Call) -> None:
    """Raises ApiError 405 when the kind's definition is being deleted."""
    definition = None if call.kind.builtin else store.get(crds.CRDS, ("", f"{call.kind.plural}.{call.kind.group}"))
    if definition is not None and crds.is_terminating(definition.obj):
        why = f"{call.target.verb} not allowed while custom resource definition is terminating"
        raise not_supported(call.kind.group, call.kind.plural, why)


def judge(call: Call, obj: Obj, old: Obj | None) -> None:
    """Raises ApiError 422 with everything that is wrong with the object."""
    kind = call.kind
    causes = objects.metadata_faults(obj, old, kind)
    stored_version = kind.versions.get(kind.storage) or call.version
    if stored_version.schema is not None and not kind.builtin:
        causes += validation.validate(obj, old, stored_version.schema)
    if kind.validate is not None:
        causes += kind.validate(obj, old)
    if causes:
        raise objects.invalid_object(kind, obj["metadata"]["name"], causes)
    call.warnings += objects.finalizer_warnings(obj, old, kind)
