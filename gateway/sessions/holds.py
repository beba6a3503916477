"""Which life of a session a caller means, and which hold of its cluster: the ETag names both, If-Match gives it back.

A session that is asked for again after its end is another one of the same ID. Epochs count the handovers of a cluster,
each cluster for itself: only with the session's UID do they tell one life from another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Header, Response

from gateway.problems import PreconditionFailed
from pool.core.errors import NotHolder
from pool.core.sessions import Session

UID_LENGTH = 36
"""Characters of a UUID."""

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^(\*|"?[0-9]{1,9}"?|(W/)?"[0-9a-f-]{36}(-[0-9]{1,9})?")$',
        description="The ETag that the caller was given: only if this still is that life of the session, and that hold "
        "of its cluster. The ETag of one that waits names the life alone; an epoch alone, the hold.",
        examples=['"6f9d3a52-0c1e-4b7a-9d55-2f6f4c1b8e10-4"'],
    ),
]


@dataclass(frozen=True)
class Hold:
    """What an If-Match names; None is not compared."""

    uid: str | None = None
    epoch: int | None = None

    @classmethod
    def of(cls, if_match: str | None) -> Self:
        """As the header has it."""
        if if_match in (None, "*"):
            return cls()
        # A proxy that compresses answers makes tags weak ones.
        named = str(if_match).removeprefix("W/").strip('"')
        if named.isdigit():
            return cls(epoch=int(named))
        uid, epoch = named[:UID_LENGTH], named[UID_LENGTH + 1 :]
        return cls(uid, int(epoch) if epoch else None)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While entered, something is done to it. Raises PreconditionFailed if it is over."""
        try:
            yield
        except NotHolder as error:
            if self == Hold():
                raise
            raise PreconditionFailed(
                error.what, expected=error.expected, actual=error.actual, cure=error.cure
            ) from error


def tag(response: Response, session: Session) -> None:
    """Name the session's life and hold in the answer."""
    epoch = session.status.epoch
    response.headers["ETag"] = f'"{session.metadata.uid}{"" if epoch is None else f"-{epoch}"}"'
