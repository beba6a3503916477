"""What Prometheus is told of the pools: gauges of what the view shows, and what was seen to happen in it."""

from gateway.metrics.collecting import Metrics

__all__ = ["Metrics"]
