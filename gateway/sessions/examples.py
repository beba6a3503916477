"""Examples of the API's description."""

from __future__ import annotations

from typing import Any

from fastapi import Body

ACTIVE = {
    "sessionId": "alice-7f3a",
    "status": "Active",
    "assignedCluster": "cluster1",
    "clusterLockTime": "2026-11-29T09:00:00Z",
    "expiresAt": "2026-11-29T10:00:00Z",
    "epoch": 4,
    "message": "holds cluster1",
    "pool": "default",
}
PENDING = {
    "sessionId": "bob-11c0",
    "status": "Pending",
    "message": "",
    "pool": "default",
    "place": 2,
    "queueLength": 3,
    "expectedAt": "2026-11-29T09:04:30Z",
}

REQUEST = Body(
    openapi_examples={
        "for an hour": {"value": {"sessionId": "alice-7f3a", "ttlSeconds": 3600}},
        "waiting": {"value": {"sessionId": "bob-11c0", "pool": "default", "waitSeconds": 300}},
    }
)
PATCH = Body(
    openapi_examples={
        "extend": {"value": {"extendSeconds": 1800}},
        "heartbeat": {"value": {"heartbeat": True}},
    }
)


def _told(description: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


_VIEW = {"schema": {"$ref": "#/components/schemas/SessionView"}}
_LOCATION = {"Location": {"description": "The session.", "schema": {"type": "string"}}}
_TAG = {"ETag": {"description": "This life of the session, and its hold; for If-Match.", "schema": {"type": "string"}}}
_RETRY = {"Retry-After": {"description": "Seconds after which to look again.", "schema": {"type": "integer"}}}

REQUESTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "It had its cluster already.",
        "headers": _LOCATION | _TAG,
        "content": {"application/json": _VIEW | {"example": ACTIVE}},
    },
    201: _told("It has a cluster.", ACTIVE) | {"headers": _LOCATION | _TAG},
    202: {
        "description": "It waits.",
        "headers": _LOCATION | _TAG | _RETRY,
        "content": {"application/json": _VIEW | {"example": PENDING}},
    },
}
TOLD: dict[int | str, dict[str, Any]] = {200: _told("The session.", ACTIVE) | {"headers": _TAG}}
KUBECONFIG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A kubeconfig.",
        "content": {"application/yaml": {"schema": {"type": "string"}}},
    }
}
