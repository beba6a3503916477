"""Browsers: a page of somebody else's must not use a gateway that asks nobody who they are."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from gateway.problems import NotAllowed


def check(host: str, origin: str | None) -> None:
    """For an open gateway on loopback. Raises NotAllowed for what a page of another site can make a browser send.

    Its name may have been pointed here (DNS rebinding), then `Host` is that name; or it sends plain forms to
    127.0.0.1, then `Origin` is its own.
    """
    if not is_loopback(_name(f"//{host}")):
        raise NotAllowed("not by that name", expected="localhost or a loopback address", actual=host, cure=CURE)
    if origin is not None and urlsplit(origin).netloc != host:
        raise NotAllowed("not from that page", expected=f"Origin of {host}", actual=origin, cure=CURE)


CURE = "set CKS_GATEWAY_TOKENS to serve other names and pages"


def is_loopback(name: str) -> bool:
    """Whether the host name or address is this machine's own."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
