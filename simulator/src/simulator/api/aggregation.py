"""Groups that somebody else answers for, as an aggregated API server does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from simulator.api.requests import JSON, Request, Response, Target, User


@dataclass(frozen=True)
class Aggregated:
    """A request to such a group, authorized already."""

    method: str
    namespace: str
    name: str
    subresource: str
    headers: Mapping[str, str]
    body: bytes
    user: User
    query: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False


@dataclass(frozen=True)
class Reply:
    """Its answer; a body that is neither bytes nor None goes out as JSON."""

    status: int
    body: Any = None
    content_type: str = JSON


Handler = Callable[[Aggregated], Awaitable[Reply] | Reply]


async def ask(handler: Handler, request: Request, target: Target, user: User) -> Response:
    """Pass a request on. Raises the handler's ApiError."""
    result = handler(
        Aggregated(
            request.method,
            target.namespace,
            target.name,
            target.subresource,
            request.headers,
            request.body,
            user,
            request.query,
            bool(request.query.get("dryRun")),
        )
    )
    reply = await result if inspect.isawaitable(result) else result
    body = reply.body
    if not isinstance(body, bytes):
        body = b"" if body is None else orjson.dumps(body)
    return Response(reply.status, body, reply.content_type)
