"""The fast lane's hook: from a committed asset event to librdkafka's local queue, in well under a millisecond."""

from __future__ import annotations

import hashlib
import logging
import time
from types import SimpleNamespace
from typing import Any, Final  # Any: Airflow's asset event
from uuid import UUID

from tradeloop.airflow.envelope import envelopes
from tradeloop.airflow.options import is_enabled, option
from tradeloop.domain.records import Lane, Record
from tradeloop.kafka import fastlane
from tradeloop.kafka.messages import headers

log = logging.getLogger(__name__)

SILENCE_S: Final = 60.0
"""A failure that lasts is told once a minute, not once an event: a traceback costs more than the hook may."""

_told_at = -SILENCE_S


def publish(asset_event: Any) -> None:
    """Offer the events to the fast lane. Never waits, never raises: what it misses is the sweep's.

    Events without a source task (REST, watchers) are announced before their commit: those are the sweep's alone.
    """
    begun = time.perf_counter_ns()
    try:
        if asset_event.source_task_id and is_enabled():
            lane = fastlane.lane(option("kafka_bootstrap"), option("trace_file"))
            lane.offer(_records(asset_event.extra))
            lane.note(time.perf_counter_ns() - begun)
    except Exception:  # noqa: BLE001 - a failure of ours must not hurt a task; it is told below
        _tell()


def _tell() -> None:
    global _told_at  # noqa: PLW0603 - one a process
    if time.monotonic() - _told_at >= SILENCE_S:
        _told_at = time.monotonic()
        log.exception("the fast lane missed an event; the sweep brings it")


def _records(extra: Any) -> list[Record]:
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
        for envelope in envelopes(extra)
        if envelope.is_intact
    ]


def warm() -> fastlane.FastLane | None:
    """Import, connect and walk the first event's path: cold it costs 10 to 45 ms. None when the fast lane is off.

    Never raises: the API server starts whatever is wrong with us.
    """
    try:
        if not is_enabled():
            return None
        lane = fastlane.lane(option("kafka_bootstrap"), option("trace_file"))
        lane.warm(option("events_topic", "workflow-events"))
        body = f'{{"event_id":"{UUID(int=0)}"}}'
        element = dict.fromkeys(("type", "subject", "time", "source"), "rehearsal")
        digest = hashlib.sha256(body.encode()).hexdigest()
        _records({"tradeloop": 1, "events": [{**element, "id": str(UUID(int=0)), "body": body, "sha256": digest}]})
        publish(SimpleNamespace(source_task_id="rehearsal", extra={"tradeloop": 1, "events": []}))
    except Exception:  # as above
        log.exception("the fast lane is not warm; its first event takes longer")
        return None
    return lane
