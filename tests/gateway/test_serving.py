"""What the gateway serves at all, to whom, and how it starts and stops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.access.roles import Role
from gateway.access.tokens import as_yaml, new_token
from gateway.app import build
from gateway.serving import Server, listening, serve
from gateway.settings import GatewaySettings
from gateway.tls import renewing
from pool.core.errors import InvalidInput
from tests.gateway.door import Door, inside, of_lab
from tests.gateway.tokens import bearer, tokens_of_all_roles
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


async def test_an_open_gateway_refuses_what_another_site_s_page_sends(door: Door) -> None:
    for headers in ({"Host": "rebound.example"}, {"Host": "127.0.0.1:8080", "Origin": "https://evil.example"}):
        answer = await door.http.get("/healthz", headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (403, "NotAllowed"), headers


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


async def test_it_is_served_by_tls_and_its_certificate_renewed_without_a_restart(lab: Lab, tmp_path: Path) -> None:
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    token = tokens_of_all_roles(tmp_path / "tokens")[Role.VIEWER]
    given = GatewaySettings(
        listen="127.0.0.1:0", tls_certificate=files[0], tls_key=files[1], tokens=tmp_path / "tokens", stop_timeout=1
    )
    first, second = certificate(files), b""
    server = Server(build(given, open_host=of_lab(lab)), given)
    server.config.load()
    assert server.config.ssl is not None
    renewal = asyncio.create_task(renewing(server.config.ssl, *files, every=0.01))
    with listening(given) as bound:
        running = asyncio.create_task(server._serve([bound]))
        address = f"https://127.0.0.1:{bound.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=address, verify=trusting(first), headers=bearer(token)) as http:
                assert (await http.get("/api/v1/me")).json()["role"] == "viewer"
            second = certificate(files)
            async with asyncio.timeout(10):
                while await shown(bound.getsockname()[1]) != second:
                    assert not renewal.done()
            files[1].write_text("no key")
            assert await shown(bound.getsockname()[1]) == second
        finally:
            renewal.cancel()
            server.should_exit = True
            await running


def certificate(files: tuple[Path, Path]) -> bytes:
    """Write a new certificate for 127.0.0.1 and its key. Returns the certificate, DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files[0].write_bytes(made.public_bytes(pem))
    return made.public_bytes(serialization.Encoding.DER)


def trusting(der: bytes) -> ssl.SSLContext:
    """A client's context that trusts this certificate and no other."""
    return ssl.create_default_context(cadata=der)


async def shown(port: int) -> bytes:
    """The certificate that the server shows to a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return found


def test_the_end_of_an_answer_does_not_wait_for_the_client() -> None:
    """asyncio switches Nagle's algorithm off on sockets of this protocol only: with it each answer takes 40 ms more."""
    with listening(GatewaySettings(listen="127.0.0.1:0")) as bound:
        assert bound.proto == socket.IPPROTO_TCP
