"""Figures of the whole, read when Prometheus asks. Desks are those of the installed workflows, states RunState's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tradeloop.api.services import Services
from tradeloop.errors import TradeloopError
from tradeloop.store.figures import STATES, DeskFigures

OTHER: Final = "other"
"""In place of desks that no installed workflow has."""


async def gauges(services: Services) -> bytes:
    """In Prometheus' text format; without the database only `tradeloop_database_up` 0."""
    registry = CollectorRegistry()
    up = Gauge("tradeloop_database_up", "Whether the database answers.", registry=registry)
    try:
        desks = {workflow.desk for workflow in services.workflows.values()}
        now = datetime.now(UTC)
        figures = await services.figures.desks([], now)
        platform = await services.figures.platform()
    except TradeloopError:
        up.set(0)
        return generate_latest(registry)
    up.set(1)
    live = Gauge("tradeloop_live_runs", "Runs that are not over.", ["desk", "state"], registry=registry)
    pending = Gauge("tradeloop_approvals_pending", "Questions that wait for people.", ["desk"], registry=registry)
    oldest = Gauge("tradeloop_approvals_oldest_seconds", "Age of the oldest of them.", registry=registry)
    for desk in [*sorted(desks), OTHER]:
        chosen = [one for one in figures if (one.desk if one.desk in desks else OTHER) == desk]
        for state in STATES:
            live.labels(desk, state).set(sum(one.live.get(state, 0) for one in chosen))
        pending.labels(desk).set(sum(one.pending_approvals for one in chosen))
    oldest.set(_oldest(figures, now))
    for name, words, value in (
        ("tradeloop_outbox_rows", "Records that wait for Kafka; counted up to 100,000.", platform.outbox_rows),
        ("tradeloop_outbox_oldest_seconds", "Age of the oldest of them.", platform.outbox_age_s),
        ("tradeloop_workers", "Workers whose lease holds.", platform.workers),
        ("tradeloop_dead_letters_open", "Open dead letters; counted up to 100,000.", platform.letters),
        ("tradeloop_outcomes_unknown", "Effects that only a person can settle.", platform.unknown_outcomes),
        ("tradeloop_switches_stopped", "Kill switches that are off.", platform.stopped),
    ):
        Gauge(name, words, registry=registry).set(value)
    return generate_latest(registry)


def _oldest(figures: Iterable[DeskFigures], now: datetime) -> float:
    ages = [(now - one.oldest_approval_at).total_seconds() for one in figures if one.oldest_approval_at]
    return max(ages, default=0.0)
