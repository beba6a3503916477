"""Tokens of ServiceAccounts: who they are is the host API's word, what they may is the setting's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.access.review import KEPT, MOST_KEPT, Reviews, Rule, role_of, rules_of
from gateway.access.roles import Caller, Role
from pool.core.errors import InvalidInput
from pool.kube.resources import SERVICE_ACCOUNTS
from tests.gateway.door import inside, of_lab
from tests.gateway.tokens import bearer
from tests.pool.lab import Lab

RULES = "cks-pool/lms=session:exam, group:system:serviceaccounts:cks-pool=viewer"


async def token_of(lab: Lab, name: str, *audiences: str) -> str:
    """A token of a ServiceAccount, which is made."""
    namespace = lab.settings.namespace
    if await lab.kube.find(SERVICE_ACCOUNTS, name, namespace) is None:
        await lab.kube.create(SERVICE_ACCOUNTS, SERVICE_ACCOUNTS.manifest(name, namespace))
    spec = {"audiences": list(audiences), "expirationSeconds": 600}
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = SERVICE_ACCOUNTS.path(namespace, name, "token")
    return str((await lab.kube.request("POST", path, None, asked))["status"]["token"])


async def test_a_service_account_is_known_by_a_token_made_for_the_gateway(lab: Lab) -> None:
    mine, other = [await token_of(lab, name, "cks-pool-gateway") for name in ("lms", "other")]
    async with inside(of_lab(lab), token_review=RULES) as door:

        async def me(token: str) -> Any:
            return (await door.http.get("/api/v1/me", headers=bearer(token))).json()

        lms = {"name": "system:serviceaccount:cks-pool:lms", "role": "session", "pool": "exam"}
        assert await me(mine) == lms
        assert (await me(other))["role"] == "viewer", "by its group"
        lab.kube.counted()
        assert await me(mine) == lms
        assert lab.kube.counted() == [], "for a short while the answer is known"
        for_the_api = await token_of(lab, "lms")
        assert (await me(for_the_api))["reason"] == "Unauthenticated", "it opens the host's API, not this one"
        lab.kube.counted()
        assert (await me("cks_guess"))["reason"] == "Unauthenticated"
        assert lab.kube.counted() == [], "what is no such token is not asked about"


async def test_refusals_from_a_shared_address_do_not_lock_out_who_is_known(lab: Lab) -> None:
    mine, another = [await token_of(lab, name, "cks-pool-gateway") for name in ("lms", "other")]
    async with inside(of_lab(lab), token_review=RULES, rate=5) as door:

        async def status(token: str) -> int:
            return (await door.http.get("/api/v1/me", headers=bearer(token))).status_code

        assert await status(mine) == 200
        assert [await status("a.stolen.one") for _ in range(6)] == [401] * 5 + [429]
        assert await status(mine) == 200, "known already"
        assert await status(another) == 429, "who has to be asked about waits"


async def test_what_the_host_said_is_forgotten_after_a_while_and_of_the_longest_unused(lab: Lab) -> None:
    now = [0.0]
    reviews = Reviews(RULES, "cks-pool-gateway", lambda: now[0])
    token = await token_of(lab, "lms", "cks-pool-gateway")
    assert await reviews.find(token, lab.kube) is not None
    await lab.kube.delete(SERVICE_ACCOUNTS, "lms", lab.settings.namespace)
    assert await reviews.find(token, lab.kube) is not None
    now[0] += KEPT
    assert await reviews.find(token, lab.kube) is None
    assert len(reviews._kept) == 0
    assert MOST_KEPT >= 1


def test_the_first_rule_that_fits_says_what_somebody_is() -> None:
    rules = rules_of("a/b=operator, group:g=session:exam, group:g=viewer")
    assert rules[0] == Rule(Role.OPERATOR, user="system:serviceaccount:a:b")
    assert role_of("u", ["g"], rules) == Caller("u", Role.SESSION, "exam")
    assert role_of("system:serviceaccount:a:b", ["g"], rules) == Caller("system:serviceaccount:a:b", Role.OPERATOR)
    assert role_of("u", ["h"], rules) is None
    assert role_of("", [], rules) is None


@pytest.mark.parametrize("setting", ["a/b", "a=viewer", "a/b=king", "a/b/c=viewer", "group:=viewer", "a/b=session:A B"])
def test_a_setting_that_cannot_be_read_is_refused_by_name(setting: str) -> None:
    with pytest.raises(InvalidInput, match="CKS_GATEWAY_TOKEN_REVIEW"):
        rules_of(setting)
