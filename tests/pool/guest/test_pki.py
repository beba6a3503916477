"""Certificates, tokens and keys: they verify, and by other means than those that made them."""

from __future__ import annotations

import re
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store

from pool.guest import pki
from tests.pool.guest.conftest import NOW


@pytest.mark.parametrize("behind", [timedelta(), timedelta(days=3)], ids=["on time", "by a clock that is days behind"])
def test_client_certificate_verifies_against_its_ca_only(behind: timedelta) -> None:
    ca, other = pki.make_ca("kubernetes", NOW), pki.make_ca("kubernetes", NOW)
    client = pki.make_client(ca, "cks-pool", pki.CLUSTER_ADMINS, NOW)

    # Client certificates of Kubernetes carry no subjectAltName, which the web's policy demands.
    policy = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(ca.certificate)])).time(NOW - behind)
    policy = policy.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    verified = policy.build_client_verifier().verify(x509.load_pem_x509_certificate(client.certificate), [])

    assert len(verified.chain) == 2
    assert pki.issued_by(client, ca.certificate)
    assert not pki.issued_by(client, other.certificate)


def test_client_certificate_names_user_and_group() -> None:
    ca = pki.make_ca("kubernetes", NOW)
    certificate = x509.load_pem_x509_certificate(pki.make_client(ca, "me", pki.CLUSTER_ADMINS, NOW).certificate)
    assert certificate.subject.rfc4514_string() == "CN=me,O=kubeadm:cluster-admins"
    assert certificate.not_valid_after_utc == NOW + timedelta(days=365)
    assert pki.ends(ca.certificate) == NOW + timedelta(days=3650)


def test_key_of_another_certificate_is_refused() -> None:
    one, other = pki.make_ca("a", NOW), pki.make_ca("b", NOW)
    with pytest.raises(ValueError, match="do not belong together"):
        pki.load(pki.KeyPair(one.certificate, other.key))


def test_tls_loads_what_was_made(tmp_path: Path) -> None:
    ca = pki.make_ca("kubernetes", NOW)
    client = pki.make_client(ca, "me", pki.CLUSTER_ADMINS, NOW)
    (tmp_path / "crt").write_bytes(client.certificate)
    (tmp_path / "key").write_bytes(client.key)
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")


def test_discovery_hash_is_what_openssl_computes(tmp_path: Path) -> None:
    ca = pki.make_ca("kubernetes", NOW)
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    # The command of kubeadm's documentation, without its RSA.
    command = "openssl x509 -pubkey -noout -in ca.crt | openssl pkey -pubin -outform der | openssl dgst -sha256 -hex"
    try:
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl is not installed")
    assert pki.discovery_hash(ca.certificate) == "sha256:" + done.stdout.split()[-1]


def test_bootstrap_tokens_have_kubeadms_form_and_differ() -> None:
    tokens = {pki.make_bootstrap_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token) for token in tokens)


def test_wireguard_public_key_belongs_to_the_private_one() -> None:
    # The first key pair of RFC 7748, 6.1.
    alice = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
    assert pki.wireguard_public(alice) == "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
