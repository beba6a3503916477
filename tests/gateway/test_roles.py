"""Who may call what. The table has every route that is not for everybody; one that is missing fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from gateway.access.checking import GUARDED
from gateway.access.review import rules_of
from gateway.access.roles import Role
from gateway.access.tokens import new_token
from gateway.app import build
from gateway.settings import GatewaySettings
from pool.core.errors import InvalidInput
from tests.gateway.door import inside, of_lab
from tests.gateway.test_sessions import ask
from tests.gateway.tokens import bearer, tokens_of_all_roles
from tests.pool.lab import Lab

V, S, O = Role.VIEWER, Role.SESSION, Role.OPERATOR  # noqa: E741
MAY: dict[str, set[Role]] = {
    "POST /api/v1/sessions": {S, O},
    "GET /api/v1/sessions": {V, S, O},
    "GET /api/v1/sessions/{sessionId}": {V, S, O},
    "PATCH /api/v1/sessions/{sessionId}": {S, O},
    "DELETE /api/v1/sessions/{sessionId}": {S, O},
    "POST /api/v1/sessions/{sessionId}/reset": {S, O},
    "GET /api/v1/sessions/{sessionId}/events": {V, S, O},
    "GET /api/v1/sessions/{sessionId}/kubeconfig": {S, O},
    "GET /api/v1/me": {V, S, O},
    "GET /api/v1/pool": {V, S, O},
    "GET /api/v1/pool/clusters": {V, S, O},
    "GET /api/v1/pools": {V, S, O},
    "GET /api/v1/pools/{pool}": {V, S, O},
    "PATCH /api/v1/pools/{pool}": {O},
    "GET /api/v1/pools/{pool}/clusters": {V, S, O},
    "GET /api/v1/pools/{pool}/clusters/{clusterId}": {V, S, O},
    "PATCH /api/v1/pools/{pool}/clusters/{clusterId}": {O},
    "GET /api/v1/pools/{pool}/events": {V, O},
    "POST /api/v1/admin/bootstrap-pool": {O},
    "POST /api/v1/admin/create-snapshots": {O},
    "POST /api/v1/admin/release-all-clusters": {O},
    "POST /api/v1/admin/clusters/{clusterId}/reset": {O},
    "POST /api/v1/admin/clusters/{clusterId}/rebuild": {O},
    "POST /api/v1/admin/clusters/{clusterId}/cordon": {O},
    "POST /api/v1/admin/clusters/{clusterId}/uncordon": {O},
    "GET /metrics": {V, O},
}


def guarded(app: FastAPI) -> Iterator[str]:
    """Every call of the app that somebody must be known for."""
    for route in iter_route_contexts(app.routes):
        path, methods = getattr(route, "path", "") or "", getattr(route, "methods", None) or ()
        if path.startswith(GUARDED):
            yield from (f"{method} {path}" for method in methods)


def test_every_route_says_who_may_call_it() -> None:
    assert set(guarded(build(GatewaySettings()))) == set(MAY)


@pytest.fixture(scope="module")
def nothing() -> dict[str, str]:
    """What path parameters are: nothing there is."""
    return {"sessionId": "ghost", "pool": "ghost", "clusterId": "ghost"}


async def test_each_role_may_call_what_the_table_says_and_nobody_else(
    lab: Lab, tmp_path: Path, nothing: dict[str, str]
) -> None:
    tokens = tokens_of_all_roles(tmp_path / "tokens")
    async with inside(of_lab(lab), tokens=tmp_path / "tokens") as door:
        for call, may in MAY.items():
            method, path = call.split()
            url = re.sub(r"{(\w+)}", lambda found: nothing[found[1]], path)
            unknown = await door.http.request(method, url, headers=bearer("cks_unknown"))
            assert (await door.http.request(method, url)).status_code == unknown.status_code == 401, call
            for role, token in tokens.items():
                answer = await door.http.request(method, url, headers=bearer(token))
                refused = answer.status_code == 403 and answer.json()["reason"] == "NotAllowed"
                assert refused == (role not in may), f"{role}: {call}: {answer.text}"
                assert answer.status_code < 500 or answer.status_code == 503, call


async def test_a_token_of_one_pool_uses_that_one_only(lab: Lab, tmp_path: Path) -> None:
    await lab.pool(2)
    await lab.state.ensure_pool("exam")
    await lab.add("e1", pool="exam")
    tokens = tokens_of_all_roles(tmp_path / "tokens", pool="exam")
    async with inside(of_lab(lab), tokens=tmp_path / "tokens") as door:
        door.http.headers.update(bearer(tokens[Role.OPERATOR]))
        assert (await ask(door, "theirs")).status_code == 201
        door.http.headers.update(bearer(tokens[Role.SESSION]))
        mine = await ask(door, "mine")
        assert (mine.status_code, mine.json()["pool"]) == (201, "exam")
        assert (await ask(door, "other", pool="default")).status_code == 403
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"heartbeat": True}),
            ("DELETE", "", None),
            ("POST", "/reset", None),
            ("GET", "/events", None),
            ("GET", "/kubeconfig", None),
        ):
            answer = await door.http.request(method, f"/api/v1/sessions/theirs{path}", json=body)
            assert (answer.status_code, answer.json()["reason"]) == (403, "NotAllowed"), f"{method} {path}"
        listed = (await door.http.get("/api/v1/sessions")).json()["items"]
        assert [one["sessionId"] for one in listed] == ["mine"]
        assert (await door.http.get("/api/v1/sessions", params={"pool": "default"})).status_code == 403
    assert (await lab.state.session("theirs")).phase == "Active"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_pool_that_would_restrict_nothing_is_refused_with_the_cure(role: Role, tmp_path: Path) -> None:
    entry = f"- {{name: x, role: {role}, pool: exam, sha256: {'a' * 64}}}\n"
    (tmp_path / "tokens").write_text(entry)
    for make in (
        lambda: new_token("x", role, "exam"),
        lambda: rules_of(f"lms/backend={role}:exam"),
        lambda: build(GatewaySettings(tokens=tmp_path / "tokens")),
    ):
        with pytest.raises(InvalidInput, match="leave the pool out, or make it role session"):
            make()


async def test_nothing_of_another_pool_is_told_to_a_token_of_one(lab: Lab, tmp_path: Path) -> None:
    """Every call that it may make, for what is another pool's by every name, and for all there is."""
    await lab.add("foreign1")
    await lab.state.ensure_pool("exam")
    await lab.add("e1", pool="exam")
    await lab.state.assign("theirs")
    tokens = tokens_of_all_roles(tmp_path / "tokens", pool="exam")
    others = {"sessionId": "theirs", "pool": "default", "clusterId": "foreign1"}
    async with inside(of_lab(lab), tokens=tmp_path / "tokens") as door:
        door.http.headers.update(bearer(tokens[S]))
        for call in (one for one, may in MAY.items() if S in may):
            method, path = call.split()
            asked = {"sessionId": "theirs", "pool": "default"} if method == "POST" else {"heartbeat": True}
            for names in (others, others | {"pool": "exam"}):
                url = re.sub(r"{(\w+)}", lambda found, names=names: names[found[1]], path)
                for more in ({}, {"limit": "1"}, {"limit": "1", "continue": "YQ"}):
                    answer = await door.http.request(method, url, json=None if method == "GET" else asked, params=more)
                    refused = answer.status_code in (403, 404, 422)
                    mine = names["pool"] == "exam" and "{clusterId}" not in path and "{sessionId}" not in path
                    of_all = path in ("/api/v1/me", "/api/v1/pools", "/api/v1/sessions") and method == "GET"
                    assert refused or mine or of_all, f"{call}: {answer.text}"
                    if not refused:
                        told = [name for name in others.values() if name in answer.text]
                        assert told == [], f"{call}: {answer.text}"
    assert (await lab.state.session("theirs")).phase == "Active"
