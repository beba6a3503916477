"""The simulator's own certificate authority and what it signs; made once a process."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
ADDRESSES = ("127.0.0.1", "::1", "127.96.0.1")
VALIDITY = timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def authority(name: str = "simulator-ca") -> Pair:
    """A new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    usage = x509.KeyUsage(True, False, True, False, False, True, True, False, False)
    return Pair(builder.add_extension(usage, True).sign(key, hashes.SHA256()), key)


def server(ca: Pair, names: tuple[str, ...], addresses: tuple[str, ...]) -> Pair:
    """A server's certificate for these names and IP addresses."""
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.SubjectAlternativeName(alternatives), False)]
    return _leaf(ca, "kube-apiserver", (), ExtendedKeyUsageOID.SERVER_AUTH, extensions)


def client(ca: Pair, user: str, groups: tuple[str, ...] = ()) -> Pair:
    """A client's certificate: common name `user`, organizations `groups`."""
    return _leaf(ca, user, groups, ExtendedKeyUsageOID.CLIENT_AUTH, [])


def _leaf(
    ca: Pair,
    name: str,
    organizations: tuple[str, ...],
    usage: x509.ObjectIdentifier,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, ca.certificate.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    return Pair(builder.add_extension(issuer, False).sign(ca.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - timedelta(minutes=5)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + VALIDITY)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)


def server_context(pair: Pair, client_ca: Pair) -> ssl.SSLContext:
    """TLS for a server; clients may show a certificate of `client_ca`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=client_ca.certificate_pem.decode())
    # The ssl module reads chains from files only.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "server.pem")
        path.touch(mode=0o600)
        path.write_bytes(pair.certificate_pem + pair.key_pem)
        context.load_cert_chain(path)
    return context


@cache
def shared() -> tuple[Pair, ssl.SSLContext]:
    """The authority of this process and its server's TLS context for loopback."""
    ca = authority()
    return ca, server_context(server(ca, NAMES, ADDRESSES), ca)
