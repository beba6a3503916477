"""Deleting: finalizers hold an object, owners' dependents go after, with or before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from simulator.api import writeoptions
from simulator.api.errors import ApiError, bad_request, conflict
from simulator.api.kinds import Kind
from simulator.api.requests import Request
from simulator.api.store import Store, Stored
from simulator.timing.clock import today

Obj = dict[str, Any]
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
DEFAULT_GRACE = 30
"""Seconds a pod gets to end when it says nothing else."""


@dataclass(frozen=True)
class Options:
    """DeleteOptions: how the dependents go (None: the kind's default), the grace in seconds, what must still hold."""

    propagation: str | None = None
    grace: int | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def options(request: Request) -> Options:
    """From the body, where kubectl puts them, or the query. Raises ApiError 400, 422."""
    try:
        body = orjson.loads(request.body) if request.body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type v1.DeleteOptions")
    preconditions, dry = body.get("preconditions") or {}, body.get("dryRun") or []
    if not isinstance(preconditions, dict):
        raise _unfit("preconditions", "v1.Preconditions")
    if not isinstance(dry, list) or not all(isinstance(one, str) for one in dry):
        raise _unfit("dryRun", "[]string")
    query = request.query
    given = {
        "propagationPolicy": body.get("propagationPolicy") or query.get("propagationPolicy"),
        "orphanDependents": body.get("orphanDependents", query.get("orphanDependents")),
    }
    dry_run = ",".join(dry) or query.get("dryRun") or ""
    writeoptions.check_deletion(given, dry_run)
    propagation = given["propagationPolicy"]
    if given["orphanDependents"] is not None:
        propagation = "Orphan" if given["orphanDependents"] in (True, "true") else "Background"
    return Options(
        propagation,
        _seconds(body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))),
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        bool(dry_run),
    )


def _seconds(grace: Any) -> int | None:
    try:
        return None if grace is None else int(grace)
    except (ValueError, TypeError):
        raise _unfit("gracePeriodSeconds", "int64") from None


def _unfit(field: str, wanted: str) -> ApiError:
    return bad_request(f"json: cannot unmarshal value into Go struct field DeleteOptions.{field} of type {wanted}")


def check(kind: Kind, obj: Obj, wanted: Options) -> None:
    """Raises ApiError 409 when a precondition does not hold; the server names the kind there, not the resource."""
    meta = obj["metadata"]
    if wanted.uid and wanted.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({meta['uid']})."
            " The object might have been deleted and then recreated"
        )
        raise conflict(kind.group, kind.kind, meta["name"], why)
    if wanted.version and wanted.version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({wanted.version}) does not match the ResourceVersion in record"
            f" ({meta['resourceVersion']}). The object might have been modified"
        )
        raise conflict(kind.group, kind.kind, meta["name"], why)


def delete(store: Store, kind: Kind, stored: Stored, wanted: Options) -> tuple[Stored, bool]:
    """Delete an object, or mark it while finalizers or its grace hold it. Returns it, and whether it is gone."""
    obj = stored.obj
    meta = obj["metadata"]
    key = (meta.get("namespace", ""), meta["name"])
    finalizers = _finalizers(list(meta.get("finalizers") or []), wanted.propagation)
    grace = _grace(kind, obj, wanted)
    held = bool(finalizers) or bool((obj.get("spec") or {}).get("finalizers") if kind.plural == "namespaces" else None)
    if not held and not grace:
        return store.remove(kind.collection, key, obj, expected=stored.version), True
    marked = _marked(obj, finalizers, grace, kind)
    if marked == obj:
        return stored, False
    return store.put(kind.collection, key, marked, expected=stored.version), False


def _finalizers(finalizers: list[str], propagation: str | None) -> list[str]:
    if propagation is None:
        return finalizers
    kept = [one for one in finalizers if one not in (ORPHAN, FOREGROUND)]
    wanted = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(propagation, [])
    return [*kept, *wanted]


def _grace(kind: Kind, obj: Obj, wanted: Options) -> int:
    if not kind.graceful:
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE) if wanted.grace is None else wanted.grace
    before = obj["metadata"].get("deletionGracePeriodSeconds")
    return int(grace if before is None else min(before, grace))


def _marked(obj: Obj, finalizers: list[str], grace: int, kind: Kind) -> Obj:
    meta: Obj = {**obj["metadata"], "finalizers": finalizers}
    if not finalizers:
        del meta["finalizers"]
    if not meta.get("deletionTimestamp") or grace < meta.get("deletionGracePeriodSeconds", 0):
        ends = today() + timedelta(seconds=grace)
        meta["deletionTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
        meta["deletionGracePeriodSeconds"] = grace
        if "generation" in meta:
            meta["generation"] += 1
    marked = {**obj, "metadata": meta}
    if kind.plural == "namespaces" and not kind.group:
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return marked
