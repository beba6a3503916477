"""The door: whoever asks for what is not for everybody is known by a token, before anything of it is read."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import logs
from gateway.access import origins
from gateway.access.review import Reviews, looks_like_one
from gateway.access.roles import HOW, Caller, Role
from gateway.access.tokens import Tokens
from gateway.gateway import Gateway
from gateway.limits import Rate
from gateway.problems import Unauthenticated, answered
from pool.core.errors import PoolError

logger = logging.getLogger(__name__)

GUARDED = ("/api/", "/metrics")
"""What everybody may see is not below these: health, the page, which asks for a token, and the API's description."""
ANYBODY = Caller("anybody", Role.OPERATOR)
"""On an open gateway, which only this machine reaches."""


class Authenticator:
    """Finds out who shows a token."""

    def __init__(self, gateway: Gateway, rate: Rate) -> None:
        """Raises InvalidInput for tokens that cannot be read, or a setting of reviews that cannot."""
        settings = gateway.settings
        self._gateway, self._rate = gateway, rate
        self._tokens = Tokens(settings.tokens) if settings.tokens is not None else None
        self._reviews = Reviews(settings.token_review, settings.token_audience) if settings.token_review else None

    async def caller(self, authorization: str, address: str) -> Caller:
        """Who it is. Raises Unauthenticated; TooManyRequests if too many were refused from there; ApiError."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            self._rate.check(address)
            raise Unauthenticated("no token", expected="Authorization: Bearer TOKEN", actual="none", cure=HOW)
        found = self._tokens.find(token.strip()) if self._tokens is not None else None
        if found is None and self._reviews is not None and looks_like_one(token.strip()):
            found = self._reviews.known(token.strip())
            if found is None:
                # Only refusals count: those who are known may share their address with others.
                self._rate.check(address, take=0)
                found = await self._reviews.find(token.strip(), self._gateway.the_host().kube)
        if found is None:
            self._rate.check(address)
            raise Unauthenticated("unknown token", expected="one that is known, and not over", cure=HOW)
        return found


class Access:
    """Middleware that says who asks (`scope["caller"]`), refuses who is not known, and counts."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, rate: Rate, *, is_open: bool) -> None:
        self._app, self._authenticator, self._rate, self._open = app, authenticator, rate, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._check(scope)
            except PoolError as error:
                await answered(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._open:
            origins.check(headers.get("host", ""), headers.get("origin"))
        if not str(scope["path"]).startswith(GUARDED):
            return
        caller = ANYBODY if self._open else await self._known(scope, headers)
        scope["caller"] = caller
        logs.note(caller=caller.name)
        self._rate.check(f"caller {caller.name}")

    async def _known(self, scope: Scope, headers: Headers) -> Caller:
        address = f"address {(scope.get('client') or ('unknown',))[0]}"
        return await self._authenticator.caller(headers.get("authorization", ""), address)
