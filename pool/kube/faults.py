"""The client library's answers and exceptions, translated once into the pool's errors; and which may be tried again."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from pool.core.errors import (
    AlreadyExists,
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)

NETWORK_FAULTS = (aiohttp.ClientError, TimeoutError, ConnectionError, OSError, ApiException)
"""What a request can raise when there is no answer to it."""

DENIED = "denied the request:"
"""KubeVirt: a subresource whose change a webhook refuses answers 500 with this text. It is a refusal, not an outage."""


NO_SUCH_KIND = "NoSuchKind"
"""Reason of a 404 that names no object: the path is not served, so its kind is not installed."""


@dataclass(frozen=True)
class Fault:
    """A failed call: the error, whether it certainly changed nothing, and the seconds the server asks to wait."""

    error: ApiError
    untouched: bool = False
    retry_after: float | None = None


def answered(status: int, body: bytes, headers: Mapping[str, str]) -> Fault:
    """The fault of an answer of 400 or more; `body` is a Kubernetes Status or anything else."""
    text = _status_object(body)
    reason = str(text.get("reason") or "") or f"HTTP{status}"
    if status == 404 and not (text.get("details") or {}).get("name"):
        reason = NO_SUCH_KIND
    message = str(text.get("message") or body[:200].decode(errors="replace").strip() or "no message")
    wait = _seconds(headers.get("Retry-After"))
    return Fault(_kind(status, reason, message)(status, reason, message), status == 429, wait)


def unanswered(error: BaseException, where: str) -> Fault:
    """The fault of a call that got no answer from `where` (host and port)."""
    untouched = isinstance(error, aiohttp.ClientConnectorError)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        message, cure = f"{where} is not who it should be: {error}", "check the CA in the kubeconfig"
    else:
        message, cure = f"{where} does not answer: {_plain(error)}", "check that it runs and can be reached from here"
    return Fault(ApiUnavailable(0, type(error).__name__, message, cure=cure), untouched)


def without_credentials(why: str, where: str) -> Fault:
    """The fault of a call for which there are no credentials any more; whoever issues them may have others soon."""
    message = f"no credentials for {where}: {why}"
    return Fault(ApiUnavailable(0, "NoCredentials", message, cure="see to what issues them"), untouched=True)


def backoff(fault: Fault, *, repeatable: bool) -> bool | float:
    """Whether to try again, or after how many seconds: only what can pass, and only what harms nothing twice."""
    if not isinstance(fault.error, ApiUnavailable) or not (repeatable or fault.untouched):
        return False
    return True if fault.retry_after is None else fault.retry_after


def _kind(status: int, reason: str, message: str) -> type[ApiError]:
    if status >= 500 and DENIED in message:
        return Invalid
    if status in (408, 429) or status >= 500:
        return ApiUnavailable
    if status == 409:
        return AlreadyExists if reason == "AlreadyExists" else Conflict
    kinds: dict[int, type[ApiError]] = {400: Invalid, 401: Forbidden, 403: Forbidden, 404: NotFound, 422: Invalid}
    # 410 of a list's continue token or a watch is dealt with where lists and watches are made.
    return kinds.get(status, ApiError)


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(header: str | None) -> float | None:
    # Retry-After may also be a date; the API server never sends one.
    return float(header) if header and header.replace(".", "", 1).isdigit() else None


def _plain(error: BaseException) -> str:
    return str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)


class Faulty(Exception):
    """Carries a fault from a request to its retries; it never leaves the client."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault.error))


def retry_on(repeatable: bool) -> Callable[[Exception], bool | float]:
    """The hook that tells stamina whether and when to try again."""
    return lambda error: isinstance(error, Faulty) and backoff(error.fault, repeatable=repeatable)
