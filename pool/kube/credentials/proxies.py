"""The proxy that the environment names for a server, as Go's clients understand it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_of_environment(url: str) -> str:
    """By HTTPS_PROXY, HTTP_PROXY and NO_PROXY; empty for none. A loopback address is always reached directly."""
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies()
    if _is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]) or _excepted(host, proxies.get("no", "")):
        return ""
    proxy = proxies.get(parts.scheme, "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _excepted(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names a network that has the address; names and suffixes are Python's to know."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if address in ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
