"""What clients know an API server by: its authority, the admin's token, the key of service account tokens."""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulator.api.database import Database
from simulator.identity import certificates
from simulator.identity.certificates import Pair


@dataclass(frozen=True)
class Identity:
    """`ca` signs the server's certificate and its clients'."""

    ca: Pair
    context: ssl.SSLContext
    token: str
    token_key: bytes

    @classmethod
    def fresh(cls) -> Self:
        """A new one, on the authority of this process."""
        ca, context = certificates.shared()
        return cls(ca, context, secrets.token_hex(16), secrets.token_bytes(32))

    @classmethod
    def kept(cls, database: Database) -> Self:
        """The one of a database, made now if it has none: a kubeconfig stays good over restarts."""
        pem = database.item_or("authority", _made)
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key in the database is of another kind")
        ca = Pair(x509.load_pem_x509_certificate(pem), key)
        server = certificates.server(ca, certificates.NAMES, certificates.ADDRESSES)
        token = database.item_or("token", lambda: secrets.token_hex(16).encode()).decode()
        token_key = database.item_or("token-key", lambda: secrets.token_bytes(32))
        return cls(ca, certificates.server_context(server, ca), token, token_key)


def _made() -> bytes:
    pair = certificates.authority()
    return pair.certificate_pem + pair.key_pem
