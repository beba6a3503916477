"""ID tokens of an OpenID Connect issuer: a kubeconfig's auth-provider `oidc`, the one that kubectl still has."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote

import aiohttp

from pool.kube.credentials.access import Issued, unusable
from pool.kube.credentials.proxies import proxy_of_environment

TIMEOUT = aiohttp.ClientTimeout(total=30.0)


@dataclass
class OidcProvider:
    """Gets ID tokens for the kubeconfig's refresh token.

    Unlike kubectl it writes nothing back to the kubeconfig, which is somebody else's file: where the issuer gives a new
    refresh token each time, this process needs one of its own.
    """

    NAME: ClassVar = "oidc"

    source: str
    issuer: str
    client: str
    secret: str = field(repr=False)
    ca: bytes
    refresh_token: str = field(repr=False)
    _newer: str = field(default="", init=False, compare=False, repr=False)

    @classmethod
    def of(cls, source: str, config: Mapping[str, str]) -> Self:
        """Raises ValueError, with what is missing."""
        for needed in ("idp-issuer-url", "client-id"):
            if not config.get(needed):
                raise ValueError(f"no {needed}")
        data, path = config.get("idp-certificate-authority-data", ""), config.get("idp-certificate-authority", "")
        try:
            ca = base64.b64decode(data, validate=True) if data else Path(path).read_bytes() if path else b""
        except OSError as error:
            raise ValueError(f"idp-certificate-authority {path}: {error.strerror}") from None
        secret, refresh_token = config.get("client-secret", ""), config.get("refresh-token", "")
        return cls(source, config["idp-issuer-url"], config["client-id"], secret, ca, refresh_token)

    async def ask(self) -> Issued:
        """A new token. Raises KubeconfigError."""
        if not self.refresh_token:
            raise self._unusable("has no refresh-token to get another id-token with")
        try:
            context = ssl.create_default_context(cadata=self.ca.decode() or None)
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, raise_for_status=True) as session:
                answer = await self._refreshed(session)
            self._newer = answer.get("refresh_token") or self._newer
            return issued(answer["id_token"])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            # The text of an error may quote the answer, and with it a token.
            raise self._unusable(f"gets no id-token of {self.issuer} ({type(error).__name__})") from None

    async def _refreshed(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        proxy = proxy_of_environment(self.issuer) or None
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        async with session.get(url, proxy=proxy) as response:
            endpoint = (await response.json(content_type=None))["token_endpoint"]
        form = {"grant_type": "refresh_token", "refresh_token": self._newer or self.refresh_token}
        known = base64.b64encode(f"{quote(self.client)}:{quote(self.secret)}".encode()).decode()
        headers = {"Authorization": f"Basic {known}"}
        async with session.post(endpoint, data=form, headers=headers, proxy=proxy) as response:
            found: dict[str, Any] = await response.json(content_type=None)
            return found

    def _unusable(self, why: str) -> Exception:
        return unusable(self.source, f"the auth-provider oidc {why}")


def issued(token: str) -> Issued:
    """An ID token, with the end that it says of itself."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return Issued(token, ends=datetime.fromtimestamp(claims["exp"], UTC))
    except (ValueError, IndexError, KeyError, TypeError):
        return Issued(token)
