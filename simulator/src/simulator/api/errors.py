"""The API's errors, with Kubernetes' own codes, reasons and messages (apimachinery `api/errors`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True)
class Cause:
    """One field's fault, as in `details.causes`."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def unsupported(path: str, value: object, choice: Sequence[str]) -> Cause:
    """A value that is none of the `choice`."""
    said = ", ".join(f'"{one}"' for one in choice)
    return Cause(path, f"Unsupported value: {json.dumps(value)}: supported values: {said}", "FieldValueNotSupported")


def required(path: str, why: str = "") -> Cause:
    """A field that is missing or empty."""
    return Cause(path, f"Required value: {why}" if why else "Required value", "FieldValueRequired")


class ApiError(Exception):
    """An answer that is a Status: `code` (HTTP), `reason`, `message`, `details`."""

    def __init__(
        self, code: int, reason: str, message: str, details: Obj | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.plain = False
        """Whether the answer is plain text instead of a Status."""
        self.resume = ""
        """Continue token by which the rest of an expired list can be had, as it is now."""

    def to_status(self) -> Obj:
        """The `Status` object of the answer's body."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.resume} if self.resume else {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details:
            status["details"] = self.details
        return status


def qualified(plural: str, group: str) -> str:
    """`plural.group`, or just `plural` in the core group."""
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str, **more: Any) -> Obj:
    return {key: value for key, value in {"name": name, "group": group, "kind": kind, **more}.items() if value}


def not_found(group: str, plural: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(name, group, plural))


def no_such_path() -> ApiError:
    """A path that nothing answers for: no Status, just text, as the real server."""
    error = ApiError(404, "NotFound", "404 page not found")
    error.plain = True
    return error


def already_exists(group: str, plural: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(group: str, plural: str, name: str, why: str = "") -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 with one line a cause; several are put in brackets, as Kubernetes does."""
    lines = [f"{cause.field}: {cause.message}" for cause in causes]
    said = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = _details(
        name,
        group,
        kind,
        causes=[{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    )
    return ApiError(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {said}', details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    subject = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(name, group, plural))


def gone(oldest: int, asked: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large(asked: int, present: int) -> ApiError:
    """A version from the future: of another server, or from before this one lost data."""
    message = f"Timeout: Too large resource version: {asked}, current: {present}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1}, retry_after=1)


def not_supported(group: str, plural: str, why: str) -> ApiError:
    """A verb that a custom resource does not have, or not now."""
    return ApiError(405, "MethodNotAllowed", why, _details("", group, plural))


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_acceptable() -> ApiError:
    accepted = "application/json, application/yaml, application/json;as=Table;g=meta.k8s.io;v=v1"
    message = f"only the following media types are accepted: {accepted}"
    return ApiError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiError(415, "UnsupportedMediaType", message)
