"""Roles, callers, and what a route asks of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from gateway.problems import NotAllowed, Unauthenticated
from pool.core.errors import InvalidInput

BEARER = HTTPBearer(
    scheme_name="token",
    bearerFormat="a token of the gateway, or of a ServiceAccount",
    description="`cks-pool token` makes one (docs/api.md).",
    auto_error=False,
)


class Role(StrEnum):
    """What a token is for."""

    VIEWER = "viewer"
    """Sees everything but kubeconfigs, and changes nothing."""
    SESSION = "session"
    """A platform's: sessions, of one Pool or of all."""
    OPERATOR = "operator"
    """Everything."""


def check_role_of_pool(role: Role, pool: str | None) -> None:
    """Raises InvalidInput for a Pool that would restrict nothing: of the roles only `session` is of one."""
    if pool is not None and role is not Role.SESSION:
        raise InvalidInput(
            f"pool {pool} of a {role}",
            expected=f"a pool beside role {Role.SESSION} only",
            actual=f"role {role}, which is of all pools",
            cure=f"leave the pool out, or make it role {Role.SESSION}",
        )


@dataclass(frozen=True)
class Caller:
    """Who asks: the name is for logs, `pool` the only one whose sessions it may use (None: all)."""

    name: str
    role: Role
    pool: str | None = None

    def may_use(self, pool: str) -> bool:
        """Whether sessions of that Pool are its business."""
        return self.pool is None or self.pool == pool

    def check_pool(self, pool: str) -> None:
        """Raises NotAllowed for another Pool than its own."""
        if not self.may_use(pool):
            raise NotAllowed(
                f"{self.name} may not use pool {pool}",
                expected=f"pool {self.pool}",
                actual=f"pool {pool}",
                cure="use a token for that pool",
            )


def requires(*roles: Role) -> Any:
    """The dependency of a route that these roles may call, and operators always; it gives the Caller.

    Raises Unauthenticated, NotAllowed.
    """
    return Depends(check_of(frozenset({*roles, Role.OPERATOR})))


def check_of(roles: frozenset[Role]) -> Callable[..., Caller]:
    """The check itself. Its `roles` are there for a test that walks all routes."""

    def caller(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> Caller:
        found = request.scope.get("caller")
        if not isinstance(found, Caller):
            raise Unauthenticated("no token", expected="Authorization: Bearer TOKEN", actual="none", cure=HOW)
        if found.role not in roles:
            raise NotAllowed(
                f"{found.name} may not do this",
                expected=f"role {' or '.join(sorted(roles))}",
                actual=f"role {found.role}",
                cure="use a token of that role",
            )
        return found

    caller.roles = roles  # type: ignore[attr-defined]
    return caller


HOW = "make one with `cks-pool token`, and put its entry into the gateway's file of tokens"
