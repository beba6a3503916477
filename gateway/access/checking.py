"""The door: whoever asks for what is not for everybody is known by a token, before anything of it is read."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import logs
from gateway.access import origins
from gateway.access.roles import HOW, Caller, Role
from gateway.access.tokens import Tokens
from gateway.gateway import Gateway
from gateway.limits import Rate
from gateway.problems import Refusal, Unauthenticated, answered
from pool.core.errors import PoolError

logger = logging.getLogger(__name__)

GUARDED = ("/api/", "/metrics")
"""What everybody may see is not below these: health, the page, which asks for a token, and the API's description."""
ANYBODY = Caller("anybody", Role.OPERATOR)
"""On an open gateway, which only this machine reaches."""


class Authenticator:
    """Finds out who shows a token."""

    def __init__(self, gateway: Gateway) -> None:
        """Raises InvalidInput for tokens that cannot be read."""
        path = gateway.settings.tokens
        self._tokens = Tokens(path) if path is not None else None

    async def caller(self, token: str) -> Caller | None:
        """Who it is, or None for a token that nobody knows. Raises ApiUnavailable."""
        return self._tokens.find(token) if self._tokens is not None else None


class Access:
    """Middleware that says who asks (`scope["caller"]`), refuses who is not known, and counts."""

    def __init__(self, app: ASGIApp, gateway: Gateway, rate: Rate) -> None:
        self._app, self._gateway, self._rate = app, gateway, rate
        self._authenticator = Authenticator(gateway)

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
        if self._gateway.settings.open:
            origins.check(headers.get("host", ""), headers.get("origin"))
        if not str(scope["path"]).startswith(GUARDED):
            return
        caller = ANYBODY if self._gateway.settings.open else await self._known(scope, headers)
        scope["caller"] = caller
        logs.note(caller=caller.name)
        self._rate.check(caller.name)

    async def _known(self, scope: Scope, headers: Headers) -> Caller:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        address = f"address {(scope.get('client') or ('unknown',))[0]}"
        # Only refusals count for an address: a platform's instances may share theirs.
        self._rate.check(address, take=0)
        try:
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("no token", expected="Authorization: Bearer TOKEN", actual="none", cure=HOW)
            found = await self._authenticator.caller(token.strip())
            if found is None:
                raise Unauthenticated("unknown token", expected="one that is known and not over", cure=HOW)
        except Refusal:
            self._rate.check(address)
            raise
        return found
