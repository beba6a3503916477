"""Ranges of IP addresses, as the settings name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Annotated, TypeVar

from pydantic import AfterValidator

Network = IPv4Network | IPv6Network
Some = TypeVar("Some", IPv4Network, IPv6Network)


def networks(text: str) -> tuple[Network, ...]:
    """The ranges that a text names, as "10.0.0.0/8, 2001:db8::1"; one address is a range too. Raises ValueError."""
    return tuple(ip_network(word) for word in text.replace(",", " ").split())


def within(outer: Network, ranges: Iterable[Network]) -> Sequence[Network]:
    """What of the ranges lies in `outer`, joined where they touch, in order."""
    if isinstance(outer, IPv4Network):
        return _within(outer, [one for one in ranges if isinstance(one, IPv4Network)])
    return _within(outer, [one for one in ranges if isinstance(one, IPv6Network)])


def _within(outer: Some, alike: Iterable[Some]) -> list[Some]:
    return list(collapse_addresses(one if one.subnet_of(outer) else outer for one in alike if one.overlaps(outer)))


def _checked(text: str) -> str:
    networks(text)
    return text


Ranges = Annotated[str, AfterValidator(_checked)]
"""Text that names ranges."""
