"""String formats of structural schemas."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

from simulator.api.quantities import seconds_of

_DATE_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+$")
_HOST = re.compile(r"^([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*$")


def _date_time(text: str) -> bool:
    return bool(_DATE_TIME.match(text)) and bool(datetime.fromisoformat(text.upper()))


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        parse(text)
        return True

    return check


_CHECKS: dict[str, Callable[[str], bool]] = {
    "date-time": _date_time,
    "date": _parses(date.fromisoformat),
    "duration": _parses(seconds_of),
    "uuid": _parses(uuid.UUID),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and bool(ipaddress.ip_network(text, strict=False)),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "uri": lambda text: bool(urlsplit(text).scheme) or text.startswith("/"),
    "email": lambda text: bool(_EMAIL.match(text)),
    "hostname": lambda text: bool(_HOST.match(text)),
}


def holds(format_: str, text: str) -> bool:
    """Whether `text` has the format; formats that Kubernetes does not check always hold."""
    check = _CHECKS.get(format_)
    if check is None:
        return True
    try:
        return check(text)
    except (ValueError, binascii.Error):
        return False
