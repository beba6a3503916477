"""Tokens of ServiceAccounts: the host's API says whose one is, the settings say what its owner is here.

    CKS_GATEWAY_TOKEN_REVIEW="lms/backend=session:exam, group:system:serviceaccounts:sre=operator"

A platform's pod mounts one made for the gateway alone (a projected volume with CKS_GATEWAY_TOKEN_AUDIENCE), which the
kubelet renews; nothing has to be rotated by hand.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.access.roles import Caller, Role, check_role_of_pool
from gateway.settings import PREFIX
from pool.core.errors import InvalidInput
from pool.core.fields import PoolName
from pool.kube.client import Kube

logger = logging.getLogger(__name__)

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
KEPT = 30.0
"""Seconds for which an answer is believed: as long as a token that was taken back may still be good."""
MOST_KEPT = 1000
"""Answers kept; those used longest ago go first."""

_POOL: TypeAdapter[str] = TypeAdapter(PoolName)


@dataclass(frozen=True)
class Rule:
    """Who shows a token of this user, or of one in this group, has that role here."""

    role: Role
    pool: str | None = None
    user: str = ""
    group: str = ""

    def fits(self, user: str, groups: Sequence[str]) -> bool:
        """Whether it is about this one."""
        return user == self.user if self.user else self.group in groups


def rules_of(setting: str) -> list[Rule]:
    """The rules of the setting, in its order. Raises InvalidInput."""
    return [_rule(part.strip()) for part in setting.split(",") if part.strip()]


def _rule(text: str) -> Rule:
    who, _, what = text.rpartition("=")
    role, _, pool = what.partition(":")
    try:
        given: dict[str, Any] = {"role": Role(role), "pool": _POOL.validate_python(pool) if pool else None}
    except (ValueError, ValidationError):
        raise _bad(text) from None
    check_role_of_pool(given["role"], given["pool"])
    kind, _, group = who.partition(":")
    if kind == "group" and group:
        return Rule(**given, group=group)
    namespace, slash, name = who.partition("/")
    if not (namespace and slash and name) or "/" in name or ":" in who:
        raise _bad(text)
    return Rule(**given, user=f"system:serviceaccount:{namespace}:{name}")


def _bad(text: str) -> InvalidInput:
    return InvalidInput(
        f"setting {PREFIX}TOKEN_REVIEW",
        expected="NAMESPACE/NAME=ROLE, or group:GROUP=ROLE, with :POOL after role session if it is for one",
        actual=repr(text),
        cure=f"roles are {', '.join(Role)}",
    )


def role_of(user: str, groups: Sequence[str], rules: Sequence[Rule]) -> Caller | None:
    """Who the user is here, by the first rule that fits. Pure."""
    return next((Caller(user, rule.role, rule.pool) for rule in rules if rule.fits(user, groups)), None)


def looks_like_one(token: str) -> bool:
    """Whether it may be a ServiceAccount's (a JWT): the host's API is asked about no others."""
    return token.count(".") == 2


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Reviews:
    """What the host's API said of tokens, for a short while."""

    def __init__(self, setting: str, audience: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidInput for a setting that cannot be read."""
        self._rules, self._audience, self._now = rules_of(setting), audience, monotonic
        self._kept: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def known(self, token: str) -> Caller | None:
        """Whose token it is by an answer that is believed still; asks nobody."""
        key = _key(token)
        caller, until = self._kept.get(key, (None, 0.0))
        if caller is not None and self._now() < until:
            self._kept.move_to_end(key)
            return caller
        self._kept.pop(key, None)
        return None

    async def find(self, token: str, kube: Kube) -> Caller | None:
        """Whose token it is, here; None for nobody's. Raises ApiError."""
        if (known := self.known(token)) is not None:
            return known
        key = _key(token)
        caller = self._caller(await kube.request("POST", PATH, None, self._asked(token)))
        if caller is not None:
            self._kept[key] = caller, self._now() + KEPT
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return caller

    def _asked(self, token: str) -> dict[str, Any]:
        spec = {"token": token, "audiences": [self._audience]}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}

    def _caller(self, review: Mapping[str, Any]) -> Caller | None:
        status = review.get("status") or {}
        # A server that knows no audiences says nothing of ours: then the token is for its own API, not for us.
        if not status.get("authenticated") or self._audience not in (status.get("audiences") or []):
            return None
        user = status.get("user") or {}
        return role_of(str(user.get("username", "")), user.get("groups") or [], self._rules)
