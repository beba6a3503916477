"""Every error as problem details (RFC 9457): the same reasons as `status.failure` has, and the cure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException as AnyHttpException
from starlette.types import Scope

from pool.core import errors
from pool.core.errors import PoolError
from pool.core.fields import Time

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 2
"""Seconds after which it is worth asking again when the host's API did not answer."""


class Refusal(PoolError):
    """What the gateway itself says no to. `retry_after`: seconds after which it may say yes."""

    status: ClassVar[int] = 400

    def __init__(
        self, what: str, *, expected: object = "", actual: object = "", cure: str = "", retry_after: int | None = None
    ) -> None:
        self.retry_after = retry_after
        super().__init__(what, expected=expected, actual=actual, cure=cure)


class Unauthenticated(Refusal):
    """Nobody known: no token, or one that is not, or no more, valid."""

    status = 401


class NotAllowed(Refusal):
    """Somebody known, who may not do this."""

    status = 403


class PreconditionFailed(Refusal):
    """An If-Match of a life or a hold of the session that is over."""

    status = 412


class TooLarge(Refusal, HTTPException):
    """A body longer than is read."""

    # Raised while FastAPI reads the body, which lets only HTTPExceptions through.
    status = 413

    def __init__(self, limit: int) -> None:
        HTTPException.__init__(self, self.status)
        Refusal.__init__(
            self,
            "the body is too large",
            expected=f"at most {limit} bytes",
            cure="send less, or set CKS_GATEWAY_BODY_LIMIT",
        )


class TooManyRequests(Refusal):
    """More calls than the caller may make."""

    status = 429


class RequestTimeout(Refusal):
    """It took longer than a request may. What was begun is found by asking again."""

    status = 503


RIGHTS = "apply deployments/rbac: the gateway's own account lacks a right, and asking again does not help"

STATUS: Mapping[type[PoolError], int] = {
    errors.InvalidInput: 422,
    errors.Invalid: 422,
    errors.UnknownPool: 404,
    errors.UnknownCluster: 404,
    errors.UnknownSession: 404,
    errors.NoClusterAvailable: 409,
    errors.IllegalTransition: 409,
    errors.NotHolder: 409,
    errors.OperationInProgress: 409,
    errors.StaleOperation: 409,
    errors.Conflict: 409,
    errors.AlreadyExists: 409,
    errors.NotOurs: 409,
    errors.GuestUnhealthy: 409,
    errors.WaitTimeout: 503,
    errors.KubeconfigError: 503,
    errors.Forbidden: 502,
    errors.ApiError: 503,
}
"""By the nearest class up the tree; what is not there is a 500, since nobody foresaw it on this path."""


class Problem(BaseModel):
    """Problem details (RFC 9457): what went wrong, in the pool's own words, and the cure."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True)

    type: str = Field(examples=["/problems/NoClusterAvailable"])
    """URI reference of the kind of problem."""
    title: str = Field(examples=["no cluster for session alice"])
    """The matter in a few words."""
    status: int = Field(examples=[409])
    """The HTTP status."""
    detail: str = Field(examples=["no cluster for session alice: expected an available cluster, got 3 locked"])
    """All of it in one line, for people."""
    reason: str = Field(examples=["NoClusterAvailable"])
    """One CamelCase word, for programs."""
    expected: str | None = None
    """What was expected."""
    actual: str | None = None
    """What was found."""
    cure: str | None = None
    """What helps."""
    request_id: str | None = None
    """The request, as the log has it."""
    counts: dict[str, int] | None = None
    """How many clusters are in which phase (NoClusterAvailable)."""
    expected_at: Time | None = None
    """When a cluster is expected (NoClusterAvailable)."""
    errors: list[dict[str, Any]] | None = None
    """What is wrong with which field (InvalidRequest)."""


def status_of(error: PoolError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Refusal):
        return error.status
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem_of(error: PoolError) -> Problem:
    """The error as it is told. Pure."""
    reason = type(error).__name__
    known = (
        {"counts": error.counts, "expected_at": error.expected_at}
        if isinstance(error, errors.NoClusterAvailable)
        else {}
    )
    return Problem(
        type=f"/problems/{reason}",
        title=error.what,
        status=status_of(error),
        detail=str(error),
        reason=reason,
        expected=error.expected or None,
        actual=error.actual or None,
        cure=error.cure or (RIGHTS if isinstance(error, errors.Forbidden) else None),
        **known,
    )


def headers_of(error: PoolError) -> dict[str, str]:
    """Headers that go with it."""
    after = error.retry_after if isinstance(error, Refusal) else None
    if after is None and status_of(error) == 503:
        after = RETRY_AFTER
    headers = {} if after is None else {"Retry-After": str(after)}
    return headers | ({"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {})


def answer(problem: Problem, request_id: str | None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that tells a problem."""
    told = problem.model_copy(update={"request_id": request_id})
    content = told.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(content, problem.status, dict(headers or {}), MEDIA_TYPE)


def answered(error: PoolError, scope: Scope) -> JSONResponse:
    """The answer to a request that met this error, which is noted for the request's line in the log."""
    scope["problem"] = error
    return answer(problem_of(error), scope.get("request_id"), headers_of(error))


def install(app: FastAPI) -> None:
    """Have every error of the app told as problem details."""
    app.add_exception_handler(PoolError, _pool_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(AnyHttpException, _http_error)


async def _pool_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PoolError)
    if isinstance(error, errors.ApiUnavailable):
        # What is seen of it is not to be told as the truth for longer.
        request.app.state.gateway.pulse.doubt()
    if status_of(error) == 500:
        logger.error("nobody foresaw this here: %s", error, exc_info=error)
    return answered(error, request.scope)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHttpException)
    phrase = HTTPStatus(error.status_code).phrase
    reason = "".join(word.capitalize() for word in phrase.replace("-", " ").split())
    told = Problem(
        type=f"/problems/{reason}", title=phrase, status=error.status_code, detail=str(error.detail), reason=reason
    )
    return answer(told, request.scope.get("request_id"), error.headers)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [{"loc": [str(part) for part in one["loc"]], "msg": one["msg"]} for one in error.errors()]
    first = found[0]
    told = Problem(
        type="/problems/InvalidInput",
        title="the request cannot be read",
        status=422,
        detail=f"{'.'.join(first['loc'])}: {first['msg']}",
        reason="InvalidInput",
        cure="see /openapi.json",
        errors=found,
    )
    return answer(told, request.scope.get("request_id"))


def unforeseen(error: Exception, scope: Scope) -> JSONResponse:
    """The answer to what nobody foresaw: it says nothing of it but its kind."""
    told = Problem(
        type="/problems/Unforeseen",
        title="something that nobody foresaw",
        status=500,
        detail=f"{type(error).__name__}; the log has it, by the request's ID",
        reason="Unforeseen",
    )
    return answer(told, scope.get("request_id"))


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer problems of these statuses, beside those that any may."""
    always = (400, 401, 403, 413, 422, 429, 502, 503)
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    told = {status: {"description": HTTPStatus(status).phrase, "content": schema} for status in (*always, *statuses)}
    return dict(sorted(told.items()))
