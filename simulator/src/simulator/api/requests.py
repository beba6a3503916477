"""What a request is, without any HTTP server: LocalClient and the listener make the same ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from simulator.api.errors import ApiError, no_such_path

JSON = "application/json"


@dataclass(frozen=True)
class User:
    """Who calls: as the authenticator found."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)


ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(slots=True)
class Request:
    """One call. Header names are in lower case; `user` is set when the caller is known already."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User | None = None
    certificate: bytes | None = None
    """The verified client certificate in DER."""

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")


@dataclass(slots=True)
class Response:
    """One answer: a body, or a stream of chunks."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None
    close: Callable[[], None] | None = None
    """Ends the stream."""


class Dropped(Exception):
    """The connection is to be broken without an answer."""


def answer(content: Any, status: int = 200, content_type: str = JSON) -> Response:
    """A JSON answer."""
    return Response(status, orjson.dumps(content), content_type)


def failure(error: ApiError) -> Response:
    """The Status of an error."""
    if error.plain:
        return Response(error.code, f"{error.message}\n".encode(), "text/plain; charset=utf-8")
    response = answer(error.to_status(), error.code)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


@dataclass(slots=True)
class Target:
    """What a path names, and the verb that the authorizer judges."""

    verb: str
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """For paths that are no resource (/healthz): the path."""

    @property
    def is_resource(self) -> bool:
        return bool(self.plural)


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def target(request: Request) -> Target:
    """Read the path. Raises ApiError 404 for one that cannot be a resource's nor a known other one."""
    parts = [part for part in request.path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api" and parts[1] == "v1":
        return _resource(request, "", "v1", parts[2:])
    if len(parts) >= 4 and parts[0] == "apis":
        return _resource(request, parts[1], parts[2], parts[3:])
    return Target(request.method.lower(), rest="/" + "/".join(parts))


def _resource(request: Request, group: str, version: str, parts: list[str]) -> Target:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        inside = len(parts) > 2 and not (len(parts) == 3 and parts[2] in _NAMESPACE_SUBRESOURCES)
        namespace = parts[1]
        if inside:
            parts = parts[2:]
    if len(parts) > 4:
        raise no_such_path()
    plural, name, subresource = [*parts, "", ""][:3]
    if len(parts) == 4:
        subresource = f"{subresource}/{parts[3]}"
    if plural == "namespaces" and not group:
        namespace = name
    return Target(_verb(request, name), group, version, plural, namespace, name, subresource)


def _verb(request: Request, name: str) -> str:
    if request.method == "GET":
        if request.flag("watch"):
            return "watch"
        return "get" if name else "list"
    if request.method == "DELETE" and not name:
        return "deletecollection"
    return _VERBS.get(request.method, request.method.lower())
