"""What the gateway serves at all, to whom, and how it starts and stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.access.roles import Role
from gateway.access.tokens import as_yaml, new_token
from gateway.serving import serve
from gateway.settings import GatewaySettings
from pool.core.errors import InvalidInput
from tests.gateway.door import Door, inside, of_lab
from tests.pool.lab import Lab


async def test_it_lives_and_is_ready_once_the_pool_is_followed(door: Door) -> None:
    assert (await door.http.get("/healthz")).json() == {"status": "ok"}
    assert (await door.http.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({"listen": "0.0.0.0:8080"}, "CKS_GATEWAY_TLS_CERTIFICATE and CKS_GATEWAY_TLS_KEY and CKS_GATEWAY_TOKENS"),
        ({"listen": "0.0.0.0:8080", "tokens": "t"}, "CKS_GATEWAY_TLS_CERTIFICATE"),
        ({"listen": "gateway:8080", "tls_certificate": "c", "tls_key": "k"}, "CKS_GATEWAY_TOKENS"),
        ({"listen": "[::]:8080", "tokens": "t"}, "or listen at 127.0.0.1:8080"),
        ({"tls_certificate": "c"}, "set both"),
    ],
)
async def test_off_loopback_nothing_is_served_without_tls_and_tokens(settings: dict[str, str], lacking: str) -> None:
    with pytest.raises(InvalidInput, match=lacking):
        await serve(GatewaySettings.model_validate(settings))


async def test_errors_are_problems_with_the_request_s_id(door: Door) -> None:
    answer = await door.http.get("/api/v1/nothing", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["requestId"] == "r-1"
    assert answer.json()["reason"] == "NotFound"


@pytest.mark.parametrize(
    "headers", [{"Host": "rebound.example"}, {"Host": "127.0.0.1:8080", "Origin": "https://evil.example"}]
)
async def test_an_open_gateway_refuses_what_another_site_s_page_sends(door: Door, headers: dict[str, str]) -> None:
    answer = await door.http.get("/healthz", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["reason"] == "NotAllowed"


async def test_tokens_are_asked_for_and_rotate_without_a_restart(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    old, entry = new_token("old", Role.VIEWER)
    path.write_text(as_yaml(entry))
    async with inside(of_lab(lab), tokens=path) as door:

        async def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await door.http.get("/api/v1/nothing", headers=headers)).status_code

        assert (await door.http.get("/api/v1/nothing")).status_code == 401
        assert (await status(old), await status("cks_else")) == (404, 401)
        new, another = new_token("new", Role.VIEWER)
        path.write_text(as_yaml(entry) + as_yaml(another))
        assert (await status(old), await status(new)) == (404, 404)
        path.write_text(as_yaml(another))
        assert (await status(old), await status(new)) == (401, 404)
        path.write_text("- no token")
        assert await status(new) == 404, "what cannot be read leaves in force what was read before"
