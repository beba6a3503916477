"""Create, update, patch, delete: one path for every kind, from the body to the store."""

from __future__ import annotations

from typing import Any

from simulator.api import bodies, objects, writeoptions
from simulator.api.admission import Hook, admitted
from simulator.api.apply import managed
from simulator.api.apply.applying import apply
from simulator.api.calls import Call
from simulator.api.errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    method_not_allowed,
    not_found,
    unsupported_media_type,
)
from simulator.api.kinds import Kind, Scale
from simulator.api.store import Conflict, Key, Store, Stored
from simulator.api.upkeep import deletion
from simulator.api.upkeep.garbage import finish
from simulator.api.values import copied
from simulator.api.writing import scaling, strategic
from simulator.api.writing.binding import bound
from simulator.api.writing.judging import NAMESPACES, check_definition, check_namespace, decode, judge
from simulator.api.writing.patching import json_patch, merge

Obj = dict[str, Any]
IMMORTAL = ("default", "kube-system", "kube-public")
PATCH_TRIES = 5
"""How often a patch without a resourceVersion is tried again on the newest object, as the real server does."""


class Writer:
    """All writes of one API server; objects it returns are stored ones, not to be changed."""

    def __init__(self, store: Store, mutation: list[Hook], hooks: list[Hook], last: Hook) -> None:
        """`mutation` completes objects before they are judged, `hooks` see them after that, `last` sees what passed."""
        self._store = store
        self._mutation = mutation
        self._hooks = hooks
        self._last = last

    async def create(self, call: Call) -> Obj:
        """Raises ApiError 400, 403, 404 (namespace), 409, 422."""
        writeoptions.check(call)
        body = _body(call)
        obj = objects.check_identity(body, call.kind, call.target)
        return await self._create(call, obj, managed.update)

    async def _create(self, call: Call, obj: Obj, book: managed.Booking) -> Obj:
        kind = call.kind
        check_definition(self._store, call)
        decode(call, obj)
        check_namespace(self._store, call, obj)
        objects.begin(obj, kind, call.version)
        obj = kind.stored(obj, call.target.version)
        if kind.prepare is not None:
            kind.prepare(obj, None)
        obj = await self._mutated(call, "CREATE", obj, None)
        judge(call, obj, None)
        obj = await self._admitted(call, "CREATE", obj, None)
        obj = book(obj, None, call.manager, call.target, kind)
        name = obj["metadata"]["name"]
        key = (obj["metadata"].get("namespace", ""), name)
        if self._store.get(kind.collection, key) is not None:
            raise already_exists(kind.group, kind.plural, name)
        if call.dry_run:
            return obj
        check_namespace(self._store, call, obj)
        return self._store.put(kind.collection, key, obj, expected=None).obj

    async def update(self, call: Call) -> tuple[Obj, bool]:
        """The object, and whether it is new. Raises ApiError 400, 403, 404, 409, 422."""
        writeoptions.check(call)
        body = _body(call)
        obj = objects.check_identity(body, call.kind, call.target)
        stored = self._store.get(call.kind.collection, call.key)
        if stored is None:
            if call.kind.upsert and not call.target.subresource:
                return await self._create(call, obj, managed.update), True
            raise not_found(call.kind.group, call.kind.plural, call.target.name)
        decode(call, obj)
        obj = call.kind.stored(obj, call.target.version)
        objects.check_version(obj, stored.obj, call.kind)
        return await self._replace(call, obj, stored, managed.update), False

    async def patch(self, call: Call) -> tuple[Obj, bool]:
        """The object, and whether apply made it. Raises ApiError 400, 404, 409, 415, 422."""
        given = bodies.media_type(call.request.headers.get("content-type", ""))
        accepted = [bodies.JSON_PATCH, bodies.MERGE, bodies.APPLY]
        if call.kind.builtin:
            accepted.insert(2, bodies.STRATEGIC)
        if given not in accepted:
            raise unsupported_media_type(accepted)
        writeoptions.check(call)
        read = bodies.read_yaml if given == bodies.APPLY else bodies.read_json
        body = read(call.request.body)
        for _ in range(PATCH_TRIES):
            stored = self._store.get(call.kind.collection, call.key)
            if stored is None:
                if given == bodies.APPLY and not call.target.subresource:
                    return await self._apply_new(call, body), True
                raise not_found(call.kind.group, call.kind.plural, call.target.name)
            try:
                return await self._patched(call, stored, body, given), False
            except _Overtaken:
                continue
        raise conflict(call.kind.group, call.kind.plural, call.target.name)

    async def _patched(self, call: Call, stored: Stored, body: Any, given: str) -> Obj:
        kind, version = call.kind, call.target.version
        current = kind.converted(stored.obj, version)
        book: managed.Booking = managed.update
        if given == bodies.MERGE:
            if not isinstance(body, dict):
                raise bad_request("the body of a merge patch must be an object")
            changed = merge(current, body)
        elif given == bodies.STRATEGIC:
            changed = strategic.patched(current, body, kind)
        elif given == bodies.APPLY:
            changed, book = apply(current, body, call)
        else:
            changed = json_patch(current, body)
        # A patched object shares parts with the stored one; what follows changes it in place.
        changed = copied(changed)
        obj = objects.check_identity(changed, kind, call.target)
        decode(call, obj)
        obj = kind.stored(obj, version)
        meta = obj["metadata"]
        pinned = meta.get("resourceVersion", "") != stored.obj["metadata"]["resourceVersion"]
        if not meta.get("resourceVersion"):
            meta["resourceVersion"] = stored.obj["metadata"]["resourceVersion"]
        elif pinned:
            raise conflict(kind.group, kind.plural, call.target.name)
        objects.check_version(obj, stored.obj, kind, patched=True)
        return await self._replace(call, obj, stored, book, retry=not _pins(body))

    async def _apply_new(self, call: Call, body: Any) -> Obj:
        applied, book = apply(None, body, call)
        if uid := applied["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(call.kind.group, call.kind.plural, call.target.name, why)
        obj = objects.check_identity(applied, call.kind, call.target)
        return await self._create(call, obj, book)

    async def _replace(
        self, call: Call, obj: Obj, stored: Stored, book: managed.Booking, *, retry: bool = False
    ) -> Obj:
        kind, old = call.kind, stored.obj
        subresource = call.target.subresource
        obj = objects.carry_over(obj, old, kind, call.version, subresource)
        obj = kind.stored(obj, kind.storage) if call.target.version == kind.storage else obj
        if kind.prepare is not None:
            kind.prepare(obj, old)
        obj = await self._mutated(call, "UPDATE", obj, old)
        judge(call, obj, old)
        obj = await self._admitted(call, "UPDATE", obj, old)
        obj = book(obj, old, call.manager, call.target, kind)
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        same = managed.same(obj, old)
        if same or call.dry_run:
            return old if same else obj
        try:
            return self._put_or_finish(kind, call.key, obj, stored)
        except Conflict:
            if retry:
                raise _Overtaken from None
            raise conflict(kind.group, kind.plural, call.target.name) from None

    def _put_or_finish(self, kind: Kind, key: Key, obj: Obj, stored: Stored) -> Obj:
        return finish(self._store, (kind.collection, key), obj, stored).obj

    async def scale(self, call: Call, scale: Scale) -> Obj:
        """Read or change the scale. Raises ApiError 404, 405, 409, 415, 422."""
        stored = self._existing(call)
        current = scaling.scale_of(stored.obj, scale)
        if call.target.verb == "get":
            return current
        if call.target.verb == "update":
            wanted = bodies.read_object(call.request.body, call.request.headers.get("content-type", ""))
        elif call.target.verb == "patch":
            given = bodies.media_type(call.request.headers.get("content-type", ""))
            body = bodies.read_json(call.request.body)
            wanted = json_patch(current, body) if given == bodies.JSON_PATCH else merge(current, body)
        else:
            raise method_not_allowed()
        obj = copied(scaling.scaled(stored.obj, wanted, scale, call.kind))
        given_version = ((wanted or {}).get("metadata") or {}).get("resourceVersion")
        if given_version:
            obj["metadata"]["resourceVersion"] = given_version
        objects.check_version(obj, stored.obj, call.kind)
        return scaling.scale_of(await self._replace(call, obj, stored, managed.update), scale)

    async def bind(self, call: Call) -> None:
        """Put a pod on a node. Raises ApiError 400, 404, 409, 422."""
        wanted = bodies.read_object(call.request.body, call.request.headers.get("content-type", ""))
        for _ in range(PATCH_TRIES):
            stored = self._existing(call)
            obj = managed.update(bound(stored.obj, wanted), stored.obj, call.manager, call.target, call.kind)
            if call.dry_run:
                return
            try:
                self._put_or_finish(call.kind, call.key, obj, stored)
            except Conflict:
                continue
            return
        raise conflict(call.kind.group, call.kind.plural, call.target.name)

    async def delete(self, call: Call) -> tuple[Obj, bool]:
        """The object, and whether it is gone already. Raises ApiError 403, 404, 409."""
        wanted = deletion.options(call.request)
        stored = self._existing(call)
        return await self.delete_stored(call, stored, wanted)

    async def delete_stored(self, call: Call, stored: Stored, wanted: deletion.Options) -> tuple[Obj, bool]:
        kind = call.kind
        deletion.check(kind, stored.obj, wanted)
        if kind.collection == NAMESPACES and stored.obj["metadata"]["name"] in IMMORTAL:
            raise forbidden("", "namespaces", stored.obj["metadata"]["name"], "this namespace may not be deleted")
        await self._admitted(call, "DELETE", {}, stored.obj)
        meta = stored.obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        if wanted.dry_run:
            return stored.obj, False
        for _ in range(PATCH_TRIES):
            current = self._store.get(kind.collection, key)
            if current is None or current.obj["metadata"]["uid"] != meta["uid"]:
                raise not_found(kind.group, kind.plural, meta["name"])
            deletion.check(kind, current.obj, wanted)
            gone, done = deletion.delete(self._store, kind, current, wanted)
            return gone.obj, done
        raise conflict(kind.group, kind.plural, meta["name"])

    def _existing(self, call: Call) -> Stored:
        stored = self._store.get(call.kind.collection, call.key)
        if stored is None:
            raise not_found(call.kind.group, call.kind.plural, call.target.name)
        return stored

    async def _mutated(self, call: Call, operation: str, obj: Obj, old: Obj | None) -> Obj:
        """What is judged: the object as webhooks complete it."""
        if old is None and not self._mutation:
            return obj  # as it came, and nobody else's
        return call.kind.stored(await admitted(self._mutation, call, operation, obj, old), call.kind.storage)

    async def _admitted(self, call: Call, operation: str, obj: Obj, old: Obj | None) -> Obj:
        left = await admitted([*self._hooks, self._last], call, operation, obj, old)
        if operation == "DELETE" or left == obj:
            return obj
        changed = call.kind.stored(left, call.kind.storage)
        judge(call, changed, old)
        return changed


def _body(call: Call) -> Any:
    """The object that is sent. Raises ApiError 400, 415."""
    request = call.request
    try:
        body = bodies.read_object(request.body, request.headers.get("content-type", ""))
    except ApiError as error:
        if error.code != 400:
            raise
        raise _unrecognized(call, error.message) from error
    if isinstance(body, dict) and not call.kind.builtin:
        # Built-in kinds are known by their path; of custom resources nobody knows the type but themselves.
        if not body.get("kind"):
            raise _unrecognized(call, f"Object 'Kind' is missing in '{request.body.decode(errors='replace')}'")
        if not body.get("apiVersion"):
            wanted = call.kind.api_version(call.target.version)
            raise bad_request(f"the API version in the data () does not match the expected API version ({wanted})")
    return body


def _unrecognized(call: Call, why: str) -> ApiError:
    quoted = bodies.summary(call.request.body)
    return bad_request(f"the object provided is unrecognized (must be of type {call.kind.kind}): {why} ({quoted})")


class _Overtaken(Exception):
    """Another write came between; a patch can be made again on the newer object."""


def _pins(body: Any) -> bool:
    return isinstance(body, dict) and bool((body.get("metadata") or {}).get("resourceVersion"))
