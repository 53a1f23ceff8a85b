"""From a row of Airflow's history to what the sweep publishes or buries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tradeloop.airflow.envelope import PREFIX, Envelope, envelopes
from tradeloop.domain.canonical import utc_text
from tradeloop.domain.events import MAX_EVENT_BYTES, WorkflowEvent
from tradeloop.domain.records import DeadLetter, Lane, Record
from tradeloop.domain.runs import derive_id
from tradeloop.errors import AirflowRefused, EventInvalid, EventRedacted, EventTooLarge
from tradeloop.kafka.messages import headers, to_record
from tradeloop.ports import AssetEventRow

AIRFLOWS_OWN = ("from_rest_api", "from_trigger")
"""Keys that Airflow itself adds to the extra of events that no task made."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One event of a row: a record to publish, or a dead letter."""

    event_id: UUID
    row: AssetEventRow
    record: Record | None
    letter: DeadLetter | None = None
    has_fast_lane: bool = True
    """False for rows that only the sweep publishes: no source task, or no envelope."""


def candidates(row: AssetEventRow, instance: str, environment: str, topic: str) -> list[Candidate]:
    """What the row announces: nothing when the asset is not ours, never an error."""
    if not row.asset_name.startswith(PREFIX):
        return []
    if "tradeloop" not in row.extra:
        return [_minimal(row, instance, environment, topic)]
    found = [_candidate(envelope, n, row, instance, topic) for n, envelope in enumerate(envelopes(row.extra))]
    return found or [
        _buried(
            row, derive_id(instance, "asset_event", row.id), EventInvalid("no list of events"), json.dumps(row.extra)
        )
    ]


def unreadable(instant: datetime, count: int, instance: str) -> list[DeadLetter]:
    """Letters for rows that Airflow cannot serve; the same instant gives the same letters."""
    return [
        DeadLetter(
            source="airflow",
            cause=f"Airflow answers 500 for the asset event of {utc_text(instant)}: its extra is no mapping",
            error_class=AirflowRefused.__name__,
            raw=b"",
            event_id=derive_id(instance, "asset_event", "unreadable", utc_text(instant), number),
        )
        for number in range(count)
    ]


def _candidate(envelope: Envelope, number: int, row: AssetEventRow, instance: str, topic: str) -> Candidate:
    if envelope.is_redacted:
        # Under the event's own id: the fast lane, which sees what was stored, may have brought it whole.
        return _buried(row, UUID(envelope.id), EventRedacted(envelope.problem), envelope.body)
    value = envelope.body.encode("utf-8", "replace")
    if not envelope.is_intact or len(value) > MAX_EVENT_BYTES:
        problem = EventInvalid(envelope.problem) if envelope.problem else EventTooLarge()
        return _buried(row, derive_id(instance, "asset_event", row.id, number), problem, envelope.body)
    record = Record(
        topic=topic,
        key=envelope.subject.encode(),
        value=value,
        headers=headers(
            event_id=envelope.id,
            event_type=envelope.type,
            source=envelope.source,
            subject=envelope.subject,
            time=envelope.time,
            lane=Lane.SWEEP,
            traceparent=envelope.traceparent,
        ),
    )
    return Candidate(UUID(envelope.id), row, record, has_fast_lane=bool(row.source_task_id))


def _buried(row: AssetEventRow, event_id: UUID, problem: EventInvalid, raw: str) -> Candidate:
    origin = f"asset event {row.id}, {row.source_dag_id}/{row.source_run_id}/{row.source_task_id}"
    letter = DeadLetter(
        source="airflow",
        cause=f"{problem.message} ({origin})",
        error_class=type(problem).__name__,
        raw=raw.encode("utf-8", "replace"),
        event_id=event_id,
    )
    return Candidate(event_id, row, None, letter, has_fast_lane=bool(row.source_task_id))


def _minimal(row: AssetEventRow, instance: str, environment: str, topic: str) -> Candidate:
    """An outlet without `emit`, or an event that REST or a watcher made: that it happened, and what it came with."""
    event_id = derive_id(instance, "asset_event", row.id)
    data = {key: value for key, value in row.extra.items() if key not in AIRFLOWS_OWN}
    try:
        record = to_record(_told(row, event_id, data, environment), topic, Lane.SWEEP)
        if len(record.value) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"the event has {len(record.value):,} bytes; at most {MAX_EVENT_BYTES:,} are taken")
    except EventTooLarge as problem:
        return _buried(row, event_id, problem, json.dumps(row.extra))
    except ValueError as problem:  # a field that no event can have, a lone surrogate
        return _buried(row, event_id, EventInvalid(str(problem)), json.dumps(row.extra))
    return Candidate(event_id, row, record, has_fast_lane=False)


def _told(row: AssetEventRow, event_id: UUID, data: Mapping[str, object], environment: str) -> WorkflowEvent:
    metadata = {"environment": environment, "task_id": row.source_task_id, "map_index": row.source_map_index}
    if data:
        metadata["data_from"] = "asset_event"  # Airflow has masked keys and changed numbers on its way
    return WorkflowEvent.model_validate(
        {
            "event_id": event_id,
            "event_type": row.asset_name.removeprefix(PREFIX),
            "timestamp": row.timestamp,
            "source": "airflow",
            "workflow_id": row.source_dag_id or row.asset_name[:250],
            "workflow_run_id": row.source_run_id or f"asset_event.{row.id}",
            "payload": {"data": data},
            "metadata": metadata,
        }
    )
