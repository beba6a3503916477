"""Creating, reading, changing and deleting objects: the one path that HTTP requests and local clients share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from simulator.api import errors, names, selectors
from simulator.api.addresses import ServiceAddresses
from simulator.api.admission import ADMIN, AdmissionRequest, Handler, Hook, User, admit
from simulator.api.apply import apply
from simulator.api.builtin import HOST
from simulator.api.errors import ApiError, Cause
from simulator.api.patching import json_patch, merge, strategic
from simulator.api.registry import GVR, Kind, Registry
from simulator.api.store import Conflict, Key, Store, Stored
from simulator.api.strategy import keep_status, prepare, validate

Obj = dict[str, Any]
Clock = Callable[[], datetime]

ATTEMPTS = 5
"""How often a patch is computed anew when somebody wrote in between, as the real server does."""


def utcnow() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Options:
    """Query parameters of a write."""

    dry_run: bool = False
    field_manager: str = ""
    force: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Deletion:
    """DeleteOptions."""

    propagation: str = "Background"
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Listing:
    """Objects of a list, the version they are from, and where to go on."""

    items: list[Stored]
    version: int
    next: Key | None = None
    remaining: int = 0


@dataclass
class Machinery:
    """The objects of one API server and every way to change them."""

    registry: Registry = field(default_factory=lambda: Registry.of(HOST))
    store: Store = field(default_factory=Store)
    clock: Clock = utcnow
    addresses: ServiceAddresses | None = None
    chance: random.Random = field(default_factory=random.Random)
    admission: list[Hook] = field(default_factory=list)
    aggregated: dict[GVR, Handler] = field(default_factory=dict)
    written: list[Callable[[Kind, Obj, Obj | None], None]] = field(default_factory=list)
    """Called after each write with the kind, the object (as it was, if deleted) and what it replaced."""
    deleted: list[Callable[[Kind, Obj], None]] = field(default_factory=list)

    def kind(self, gvr: GVR) -> Kind:
        """Raises ApiError 404 for a kind that is not served."""
        found = self.registry.find(gvr)
        if found is None:
            raise errors.no_such_path()
        return found

    def get(self, kind: Kind, namespace: str | None, name: str) -> Stored:
        stored = self.store.get(kind.collection, (namespace or "", name))
        if stored is None:
            raise errors.not_found(kind.group, kind.plural, name)
        return stored

    def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 0, after: Key | None = None
    ) -> Listing:
        """Objects in key order, those after the key `after`, at most `limit` (0: all)."""
        by_label, by_field = selectors.labels(labels), selectors.fields(fields, kind.fields)
        found = [
            stored
            for stored in self.store.list(kind.collection, namespace or "")
            if (not labels or by_label(stored.obj)) and (not fields or by_field(stored.obj))
        ]
        if after is not None:
            found = [stored for stored in found if key_of(stored.obj) > after]
        if limit and len(found) > limit:
            return Listing(found[:limit], self.store.version, key_of(found[limit - 1].obj), len(found) - limit)
        return Listing(found, self.store.version)

    async def create(
        self, kind: Kind, obj: Obj, namespace: str | None, *, user: User = ADMIN, options: Options = Options()
    ) -> Stored:
        """Store a new object. Raises ApiError (404 namespace, 409 exists, 422 invalid, or what admission says)."""
        obj = self._identified(kind, copied(obj), namespace)
        name = obj["metadata"]["name"]
        key = (namespace or "", name)
        self._check_namespace(kind, namespace, name)
        prepare(kind, obj, None, strict=options.strict)
        request = AdmissionRequest("CREATE", kind.gvr, namespace, name, obj, None, user, dry_run=options.dry_run)
        await admit(self.admission, request)
        assert request.object is not None
        obj = request.object
        if kind.custom:
            prepare(kind, obj, None)
        validate(kind, obj, None)
        if self.store.get(kind.collection, key) is not None:
            raise errors.already_exists(kind.group, kind.plural, name)
        if kind.plural == "services" and not kind.group and self.addresses is not None:
            self.addresses.allocate(obj, dry_run=options.dry_run)
        if options.dry_run:
            return Stored(obj, self.store.version)
        return self._put(kind, key, obj, None)

    async def update(
        self, kind: Kind, obj: Obj, *, subresource: str = "", user: User = ADMIN, options: Options = Options()
    ) -> Stored:
        """Replace an object, or one subresource of it. Raises ApiError 404, 409 (stale), 422."""
        meta = obj.get("metadata") or {}
        namespace, name = meta.get("namespace"), meta.get("name", "")
        current = self.get(kind, namespace, name)
        asked = meta.get("resourceVersion")
        if not asked and kind.custom:
            cause = Cause("metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update")
            raise errors.invalid(kind.group, kind.kind, name, [cause])
        if asked and asked != current.obj["metadata"]["resourceVersion"]:
            raise errors.conflict(kind.group, kind.plural, name)
        return await self._replace(kind, current, copied(obj), subresource, user, options)

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Any,
        namespace: str | None,
        *,
        type: str = "merge",
        subresource: str = "",
        user: User = ADMIN,
        options: Options = Options(),
    ) -> tuple[Stored, bool]:
        """Change an object by a merge, JSON, strategic or apply patch. Returns it and whether it was created."""
        for attempt in range(ATTEMPTS):
            current = self.store.get(kind.collection, (namespace or "", name))
            if current is None:
                if type != "apply":
                    raise errors.not_found(kind.group, kind.plural, name)
                return await self._create_by_apply(kind, name, patch, namespace, user, options), True
            new = self._patched(kind, current.obj, patch, type, options)
            asked = (new.get("metadata") or {}).get("resourceVersion")
            if asked and asked != current.obj["metadata"]["resourceVersion"]:
                raise errors.conflict(kind.group, kind.plural, name)
            try:
                return await self._replace(kind, current, new, subresource, user, options), False
            except ApiError as error:
                if error.reason != "Conflict" or asked or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def delete(
        self, kind: Kind, name: str, namespace: str | None, *, how: Deletion = Deletion(), user: User = ADMIN
    ) -> Stored:
        """Delete an object, or mark it for deletion while it has finalizers. Raises ApiError 404, 409."""
        current = self.get(kind, namespace, name)
        _check_preconditions(kind, current.obj, how)
        request = AdmissionRequest(
            "DELETE", kind.gvr, namespace, name, None, copied(current.obj), user, dry_run=how.dry_run
        )
        await admit(self.admission, request)
        current = self.get(kind, namespace, name)
        if how.dry_run:
            return current
        obj = copied(current.obj)
        meta = obj["metadata"]
        own = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(how.propagation)
        if own and own not in meta.get("finalizers", []):
            meta["finalizers"] = [*meta.get("finalizers", []), own]
        held = bool(meta.get("finalizers")) or bool(kind.kind == "Namespace" and obj["spec"].get("finalizers"))
        if not held:
            return self._remove(kind, current)
        if "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = timestamp(self.clock())
            meta["deletionGracePeriodSeconds"] = 0
            if kind.generation:
                meta["generation"] = meta.get("generation", 0) + 1
            if kind.kind == "Namespace":
                obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        if obj == current.obj:
            return current
        return self._put(kind, key_of(obj), obj, current)

    def _identified(self, kind: Kind, obj: Obj, namespace: str | None) -> Obj:
        """`obj` with its type, its place and the metadata that every new object gets."""
        meta = obj.setdefault("metadata", {})
        if obj.get("kind", kind.kind) != kind.kind or obj.get("apiVersion", kind.api_version) != kind.api_version:
            said = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
            expected = f"{kind.api_version}, Kind={kind.kind}"
            raise errors.bad_request(f"the API version in the data ({said}) does not match the expected one ({expected})")
        version = kind.storage_version or kind.version
        stored_api_version = f"{kind.group}/{version}" if kind.group else version
        if kind.namespaced and meta.get("namespace", namespace) != namespace:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        for server_side in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(server_side, None)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = names.generate(meta["generateName"], self.chance)
        if not meta.get("name"):
            cause = Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
            raise errors.invalid(kind.group, kind.kind, "", [cause])
        if meta.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        fault = names.fault(kind.kind, meta["name"])
        if fault is not None:
            raise errors.invalid(kind.group, kind.kind, meta["name"], [fault])
        meta |= {"uid": names.new_uid(), "creationTimestamp": timestamp(self.clock())}
        if kind.namespaced:
            meta["namespace"] = namespace
        if kind.generation:
            meta["generation"] = 1
        return {"apiVersion": stored_api_version, "kind": kind.kind, **{k: v for k, v in obj.items() if k not in ("apiVersion", "kind")}}

    def _check_namespace(self, kind: Kind, namespace: str | None, name: str) -> None:
        if not kind.namespaced:
            return
        stored = self.store.get(("", "namespaces"), ("", namespace or ""))
        if stored is None:
            raise errors.not_found("", "namespaces", namespace or "")
        if stored.obj["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(kind.group, kind.plural, name, why)

    def _patched(self, kind: Kind, current: Obj, patch: Any, type: str, options: Options) -> Obj:
        if type == "json":
            return json_patch(current, patch)
        if not isinstance(patch, dict):
            raise errors.bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
        if type == "apply":
            return apply(kind, current, patch, options.field_manager, force=options.force, now=timestamp(self.clock()))
        merged: Obj = strategic(current, patch) if type == "strategic" else merge(current, patch)
        return merged

    async def _create_by_apply(
        self, kind: Kind, name: str, patch: Obj, namespace: str | None, user: User, options: Options
    ) -> Stored:
        obj = apply(kind, {}, patch, options.field_manager, force=options.force, now=timestamp(self.clock()))
        obj.setdefault("metadata", {})["name"] = name
        return await self.create(kind, obj, namespace, user=user, options=options)

    async def _replace(
        self, kind: Kind, current: Stored, new: Obj, subresource: str, user: User, options: Options
    ) -> Stored:
        old = current.obj
        new = _as_update(kind, old, new, subresource)
        prepare(kind, new, old, strict=options.strict)
        meta = new["metadata"]
        namespace, name = meta.get("namespace"), meta["name"]
        request = AdmissionRequest(
            "UPDATE", kind.gvr, namespace, name, new, copied(old), user, subresource, options.dry_run
        )
        await admit(self.admission, request)
        assert request.object is not None
        new = request.object
        if kind.custom:
            prepare(kind, new, old)
        validate(kind, new, old)
        if kind.generation and _spec_changed(kind, old, new):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if new == old:
            return current
        if options.dry_run:
            return Stored(new, current.version)
        return self._put(kind, key_of(new), new, current)

    def _put(self, kind: Kind, key: Key, obj: Obj, current: Stored | None) -> Stored:
        """Write, and let an object go whose last finalizer was removed."""
        meta = obj["metadata"]
        freed = bool(meta.get("deletionTimestamp")) and not meta.get("finalizers")
        if kind.kind == "Namespace" and obj["spec"].get("finalizers"):
            freed = False
        if current is not None and freed:
            return self._remove(kind, current, last=obj)
        try:
            stored = self.store.put(kind.collection, key, obj, expected=current.version if current else None)
        except Conflict:
            if current is None:
                raise errors.already_exists(kind.group, kind.plural, key[1]) from None
            raise errors.conflict(kind.group, kind.plural, key[1]) from None
        for listener in self.written:
            listener(kind, obj, current.obj if current else None)
        return stored

    def _remove(self, kind: Kind, current: Stored, last: Obj | None = None) -> Stored:
        key = key_of(current.obj)
        try:
            stored = self.store.remove(kind.collection, key, expected=current.version)
        except Conflict:
            raise errors.conflict(kind.group, kind.plural, key[1]) from None
        if kind.plural == "services" and not kind.group and self.addresses is not None:
            self.addresses.release(current.obj)
        for listener in self.deleted:
            listener(kind, last or current.obj)
        return stored


def key_of(obj: Obj) -> Key:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def copied(obj: Obj) -> Obj:
    """A deep copy of JSON."""
    result: Obj = orjson.loads(orjson.dumps(obj))
    return result


def timestamp(at: datetime) -> str:
    """metav1.Time: RFC 3339, UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_update(kind: Kind, old: Obj, new: Obj, subresource: str) -> Obj:
    """`new` with everything that an update of this (sub)resource cannot change taken from `old`."""
    if subresource == "status":
        changed = dict(old)
        if "status" in new:
            changed["status"] = new["status"]
        else:
            changed.pop("status", None)
        return changed
    meta = dict(new.get("metadata") or {})
    kept = ("name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds")
    if meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['metadata']['uid']}"
        raise errors.conflict(kind.group, kind.plural, old["metadata"]["name"], why)
    for name in kept:
        meta.pop(name, None)
        if name in old["metadata"]:
            meta[name] = old["metadata"][name]
    if meta.get("deletionTimestamp"):
        added = [one for one in meta.get("finalizers") or [] if one not in (old["metadata"].get("finalizers") or [])]
        if added:
            message = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            raise errors.invalid(kind.group, kind.kind, meta["name"], [Cause("metadata.finalizers", message, "FieldValueForbidden")])
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name in meta and not meta[name]:
            del meta[name]
    result = {**new, "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": meta}
    return keep_status(kind, result, old)


def _spec_changed(kind: Kind, old: Obj, new: Obj) -> bool:
    aside = {"metadata", "status"} if kind.status or not kind.custom else {"metadata"}
    return {k: v for k, v in old.items() if k not in aside} != {k: v for k, v in new.items() if k not in aside}


def _check_preconditions(kind: Kind, obj: Obj, how: Deletion) -> None:
    meta = obj["metadata"]
    if how.uid and how.uid != meta["uid"]:
        why = f"Precondition failed: UID in precondition: {how.uid}, UID in object meta: {meta['uid']}"
        raise errors.conflict(kind.group, kind.plural, meta["name"], why)
    if how.resource_version and how.resource_version != meta["resourceVersion"]:
        why = (
            f"Precondition failed: ResourceVersion in precondition: {how.resource_version}, "
            f"ResourceVersion in object meta: {meta['resourceVersion']}"
        )
        raise errors.conflict(kind.group, kind.plural, meta["name"], why)
