"""Which of the runs that were taken have nobody any more who works on them.

Prefect notices no dead worker: what it had taken stays Pending or Running for ever. A run says whose it is (its
`infrastructure_pid` is the worker's name, which no other process ever has), and a live worker's heartbeat moves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from prefect.client.schemas.objects import FlowRun


class Silence:
    """Judges as a leader election does: silent is whose heartbeat was watched for the whole `grace` and did not move.

    The clocks of Prefect's server and of the workers have no say in it. A watch that was interrupted (the server was
    away, or this process asleep) begins anew: nobody could be heard meanwhile.
    """

    def __init__(self, grace: float, gap: float) -> None:
        self._grace, self._gap = grace, gap
        self._looked = float("-inf")
        self._heard: dict[str, tuple[datetime | None, float]] = {}
        """Who is watched: the heartbeat last seen, and since when it has been seen unchanged."""

    def lost(
        self,
        runs: Iterable[FlowRun],
        heartbeats: Mapping[str, datetime | None],
        now: float,
        own: str,
        mine: Collection[UUID],
    ) -> list[FlowRun]:
        """The runs to end, of all that are taken. `now`: a monotonic clock; `own`, `mine`: this worker and its runs.

        A run that says nobody's name yet has been taken a moment ago, or its worker died in that moment: it is watched
        like a worker that says nothing.
        """
        if now - self._looked > self._gap:
            self._heard.clear()
        self._looked = now
        lost, watched = [], {}
        for run in runs:
            if run.id in mine:
                continue
            who = run.infrastructure_pid or f"whoever took {run.id}"
            heartbeat = heartbeats.get(who)
            before = self._heard.get(who)
            since = before[1] if before is not None and before[0] == heartbeat else now
            watched[who] = heartbeat, since
            if who == own or now - since >= self._grace:
                lost.append(run)
        self._heard = watched
        return lost
