"""How far a node's first boot is, in its own words: on its serial console, and as an annotation of its Node.

The driver of a first boot (deployments/templates) runs its steps one after the other, all of them again until each
worked, and says so, a line each:

    cks-first-boot: 60-cluster: begins
    cks-first-boot: 60-cluster: failed: kubeadm join: x509: certificate signed by unknown authority
    cks-first-boot: 50-version: refused: the image carries Kubernetes v1.34.1, the Pool wants v1.33.5
    cks-first-boot: done

What failed is tried again, what is refused would be refused again. All of it is a claim of the guest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pool.guest.words import cleaned

PREFIX = "cks-first-boot: "
SAID = re.compile(
    PREFIX + r"(?:(?P<done>done)\s*$|(?P<step>[0-9]{2}-[a-z0-9-]{1,40}): (?P<what>\w+)(?:: (?P<text>.*))?)"
)


class What(StrEnum):
    """What is said of a step."""

    BEGINS = "begins"
    """It is at work."""
    FAILED = "failed"
    """It failed, and is tried again."""
    REFUSED = "refused"
    """It cannot work, however often it is tried."""
    DONE = "done"
    """All of them worked: the first boot is over."""


@dataclass(frozen=True)
class Said:
    """The last telling words of a first boot."""

    what: What
    step: str = ""
    text: str = ""
    """Of a step that failed or refused, plain and short."""

    @property
    def wrong(self) -> bool:
        """Whether something is to be seen to."""
        return self.what in (What.FAILED, What.REFUSED)

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.step}:" if self.step else "", self.text or self.what) if part)


def on_console(console: str) -> Said | None:
    """What a console's end says of the first boot, None if nothing. Pure.

    Why a step failed stands until a later one begins: meanwhile all are tried again from the first. What was refused
    is tried again at the next boot only, so what begins after it is said of that.
    """
    last: Said | None = None
    for line in console.splitlines():
        said = _read(line)
        if said is None:
            continue
        if last is not None and last.what is What.FAILED and said.what is What.BEGINS and said.step <= last.step:
            continue
        last = said
    return last


def over(said: Said | None) -> bool:
    """Whether these are the words of a first boot that is over. Pure."""
    return said is not None and said.what is What.DONE


def in_annotation(value: str) -> Said | None:
    """The same of a Node's annotation, which has no prefix. Pure."""
    return _read(PREFIX + value)


def _read(line: str) -> Said | None:
    found = SAID.search(line)
    if found is None:
        return None
    if found["done"]:
        return Said(What.DONE)
    if found["what"] not in (What.BEGINS, What.FAILED, What.REFUSED):
        return None
    return Said(What(found["what"]), found["step"], cleaned(found["text"] or ""))
