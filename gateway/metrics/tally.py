"""What was seen to happen, added up since this process followed the pools."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, product

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from gateway.metrics.measuring import Assigned, Observation, Operated, Outcome, Unattested
from pool.core.clusters import OperationKind

MILLISECONDS_TO_AN_HOUR = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
"""Bounds of assignments, in seconds: those that find a free cluster take milliseconds, the others wait for a reset."""
SECONDS_TO_AN_HOUR = (1, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600)
"""Bounds of operations, in seconds: a reset takes a minute or two, a bootstrap with its image's import half an hour."""
ALWAYS_TOLD = (Outcome.SUCCEEDED, Outcome.FAILED)
"""Outcomes that are told as 0 too, so that the first one is seen as a rise."""


class Distribution:
    """How many values were at most each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: upper bound, and how many were at most that."""
        names = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


class Tally:
    """Bounded by pools, kinds and outcomes: no cluster and no session has a number of its own here."""

    def __init__(self) -> None:
        self._operations: dict[tuple[str, str, str], Distribution] = defaultdict(
            lambda: Distribution(SECONDS_TO_AN_HOUR)
        )
        self._assignments: dict[str, Distribution] = defaultdict(lambda: Distribution(MILLISECONDS_TO_AN_HOUR))
        self._unattested: Counter[str] = Counter()

    def add(self, observations: Iterable[Observation]) -> None:
        """Count what was seen."""
        for one in observations:
            match one:
                case Operated():
                    self._operations[one.pool, one.kind, one.outcome].add(one.seconds)
                case Assigned():
                    self._assignments[one.pool].add(one.seconds)
                case Unattested():
                    self._unattested[one.pool] += 1

    def told(self, pools: Collection[str]) -> Iterator[Metric]:
        """All of it, of these pools; what is known of others is forgotten."""
        self._keep(pools)
        operations = HistogramMetricFamily(
            "cks_pool_operation_seconds",
            "Seconds from the beginning of a run's work on a cluster to its end, by kind and outcome.",
            labels=["pool", "kind", "outcome"],
        )
        for key, seconds in sorted(self._operations.items()):
            operations.add_metric(key, seconds.buckets, seconds.sum)
        assignments = HistogramMetricFamily(
            "cks_pool_assignment_seconds",
            "Seconds from a session's being asked for to its cluster, waits included.",
            labels=["pool"],
        )
        unattested = CounterMetricFamily(
            "cks_pool_attestation_failures", "Clusters that could not be proved clean after a restore.", labels=["pool"]
        )
        for pool in sorted(pools):
            assignments.add_metric([pool], self._assignments[pool].buckets, self._assignments[pool].sum)
            unattested.add_metric([pool], self._unattested[pool])
        yield from (operations, assignments, unattested)

    def _keep(self, pools: Collection[str]) -> None:
        for pool, kind, outcome in product(pools, OperationKind, ALWAYS_TOLD):
            self._operations[pool, kind, outcome]
        for key in [key for key in self._operations if key[0] not in pools]:
            del self._operations[key]
        for gone in self._assignments.keys() - pools:
            del self._assignments[gone]
        for gone in self._unattested.keys() - pools:
            del self._unattested[gone]
