"""A request to a kind that is stored."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.api.kinds import Kind, Version
from simulator.api.requests import Request, Target, User
from simulator.api.store import Key


@dataclass(slots=True)
class Call:
    """A request to a stored kind."""

    request: Request
    target: Target
    kind: Kind
    version: Version
    user: User
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return (self.target.namespace if self.kind.namespaced else "", self.target.name)

    @property
    def dry_run(self) -> bool:
        return bool(self.request.query.get("dryRun"))

    @property
    def manager(self) -> str:
        """Whom changed fields are booked on: `fieldManager`, else the start of the user agent."""
        given = self.request.query.get("fieldManager")
        return given or self.request.headers.get("user-agent", "unknown").partition("/")[0] or "unknown"
