"""A guest cluster's keys and certificates, made by the pool before any VM exists.

Which identity the pool gives itself (Kubernetes: kubeadm since 1.29 has two administrator's files):

- `kubeadm:cluster-admins` has no rights of its own: kubeadm init binds it to cluster-admin as soon as its API server
  answers. Before that the pool asks only for /readyz, which the default role system:public-info-viewer grants to all;
  a 403 after it means "not bound yet" and is waited out like a 503. So it suffices from the first boot on, and who
  removes the binding locks the pool out only until the next reset.
- `system:masters` bypasses RBAC and can be revoked with the whole CA only. It is minted in an operator's hands alone
  (`group=BREAK_GLASS`), and never stored.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLUSTER_ADMINS = "kubeadm:cluster-admins"
BREAK_GLASS = "system:masters"

CA_DAYS = 3650
"""As long as kubeadm's own CAs: a cluster is rebuilt long before."""
CLIENT_DAYS = 365
"""As long as kubeadm's own client certificates; the pool renews its own before they end."""
BACKDATED = timedelta(days=7)
"""Certificates are valid before they are made, for guests and workers whose clock is behind: TLS asks their own.
kubeadm lets what it signs begin with its CA."""

_TOKEN_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_ca(common_name: str, now: datetime) -> KeyPair:
    """A self-signed CA; kubeadm uses the one it finds in /etc/kubernetes/pki."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _certificate(name, name, key.public_key(), key.public_key(), now, now + timedelta(days=CA_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def make_client(ca: KeyPair, common_name: str, group: str, now: datetime, *, until: datetime | None = None) -> KeyPair:
    """A client certificate of `ca` for user `common_name` in `group`, good until then (None: for CLIENT_DAYS)."""
    issuer, issuer_key = load(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    end = until or now + timedelta(days=CLIENT_DAYS)
    builder = _certificate(subject, issuer.subject, key.public_key(), issuer_key.public_key(), now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def make_server(ca: KeyPair, names: Sequence[str], now: datetime) -> KeyPair:
    """A server certificate of `ca` for DNS names; it lasts as long as a CA."""
    issuer, issuer_key = load(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = _certificate(
        subject, issuer.subject, key.public_key(), issuer_key.public_key(), now, now + timedelta(days=CA_DAYS)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def load(pair: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Certificate and key as objects. Raises ValueError if they do not parse or do not belong together."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("certificate and private key do not belong together")
    return certificate, key


def issued_by(client: KeyPair, ca_certificate: bytes) -> bool:
    """Whether the client certificate's key fits and this CA signed it."""
    try:
        certificate, _ = load(client)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_certificate))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def ends(certificate: bytes) -> datetime:
    """When a PEM certificate ends, UTC."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def discovery_hash(ca_certificate: bytes) -> str:
    """The CA's public key as `kubeadm join --discovery-token-ca-cert-hash` wants it, "sha256:<hex>"."""
    public = x509.load_pem_x509_certificate(ca_certificate).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return "sha256:" + hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def make_bootstrap_token() -> str:
    """A kubeadm bootstrap token: 6 public and 16 secret characters, "abcdef.0123456789abcdef"."""
    letters = [secrets.choice(_TOKEN_LETTERS) for _ in range(22)]
    return "".join(letters[:6]) + "." + "".join(letters[6:])


def make_wireguard_key() -> str:
    """A WireGuard private key (X25519), base64."""
    return base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()


def wireguard_public(private_key: str) -> str:
    """The public key of a WireGuard private key, both base64."""
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(private_key))
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_public: ec.EllipticCurvePublicKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        # Strict verifiers (Python 3.13's default) want both identifiers.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    pem = serialization.Encoding.PEM
    # PKCS 8 would do for Kubernetes too; kubeadm writes and reads "EC PRIVATE KEY".
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return KeyPair(certificate.public_bytes(pem), private)
