"""What a command says when it cannot: one line with the cure, and an exit status."""

from __future__ import annotations

import sys

from pool.core.errors import (
    AddonsUnusable,
    AttestationFailed,
    GuestUnhealthy,
    NoClusterAvailable,
    RestoreFailed,
    SnapshotError,
    StaleOperation,
    VMFailed,
    WaitTimeout,
)

FAILED, REFUSED = 1, 2
"""Exit status: it was tried and did not work; it was not tried, for bad input or a part that cannot be reached."""

TRIED = (
    AddonsUnusable,
    AttestationFailed,
    GuestUnhealthy,
    NoClusterAvailable,
    RestoreFailed,
    SnapshotError,
    StaleOperation,
    VMFailed,
    WaitTimeout,
)
"""Errors of work that was tried."""


class BadInput(Exception):
    """The command line cannot be carried out as it is; the message names the cure."""


class Failed(Exception):
    """What was asked for was tried, and did not work; the message says what came of it."""


def exit_status(error: Exception) -> int:
    """The exit status that tells of this error."""
    return FAILED if isinstance(error, (Failed, *TRIED)) else REFUSED


def complain(text: object) -> None:
    """One line on stderr."""
    print(f"cks-pool: {' '.join(str(text).split())}", file=sys.stderr)  # noqa: T201 - a command's output
