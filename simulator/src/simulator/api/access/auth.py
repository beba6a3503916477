"""Who calls: bearer tokens, service account tokens, client certificates."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from functools import lru_cache
from typing import Any

import orjson
from cryptography import x509
from cryptography.x509.oid import NameOID

from simulator.api.errors import unauthorized
from simulator.api.requests import ANONYMOUS, Request, User
from simulator.api.store import Store

Obj = dict[str, Any]
AUTHENTICATED = "system:authenticated"
ISSUER = "https://kubernetes.default.svc"
ACCOUNTS = ("", "serviceaccounts")


class Authenticator:
    """Static tokens, tokens of service accounts signed with a key of its own, verified client certificates."""

    def __init__(self, store: Store, tokens: dict[str, User] | None = None, key: bytes | None = None) -> None:
        self._store = store
        self.tokens = tokens or {}
        """Static tokens and whom they stand for; they can be given and taken back at any time."""
        self._key = key or secrets.token_bytes(32)

    def user(self, request: Request) -> User:
        """The caller; anonymous without credentials. Raises ApiError 401 for credentials that do not hold."""
        header = request.headers.get("authorization", "")
        if header:
            scheme, _, token = header.partition(" ")
            found = self.by_token(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                raise unauthorized()
            return found
        if request.certificate is not None:
            return certificate_user(request.certificate)
        return ANONYMOUS

    def by_token(self, token: str, audience: str = ISSUER) -> User | None:
        """The user of a bearer token, None when it is not (or no longer) good, or made for another audience."""
        for known, user in self.tokens.items():
            if hmac.compare_digest(known, token):
                return user if audience == ISSUER else None
        return self._account(token, audience)

    def issue(self, account: Obj, audiences: list[str], seconds: int) -> tuple[str, float]:
        """A token for a service account, and when it ends (seconds since 1970)."""
        meta = account["metadata"]
        ends = time.time() + seconds
        claims = {
            "iss": ISSUER,
            "aud": audiences,
            "exp": int(ends),
            "iat": int(time.time()),
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
            "kubernetes.io": {
                "namespace": meta["namespace"],
                "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
            },
        }
        body = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{body}.{self._signature(body)}", ends

    def _signature(self, body: str) -> str:
        digest = hmac.new(self._key, body.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _account(self, token: str, audience: str) -> User | None:
        body, _, signature = token.rpartition(".")
        if not body or not hmac.compare_digest(signature, self._signature(body)):
            return None
        claims = orjson.loads(base64.urlsafe_b64decode(body.partition(".")[2] + "=="))
        if claims["exp"] < time.time() or audience not in claims["aud"]:
            return None
        named = claims["kubernetes.io"]
        namespace, account = named["namespace"], named["serviceaccount"]
        stored = self._store.get(ACCOUNTS, (namespace, account["name"]))
        if stored is None or stored.obj["metadata"]["uid"] != account["uid"]:
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return User(claims["sub"], groups, account["uid"])


def _encoded(content: Obj) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()


@lru_cache(maxsize=1024)
def certificate_user(der: bytes) -> User:
    """The user of a verified certificate: its common name, its organizations as groups."""
    subject = x509.load_der_x509_certificate(der).subject
    names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if not names:
        raise unauthorized()
    return User(names[0], (*groups, AUTHENTICATED))
