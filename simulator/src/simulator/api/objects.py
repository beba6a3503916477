"""What the API server itself writes into an object: identity, times, generation, the parts a subresource may change."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from simulator.api.errors import ApiError, Cause, bad_request, conflict, invalid
from simulator.api.kinds import Kind, Version
from simulator.api.names import generated, metadata_causes
from simulator.api.requests import Target
from simulator.api.values import shown
from simulator.timing.clock import today

Obj = dict[str, Any]
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace")


def now() -> str:
    """RFC 3339 in whole seconds, as metav1.Time."""
    return today().strftime("%Y-%m-%dT%H:%M:%SZ")


def check_identity(obj: Any, kind: Kind, target: Target) -> Obj:
    """The object, if it is one of the kind, version, namespace and name of the path. Raises ApiError 400."""
    if not isinstance(obj, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    wanted = kind.api_version(target.version)
    given, given_kind = obj.get("apiVersion") or wanted, obj.get("kind") or kind.kind
    if given != wanted:
        said = f"the API version in the data ({given}) does not match the expected API version ({wanted})"
        raise bad_request(said)
    if given_kind != kind.kind:
        raise _another_kind(obj, kind, target, given_kind)
    meta = obj.get("metadata")
    if meta is None:
        meta = {}
    if not isinstance(meta, dict):
        raise bad_request("metadata must be an object")
    obj["apiVersion"], obj["kind"], obj["metadata"] = wanted, kind.kind, meta
    inside = target.namespace if kind.namespaced else ""
    if kind.namespaced and meta.get("namespace") not in (None, "", inside):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not kind.namespaced and meta.get("namespace"):
        meta.pop("namespace")
    if target.name and target.verb != "create" and meta.get("name") not in (None, "", target.name):
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})")
    if inside:
        meta["namespace"] = inside
    if target.name and target.verb == "update" and not meta.get("name"):
        said = f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        raise bad_request(said)
    if target.name and target.verb != "create":
        meta["name"] = target.name
    return obj


def _another_kind(obj: Obj, kind: Kind, target: Target, given: str) -> ApiError:
    """Kinds that are built in are converted, which fails; custom resources are judged, and found to be another's."""
    if kind.builtin:
        return bad_request(f"the kind in the data ({given}) does not match the expected kind ({kind.kind})")
    name = (obj.get("metadata") or {}).get("name") or target.name
    return invalid(kind.group, given, name, [Cause("kind", f"Invalid value: {shown(given)}: must be {kind.kind}")])


def begin(obj: Obj, kind: Kind, version: Version) -> None:
    """Give a new object its identity, in place."""
    meta = obj["metadata"]
    name, prefix = meta.get("name") or "", meta.get("generateName") or ""
    if not name and prefix:
        meta["name"] = generated(prefix)
    meta.setdefault("name", "")
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"):
        meta.pop(field, None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = now()
    if kind.generation:
        meta["generation"] = 1
    if version.status and not kind.builtin:
        obj.pop("status", None)
    _tidy(meta)


def _tidy(meta: Obj) -> None:
    for field in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields"):
        if field in meta and not meta[field]:
            del meta[field]


def carry_over(obj: Obj, old: Obj, kind: Kind, version: Version, subresource: str) -> Obj:
    """The object as an update leaves it: what a writer may not change is as it was."""
    meta, before = obj["metadata"], old["metadata"]
    if subresource == "status":
        obj = _status_only(obj, old, kind)
        meta = obj["metadata"]
    elif version.status:
        if "status" in old:
            obj["status"] = old["status"]
        else:
            obj.pop("status", None)
    for field in _SYSTEM:
        if field in before:
            meta[field] = before[field]
        else:
            meta.pop(field, None)
    meta.pop("selfLink", None)
    _tidy(meta)
    if kind.generation and subresource != "status" and _spec_changed(obj, old, version):
        meta["generation"] = before.get("generation", 0) + 1
    return obj


def _status_only(obj: Obj, old: Obj, kind: Kind) -> Obj:
    new = {key: value for key, value in old.items() if key != "status"}
    if "status" in obj:
        new["status"] = obj["status"]
    new["metadata"] = dict(old["metadata"])
    if kind.builtin:
        # Built-in kinds let a status update change labels, annotations and finalizers; custom resources do not.
        for field in ("labels", "annotations", "finalizers"):
            if field in obj["metadata"]:
                new["metadata"][field] = obj["metadata"][field]
            else:
                new["metadata"].pop(field, None)
    if "managedFields" in obj["metadata"]:
        new["metadata"]["managedFields"] = obj["metadata"]["managedFields"]
    new["metadata"]["resourceVersion"] = obj["metadata"].get("resourceVersion", "")
    return new


def _spec_changed(obj: Obj, old: Obj, version: Version) -> bool:
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if version.status else set())
    keys = (obj.keys() | old.keys()) - ignored
    return any(obj.get(key) != old.get(key) for key in keys)


_PREFIXES = {
    "nodes": "minions",
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "ingresses": "ingress",
    "customresourcedefinitions": "apiextensions.k8s.io/customresourcedefinitions",
}
"""Where kube-apiserver keeps built-in kinds in etcd, as far as that is not their own name."""


def _stored_at(kind: Kind, meta: Obj) -> str:
    """The key of an object in etcd."""
    prefix = _PREFIXES.get(kind.plural, kind.plural) if kind.builtin else f"{kind.group}/{kind.plural}"
    return "/".join(part for part in ("/registry", prefix, meta.get("namespace"), meta["name"]) if part)


def check_version(obj: Obj, old: Obj, kind: Kind, *, patched: bool = False) -> None:
    """Raises ApiError 409 for a stale resourceVersion, 422 for a missing one, either for another object's uid."""
    meta, before = obj["metadata"], old["metadata"]
    name = before["name"]
    given, given_uid = meta.get("resourceVersion"), meta.get("uid")
    if not given and not kind.unconditional:
        cause = Cause("metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update")
        raise invalid(kind.group, kind.plural, name, [cause])
    if meta.get("deletionTimestamp") and not before.get("deletionTimestamp"):
        said = f"Invalid value: {shown(meta['deletionTimestamp'])}: field is immutable"
        raise invalid_object(kind, name, [Cause("metadata.deletionTimestamp", said)])
    if given_uid and given_uid != before["uid"]:
        if patched:
            raise invalid_object(
                kind, name, [Cause("metadata.uid", f"Invalid value: {shown(given_uid)}: field is immutable")]
            )
        met = f"Precondition failed: UID in precondition: {given_uid}, UID in object meta: {before['uid']}"
        where = f"Key: {_stored_at(kind, before)}, ResourceVersion: 0, AdditionalErrorMsg: {met}"
        raise conflict(kind.group, kind.plural, name, f"StorageError: invalid object, Code: 4, {where}")
    if given and given != before["resourceVersion"]:
        raise conflict(kind.group, kind.plural, name)


def invalid_object(kind: Kind, name: str, causes: list[Cause]) -> ApiError:
    """422 about an object of `kind`."""
    return invalid(kind.group, kind.kind, name, causes)


def metadata_faults(obj: Obj, old: Obj | None, kind: Kind) -> list[Cause]:
    """What is wrong with the metadata, also against the old version."""
    meta = obj["metadata"]
    if not meta["name"]:
        return [Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")]
    if old is None:
        return [*metadata_causes(meta, kind.name_rule), *_finalizer_causes(meta, kind)]
    before = old["metadata"]
    watched = ("labels", "annotations", "finalizers", "ownerReferences")
    if all(meta.get(field) == before.get(field) for field in watched):
        return []
    causes = [*metadata_causes(meta, kind.name_rule), *_finalizer_causes(meta, kind)]
    if before.get("deletionTimestamp"):
        added = [one for one in meta.get("finalizers") or [] if one not in (before.get("finalizers") or [])]
        if added:
            listed = ", ".join(f'"{one}"' for one in added)
            said = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers"
            causes.append(Cause("metadata.finalizers", f"{said} []string{{{listed}}}", "FieldValueForbidden"))
    return causes


STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def _finalizer_causes(meta: Obj, kind: Kind) -> Iterator[Cause]:
    """Built-in kinds want finalizers of a domain; definitions do not, and custom resources are only warned."""
    wants = kind.builtin and kind.group != "apiextensions.k8s.io"
    for index, finalizer in enumerate(meta.get("finalizers") or () if wants else ()):
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            said = "name is neither a standard finalizer name nor is it fully qualified"
            yield Cause(f"metadata.finalizers[{index}]", f"Invalid value: {shown(finalizer)}: {said}")


def finalizer_warnings(obj: Obj, old: Obj | None, kind: Kind) -> Iterator[str]:
    """What the server tells writers of new finalizers without a domain on custom resources."""
    before = ((old or {}).get("metadata") or {}).get("finalizers") or ()
    for finalizer in () if kind.builtin else obj["metadata"].get("finalizers") or ():
        if "/" not in finalizer and finalizer not in (*before, *STANDARD_FINALIZERS):
            wish = "prefer a domain-qualified finalizer name including a path (/)"
            why = "to avoid accidental conflicts with other finalizer writers"
            yield f'metadata.finalizers: "{finalizer}": {wish} {why}'
