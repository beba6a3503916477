"""Applying patches: merge (RFC 7386) and JSON (RFC 6902)."""

from __future__ import annotations

from typing import Any

import jsonpatch

from simulator.api.errors import ApiError, bad_request
from simulator.api.values import copied

Obj = dict[str, Any]
LIMIT = 10_000


def merge(target: Any, patch: Any) -> Any:
    """The target with a merge patch applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(target: Obj, operations: Any) -> Any:
    """The target with a JSON patch applied. Raises ApiError 400 (no patch), 413 (too long), 422 (does not apply)."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > LIMIT:
        said = f"The allowed maximum operations in a JSON patch is {LIMIT}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", said)
    try:
        return jsonpatch.JsonPatch(operations).apply(copied(target), in_place=True)
    except (jsonpatch.InvalidJsonPatch, jsonpatch.JsonPointerException) as error:
        raise _unprocessable() from error
    except (jsonpatch.JsonPatchException, KeyError, TypeError, IndexError) as error:
        raise _unprocessable() from error


def _unprocessable() -> ApiError:
    """Which operation did not apply, and why, only the server's log says."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})
