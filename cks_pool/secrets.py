"""The Secrets that an installation needs, each made once with random content; what is there already is kept.

    cks-pool-gateway-tls        certificate of the gateway's Service, and the CA to trust it by (`ca.crt`)
    cks-pool-gateway-operator   a first operator's token, for a person to read
    cks-pool-gateway-tokens     the tokens that the gateway knows, by their hashes
    cks-pool-prefect            what Prefect's clients show its API
    cks-pool-database           the password of Prefect's database, and its URL

Each is derived from those before it, so that a run that died in the middle is carried on by the next one.
"""

from __future__ import annotations

import base64
import secrets
from datetime import datetime

from gateway.access.roles import Role
from gateway.access.tokens import TokenEntry, as_yaml, hashed, new_token
from pool.core.errors import AlreadyExists
from pool.guest import pki
from pool.kube.client import Kube
from pool.kube.resources import SECRETS

PART_OF = {"app.kubernetes.io/part-of": "cks-pool"}
SERVICE = "cks-pool-gateway"
TLS, FIRST, TOKENS = "cks-pool-gateway-tls", "cks-pool-gateway-operator", "cks-pool-gateway-tokens"
PREFECT, DATABASE = "cks-pool-prefect", "cks-pool-database"
OPERATOR = "first-operator"
"""Name of the first operator's token, in the gateway's log."""

Data = dict[str, str]


async def ensure_secrets(kube: Kube, namespace: str, now: datetime, *, prefect: bool) -> list[str]:
    """Make what is missing; `prefect`: for a Prefect server of the pool's own, too. Returns the names of what was made.

    Raises ApiError.
    """
    made: list[str] = []

    async def ensure(name: str, data: Data, kind: str = "Opaque") -> Data:
        wanted = SECRETS.manifest(name, namespace, labels=PART_OF, type=kind, data=_encoded(data))
        if (found := await kube.find(SECRETS, name, namespace)) is None:
            try:
                found = await kube.create(SECRETS, wanted)
                made.append(name)
            except AlreadyExists:
                # Another run was faster, or our own first try whose answer was lost.
                found = await kube.get(SECRETS, name, namespace)
        return _decoded(found["data"])

    await ensure(TLS, _certificate(namespace, now), "kubernetes.io/tls")
    operator = await ensure(FIRST, {"token": new_token(OPERATOR, Role.OPERATOR)[0]})
    entry = TokenEntry(name=OPERATOR, role=Role.OPERATOR, sha256=hashed(operator["token"]))
    await ensure(TOKENS, {"tokens.yaml": as_yaml(entry)})
    if prefect:
        await ensure(PREFECT, {"PREFECT_API_AUTH_STRING": f"cks-pool:{secrets.token_urlsafe(32)}"})
        password = secrets.token_urlsafe(32)
        url = f"postgresql+asyncpg://prefect:{password}@{DATABASE}:5432/prefect"
        await ensure(DATABASE, {"password": password, "url": url})
    return made


def _certificate(namespace: str, now: datetime) -> Data:
    """Nobody has the CA's key afterwards, so nothing else is ever signed by it."""
    ca = pki.make_ca("cks-pool-gateway", now)
    names = [f"{SERVICE}.{namespace}.svc", f"{SERVICE}.{namespace}", SERVICE, "localhost"]
    pair = pki.make_server(ca, names, now)
    return {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode(), "ca.crt": ca.certificate.decode()}


def _encoded(data: Data) -> Data:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def _decoded(data: Data) -> Data:
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
