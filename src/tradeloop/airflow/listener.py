"""The fast lane's hook: from a committed asset event to librdkafka's local queue, in well under a millisecond."""

from __future__ import annotations

import logging
import time
from typing import Any  # Any: Airflow's asset event

from tradeloop.airflow.envelope import envelopes
from tradeloop.airflow.options import is_enabled, option
from tradeloop.domain.records import Lane, Record
from tradeloop.kafka import fastlane
from tradeloop.kafka.messages import headers

log = logging.getLogger(__name__)


def publish(asset_event: Any) -> None:
    """Offer the events to the fast lane. Never waits, never raises: what it misses is the sweep's.

    Events without a source task (REST, watchers) are announced before their commit: those are the sweep's alone.
    """
    begun = time.perf_counter_ns()
    try:
        if asset_event.source_task_id and is_enabled():
            lane = fastlane.lane(option("kafka_bootstrap"), option("trace_file"))
            lane.offer(_records(asset_event))
            lane.note(time.perf_counter_ns() - begun)
    except Exception:  # a failure of ours must not hurt a task
        log.exception("the fast lane missed an event; the sweep brings it")


def _records(asset_event: Any) -> list[Record]:
    topic = option("events_topic", "workflow-events")
    return [
        Record(
            topic=topic,
            key=envelope.subject.encode(),
            value=envelope.body.encode(),
            headers=headers(
                event_id=envelope.id,
                event_type=envelope.type,
                source=envelope.source,
                subject=envelope.subject,
                time=envelope.time,
                lane=Lane.FAST,
                traceparent=envelope.traceparent,
            ),
        )
        for envelope in envelopes(asset_event.extra)
        if envelope.is_intact
    ]


def rehearse() -> None:
    """Walk the hook's path once with an empty event, so that the first real one finds it warm."""

    class Nothing:
        source_task_id = "rehearsal"
        extra: dict[str, object] = {"tradeloop": 1, "events": []}  # noqa: RUF012 - stands for Airflow's object

    publish(Nothing())
