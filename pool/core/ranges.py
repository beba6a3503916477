"""Ranges of IP addresses, as the settings name them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Annotated, TypeVar

from pydantic import AfterValidator

Network = IPv4Network | IPv6Network
Some = TypeVar("Some", IPv4Network, IPv6Network)


def networks(text: str) -> tuple[Network, ...]:
    """The ranges that a text names, as "10.0.0.0/8, 2001:db8::1"; one address is a range too. Raises ValueError."""
    return tuple(ip_network(word) for word in text.replace(",", " ").split())


def within(outer: Some, ranges: Iterable[Network]) -> list[Some]:
    """What of the ranges lies in `outer`, joined where they touch, in order."""
    alike = [one for one in ranges if isinstance(one, type(outer)) and one.overlaps(outer)]
    return list(collapse_addresses(one if one.subnet_of(outer) else outer for one in alike))


def _checked(text: str) -> str:
    networks(text)
    return text


Ranges = Annotated[str, AfterValidator(_checked)]
"""Text that names ranges."""
