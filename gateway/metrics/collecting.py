"""One registry for one gateway: it follows the host's view, and tells what is asked for at each scrape."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.metrics.gauges import Seen, gauges
from gateway.metrics.measuring import of_cluster, of_session
from gateway.metrics.tally import Tally
from pool.core.clusters import PooledCluster
from pool.core.pools import Pool
from pool.core.sessions import Session
from pool.work.steps import Host

logger = logging.getLogger(__name__)

BUILD = {"version": version("cks-pool"), "prefect": version("prefect"), "python": platform.python_version()}

Followed = Pool | PooledCluster | Session | None


class Metrics(Collector):
    """What this gateway tells Prometheus. While the host is away there is `cks_pool_up 0`, and nothing of any pool."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        self._tally = Tally()
        self._host: Host | None = None
        self._current: Callable[[], bool] = lambda: False

    @contextmanager
    def following(self, host: Host, current: Callable[[], bool]) -> Iterator[None]:
        """While entered, the host, whose view is followed, is what is told, while it is `current`."""
        self._host, self._current = host, current
        try:
            with host.state.view.told(self._see):
                yield
        finally:
            self._host = None

    def _see(self, before: Followed, after: Followed) -> None:
        try:
            self._measure(before, after)
        except Exception:
            # Whoever follows the pool has more to do than to be measured.
            logger.exception("a change was not measured")

    def _measure(self, before: Followed, after: Followed) -> None:
        assert self._host is not None
        if isinstance(before, PooledCluster) and (after is None or isinstance(after, PooledCluster)):
            self._tally.add(of_cluster(before, after, self._host.now()))
        elif isinstance(before, Session) and (after is None or isinstance(after, Session)):
            self._tally.add(of_session(before, after))

    def collect(self) -> Iterator[Metric]:
        """All that is told at this moment."""
        view = self._host.state.view if self._host is not None else None
        current = view is not None and self._current()
        yield GaugeMetricFamily("cks_pool_up", "Whether this gateway follows the pools.", value=current)
        build = GaugeMetricFamily("cks_pool_build_info", "What this gateway is.", labels=list(BUILD))
        build.add_metric(list(BUILD.values()), 1)
        yield build
        if self._host is None or view is None or not current:
            return
        seen = Seen(
            view.pools,
            list(view.clusters.values()),
            list(view.sessions.values()),
            self._host.now(),
            timedelta(seconds=self._host.settings.queue_grace),
        )
        yield from gauges(seen)
        yield from self._tally.told(seen.names)
