"""Settings of the gateway: environment variables `CKS_GATEWAY_<NAME>`, all with working defaults."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from pool.core.errors import InvalidInput

PREFIX = "CKS_GATEWAY_"


class GatewaySettings(BaseSettings):
    """Times are seconds unless the name says otherwise. A variable that is set to nothing counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        extra="forbid",
        allow_inf_nan=False,
    )

    listen: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+):\d{1,5}$")] = "127.0.0.1:8080"
    """Address and port. Anything but a loopback address needs TLS and tokens."""
    tls_certificate: Path | None = None
    """The certificate and its chain, PEM. Read again when it changed."""
    tls_key: Path | None = None
    """Its key, PEM."""
    tokens: Path | None = None
    """File of tokens (docs/api.md), read again when it changed. None: on loopback, everybody is an operator."""
    token_review: str = ""
    """Which ServiceAccounts may come with tokens of their own, and as what: `lms/backend=session:exam,
    group:sre=operator`. Nothing: none may."""
    token_audience: str = "cks-pool-gateway"
    """The audience that such tokens must be made for."""
    kubeconfig_server: str = ""
    """Where learners reach a cluster's API, as `https://{cluster}.labs.example.com:6443`. Nothing: the Service `cp`,
    from within the host cluster only."""

    body_limit: PositiveInt = 65536
    """Bytes of a request's body that are read."""
    rate: PositiveInt = 1200
    """Requests a minute of one token, and refused ones of one address."""
    streams: PositiveInt = 1000
    """Streams of events that one token may have open."""
    request_timeout: PositiveFloat = 30.0
    """Until a request is answered; streams only have to begin by then."""
    stop_timeout: PositiveInt = 10
    """Until requests that are under way are cut off when the gateway stops."""

    log_format: Literal["text", "json"] = "text"
    """How the log is written: `text`, or one JSON object a line."""
    prefect_ui_url: str = ""
    """Prefect's UI as people reach it, for links to flow runs. Nothing: as Prefect's own settings say."""

    @property
    def host(self) -> str:
        """The address to listen at."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen at; 0: any that is free."""
        return int(self.listen.rpartition(":")[2])

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def open(self) -> bool:
        """Whether nobody has to say who they are."""
        return self.tokens is None and not self.token_review

    def check_serving(self) -> None:
        """Raises InvalidInput for what must not be served: off loopback without TLS or without tokens, half a TLS."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise InvalidInput(
                f"settings {PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY", expected="both", actual="one", cure="set both"
            )
        lacking = [f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY"] if self.tls_certificate is None else []
        lacking += [f"{PREFIX}TOKENS (or {PREFIX}TOKEN_REVIEW)"] if self.open else []
        if lacking and not self.on_loopback:
            raise InvalidInput(
                f"setting {PREFIX}LISTEN",
                expected="TLS and tokens, off loopback",
                actual=f"{self.listen} without {' and without '.join(lacking)}",
                cure=f"set {' and '.join(lacking)}, or listen at 127.0.0.1:{self.port}",
            )
