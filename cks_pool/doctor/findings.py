"""What a check says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pool.core.errors import PoolError


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    """As it must be."""
    SKIPPED = "skipped"
    """It cannot be told from here; why is said."""
    WARNING = "warning"
    """It works, and will not for long, or not well."""
    ERROR = "error"
    """Something does not work until it is mended."""


@dataclass(frozen=True)
class Verdict:
    """What was found, in a line, and what helps."""

    severity: Severity
    found: str
    cure: str = ""


@dataclass(frozen=True)
class Finding:
    """A check's verdict under its name."""

    name: str
    verdict: Verdict

    def as_data(self) -> dict[str, str]:
        """For programs; every field is always there."""
        verdict = self.verdict
        return {
            "name": self.name,
            "severity": str(verdict.severity),
            "found": one_line(verdict.found),
            "cure": one_line(verdict.cure),
        }


def ok(found: str) -> Verdict:
    """As it must be."""
    return Verdict(Severity.OK, found)


def skipped(found: str, cure: str = "") -> Verdict:
    """It cannot be told."""
    return Verdict(Severity.SKIPPED, found, cure)


def warning(found: str, cure: str) -> Verdict:
    """It works, but."""
    return Verdict(Severity.WARNING, found, cure)


def error(found: str, cure: str) -> Verdict:
    """It does not work."""
    return Verdict(Severity.ERROR, found, cure)


WORST_LAST = (Severity.SKIPPED, Severity.OK, Severity.WARNING, Severity.ERROR)


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for several things of a kind: as bad as the worst, which is said first. Raises ValueError if none."""
    ordered = sorted(verdicts, key=lambda verdict: -WORST_LAST.index(verdict.severity))
    severity = ordered[0].severity
    bad = [verdict for verdict in ordered if verdict.severity is severity]
    shown = bad if severity in (Severity.WARNING, Severity.ERROR) else ordered
    cures = dict.fromkeys(verdict.cure for verdict in shown if verdict.cure)
    return Verdict(severity, "; ".join(verdict.found for verdict in shown), "; ".join(cures))


def exit_status(findings: Sequence[Finding]) -> int:
    """0 if all is well as far as can be told, 1 for warnings, 2 for errors."""
    severities = {finding.verdict.severity for finding in findings}
    if Severity.ERROR in severities:
        return 2
    return 1 if Severity.WARNING in severities else 0


def without_cure(trouble: PoolError) -> str:
    """What is wrong, without what helps."""
    return str(trouble).removesuffix(f"; {one_line(trouble.cure)}")


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())
