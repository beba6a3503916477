"""Idempotency keys: a call that is made again with the same one does nothing twice. Kept with what it made."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,64}$",
        description="Made again with the same key, a call that makes, extends or starts something does so once. "
        "Others change nothing twice as it is; DELETE: give If-Match with the ETag, which is what tells one life of a "
        "session from another. 1 to 64 printable ASCII characters.",
        examples=["4f0c1a52-start"],
    ),
]
