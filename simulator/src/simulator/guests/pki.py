"""Certificates inside a guest: kubeadm's checks of a given CA, and the leaf certificates it signs."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from simulator.guests.kubeadm import Refused

LEAF_VALIDITY = timedelta(days=365)
"""kubeadm's leaf certificates last a year."""
CA_VALIDITY = timedelta(days=3650)
BACKDATED = timedelta(minutes=5)
"""kubeadm's certificates are valid from a while before they are made, for clocks that are behind."""

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Authority:
    """A CA with its key."""

    certificate: x509.Certificate
    key: SigningKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def spki_hash(self) -> str:
        """`sha256:...` of the public key, as in caCertHashes."""
        spki = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def load(certificate: str, key: str, now: datetime) -> Authority:
    """The CA from PEM texts. Raises Refused when kubeadm would not use it."""
    try:
        cert = x509.load_pem_x509_certificate(certificate.encode())
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except ValueError as error:
        raise Refused(f"couldn't load the certificate authority from /etc/kubernetes/pki: {error}") from error
    if not isinstance(private, SigningKey):
        raise Refused("the certificate authority's key cannot sign")
    if private.public_key() != cert.public_key():
        raise Refused("the certificate authority's certificate and key in /etc/kubernetes/pki do not match")
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints) if _has_constraints(cert) else None
    if constraints is None or not constraints.value.ca:
        raise Refused("the certificate in /etc/kubernetes/pki/ca.crt is not a certificate authority")
    if not cert.not_valid_before_utc <= now + timedelta(minutes=5) <= cert.not_valid_after_utc:
        raise Refused("the certificate authority in /etc/kubernetes/pki is not valid now")
    return Authority(cert, private)


def _has_constraints(cert: x509.Certificate) -> bool:
    return any(isinstance(extension.value, x509.BasicConstraints) for extension in cert.extensions)


def create_authority(now: datetime) -> tuple[str, str]:
    """A new CA as kubeadm makes when it finds none: certificate and key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    start = now - BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + CA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    cert = builder.sign(key, hashes.SHA256())
    return cert.public_bytes(serialization.Encoding.PEM).decode(), _pem(key)


def serving_certificate(authority: Authority, names: Iterable[str], now: datetime) -> tuple[str, str]:
    """The API server's certificate for these DNS names and addresses: certificate and key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    builder = _leaf(authority, subject, key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, now)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys(names)])
    return _signed(authority, builder.add_extension(alternatives, critical=False)), _pem(key)


def kubelet_certificate(authority: Authority, node: str, now: datetime) -> str:
    """A kubelet's client certificate with its key, in one PEM text as kubelet keeps them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}"),
        ]
    )
    builder = _leaf(authority, subject, key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, now)
    return _signed(authority, builder) + _pem(key)


def _leaf(
    authority: Authority,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    usage: x509.ObjectIdentifier,
    now: datetime,
) -> x509.CertificateBuilder:
    """A certificate of a year, or of what is left of its authority's time."""
    start = now - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(min(start + LEAF_VALIDITY, authority.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )


def _signed(authority: Authority, builder: x509.CertificateBuilder) -> str:
    digest = None if isinstance(authority.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(authority.key, digest).public_bytes(serialization.Encoding.PEM).decode()


def end_of(certificate: str) -> datetime:
    """When a certificate (PEM) ends. Raises Refused for what is none."""
    return _parsed(certificate).not_valid_after_utc


def shown_at(certificate: str, authority: Authority, offset: timedelta) -> str:
    """The certificate as a client finds it whose clock is `offset` behind that of the guest.

    A client of the simulator verifies by the machine's clock, the guest lives by the simulated one. So the guest
    shows a copy, signed again by the same CA for the same key, with both dates moved back by the difference: it has
    for the client just the time left (or ended just as long ago) that the real one has for the guest.
    """
    if not offset:
        return certificate
    known = _parsed(certificate)
    builder = (
        x509.CertificateBuilder()
        .subject_name(known.subject)
        .issuer_name(known.issuer)
        .public_key(known.public_key())
        .serial_number(known.serial_number)
        .not_valid_before(known.not_valid_before_utc - offset)
        .not_valid_after(known.not_valid_after_utc - offset)
    )
    for extension in known.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return _signed(authority, builder)


def _parsed(certificate: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as error:
        raise Refused(f"couldn't load the certificate: {error}") from error


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
