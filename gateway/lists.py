"""Lists in parts: `limit` and `continue`, which goes on after a name, whatever came or went meanwhile."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import Field

from pool.core.errors import InvalidInput
from pool.core.fields import Model

T = TypeVar("T")
ITEM = TypeVar("ITEM")

Limit = Annotated[int, Query(ge=1, le=500, description="Items of one answer, at most.")]
Continue = Annotated[
    str | None, Query(alias="continue", max_length=400, description="Of the answer before: go on after it.")
]
MOST = 100
"""Items where no limit is given."""


class Page(Model, Generic[ITEM]):
    """A part of a list."""

    items: list[ITEM]
    continue_: str | None = Field(default=None, alias="continue", exclude_if=lambda value: value is None)
    """Given back as `continue`, the next part; left out, this is the last one."""


def page_of(
    found: Iterable[T], name: Callable[[T], str], limit: int, after: str | None, order: Callable[[str], Any] = str
) -> tuple[list[T], str | None]:
    """Those of one answer, by name in `order`, and what `continue` is then. Raises InvalidInput."""
    begin = order(_name_in(after)) if after else None
    rest = (one for one in sorted(found, key=lambda one: order(name(one))) if begin is None or order(name(one)) > begin)
    part = list(islice(rest, limit + 1))
    if len(part) <= limit:
        return part, None
    return part[:limit], base64.urlsafe_b64encode(name(part[limit - 1]).encode()).decode().rstrip("=")


def _name_in(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidInput("continue", expected="what an answer said", actual=repr(token), cure="begin anew") from None
