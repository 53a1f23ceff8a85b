"""Figures for Prometheus. Label values come from our own code and tables alone, so their number is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

cast(Callable[[], None], disable_created_metrics)()  # a series more of each, which nobody reads
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STREAMED: Final = frozenset({"/api/v1/events/stream"})
"""They last as long as somebody looks: no time of a request."""


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tradeloop_api_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "tradeloop_api_request_seconds",
            "Time to the whole answer.",
            ["route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._refused = Counter(
            "tradeloop_api_unauthenticated", "Credentials that did not hold.", ["reason"], registry=self.registry
        )
        self.streams = Gauge("tradeloop_api_streams", "Event streams that are open.", registry=self.registry)

    def answered(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count a request: `route` is its pattern, `none` when there is no such route."""
        kind = f"{status // 100}xx" if status else "broken"
        self._requests.labels(route, method if method in METHODS else "other", kind).inc()
        if route not in STREAMED:
            self._seconds.labels(route).observe(took_s)

    def refused(self, reason: str) -> None:
        """Count credentials that did not hold; `reason` is a word of ours."""
        self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)
