"""Server-side apply: merge what a manager wants, prune what it no longer wants, refuse what is somebody else's."""

from __future__ import annotations

from typing import Any

from simulator.api.apply import fieldsets, managed, typedpatch
from simulator.api.apply.fieldsets import Path
from simulator.api.apply.managed import Entry
from simulator.api.calls import Call
from simulator.api.errors import ApiError, bad_request
from simulator.api.kinds import Kind
from simulator.api.objects import now
from simulator.api.requests import Target
from simulator.api.schema import Schema
from simulator.api.values import child_of

Obj = dict[str, Any]


def apply(current: Obj | None, body: Any, call: Call) -> tuple[Obj, managed.Booking]:
    """The merged object, and how to book it. Raises ApiError 400, 409 (fields of others, unless forced)."""
    config = _config(body, call)
    schema = managed.schema_of(call.version)
    wanted = set(fieldsets.applied(_owned_part(config, call), schema))
    live = current or {}
    merged = merge(live, config, schema)
    known = managed.entries(current)
    subresource = call.target.subresource if call.target.subresource == "status" else ""
    identity = (call.manager, "Apply", call.kind.api_version(call.target.version), subresource)
    own = next((one for one in known if one.identity == identity), None)
    others = [one for one in known if one is not own]
    if own is not None:
        gone = own.fields - wanted
        merged = prune(merged, {path for path in gone if not any(_covers(one.fields, path) for one in others)}, schema)
    changed = {path for what, path in fieldsets.changes(merged, live, schema) if what == "set"} & wanted
    if current is not None:
        _resolve(others, changed, force=call.request.flag("force"))

    def book(obj: Obj, old: Obj | None, manager: str, target: Target, kind: Kind) -> Obj:
        obj["metadata"].pop("managedFields", None)
        # Its time is that of the last apply that changed something; a write of times alone is none.
        kept = Entry(*identity, now(), wanted)
        obj["metadata"]["managedFields"] = managed.written([*others, kept])
        return obj

    return merged, book


def _config(body: Any, call: Call) -> Obj:
    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the body of an apply is no object")
    _of_the_kind(body, call)
    if not isinstance(body.get("metadata") or {}, dict):
        raise untyped(call, {}, f".metadata: expected map, got &{{{typedpatch.printed(body['metadata'])}}}")
    if (body.get("metadata") or {}).get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    given = body.get("metadata") or {}
    meta = {**given, "name": given.get("name") or call.target.name}
    if call.kind.namespaced:
        meta["namespace"] = given.get("namespace") or call.target.namespace
    _typed(body, call)
    return {**body, "metadata": meta}


def _of_the_kind(body: Obj, call: Call) -> None:
    group, _, version = str(body.get("apiVersion") or "").rpartition("/")
    kind = body.get("kind") or ""
    if (group, version, kind) != (call.kind.group, call.target.version, call.kind.kind):
        raise bad_request(f"invalid object type: {group}/{version}, Kind={kind}")


def _typed(body: Obj, call: Call) -> None:
    """Raises ApiError 500 for a body without the kind's types: kube-apiserver has no code of its own for that."""
    schema = managed.schema_of(call.version)
    if schema is not None and (why := typedpatch.faults(body, schema)):
        raise untyped(call, body.get("metadata") or {}, why)


def untyped(call: Call, meta: Obj, why: str) -> ApiError:
    """A body that cannot be read as the kind's type; `meta`: its metadata."""
    where = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
    of = f"{where}; {call.kind.group}/{call.target.version}, Kind={call.kind.kind}"
    return ApiError(500, "", f"failed to create typed patch object ({of}): {why}")


def _owned_part(config: Obj, call: Call) -> Obj:
    """An apply of the main resource owns nothing of the status, and one of the status nothing else."""
    if call.target.subresource == "status":
        return {"status": config["status"]} if "status" in config else {}
    if call.version.status:
        return {key: value for key, value in config.items() if key != "status"}
    return config


def _covers(fields: set[Path], path: Path) -> bool:
    return any(one[: len(path)] == path for one in fields)


def _resolve(others: list[Entry], changed: set[Path], *, force: bool) -> None:
    found = [(one, sorted(one.fields & changed)) for one in others if one.fields & changed]
    if not found:
        return
    if force:
        for one, paths in found:
            one.fields, one.source = one.fields - set(paths), None
        return
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_who(one)}", "field": fieldsets.shown(path)}
        for one, paths in found
        for path in paths
    ]
    count = len(causes)
    if count == 1:
        said = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        parts = []
        for one, paths in found:
            listed = "\n".join(f"- {fieldsets.shown(path)}" for path in paths)
            parts.append(f"conflicts with {_who(one)}:\n{listed}")
        said = f"Apply failed with {count} conflicts: " + "\n".join(parts)
    raise ApiError(409, "Conflict", said, {"causes": causes})


def _who(entry: Entry) -> str:
    with_subresource = f' with subresource "{entry.subresource}"' if entry.subresource else ""
    using = f" using {entry.version}" if entry.operation == "Update" else ""
    return f'"{entry.manager}"{with_subresource}{using}'


def merge(live: Any, config: Any, schema: Schema | None) -> Any:
    """Objects by field, keyed lists by key, everything else as the config has it; neither is changed."""
    if isinstance(config, dict) and isinstance(live, dict) and (schema is None or schema.map_type != "atomic"):
        merged = dict(live)
        for name, value in config.items():
            below = child_of(name, schema) if schema is not None else None
            merged[name] = merge(live[name], value, below) if name in live else value
        return merged
    keyed = schema is not None and schema.list_type in ("map", "set")
    if isinstance(config, list) and isinstance(live, list) and keyed:
        before, after = dict(fieldsets.steps(live, schema)), dict(fieldsets.steps(config, schema))
        items = schema.items if schema else None
        kept = [merge(item, after[step], items) if step in after else item for step, item in before.items()]
        return [*kept, *(item for step, item in after.items() if step not in before)]
    return config


def prune(obj: Any, paths: set[Path], schema: Schema | None, at: Path = ()) -> Any:
    """The object without these fields; what is emptied by that stays empty only if it was so named."""
    if isinstance(obj, dict):
        result = {}
        for name, value in obj.items():
            path = (*at, f"f:{name}")
            if path in paths:
                continue
            below = child_of(name, schema) if schema is not None else None
            pruned = prune(value, paths, below, path) if _touches(paths, path) else value
            if pruned in ({}, []) and value not in ({}, []):
                continue
            result[name] = pruned
        return result
    if isinstance(obj, list):
        items = schema.items if schema else None
        return [
            prune(item, paths, items, (*at, step))
            for step, item in fieldsets.steps(obj, schema)
            if (*at, step) not in paths
        ]
    return obj


def _touches(paths: set[Path], at: Path) -> bool:
    return any(path[: len(at)] == at for path in paths)
