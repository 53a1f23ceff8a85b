"""From a row of Airflow's history to what the sweep publishes or buries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tradeloop.airflow.envelope import Envelope, envelopes
from tradeloop.domain.canonical import utc_text
from tradeloop.domain.events import EventMetadata, WorkflowEvent
from tradeloop.domain.records import DeadLetter, Lane, Record
from tradeloop.domain.runs import derive_id
from tradeloop.errors import EventRedacted
from tradeloop.kafka.messages import headers, to_record
from tradeloop.ports import AssetEventRow

PREFIX = "tradeloop."


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
    """What the row announces: nothing when the asset is not ours."""
    if not row.asset_name.startswith(PREFIX):
        return []
    if not row.extra:
        return [_minimal(row, instance, environment, topic)]
    found = [_candidate(envelope, row, instance, topic) for envelope in envelopes(row.extra)]
    return found or [
        _buried(row, instance, "the row holds no event of tradeloop", "EventInvalid", json.dumps(row.extra))
    ]


def unreadable(instant: datetime, count: int, instance: str) -> list[DeadLetter]:
    """Letters for rows that Airflow cannot serve; the same instant gives the same letters."""
    return [
        DeadLetter(
            source="airflow",
            cause=f"Airflow answers 500 for the asset event of {utc_text(instant)}: its extra is no mapping",
            error_class="AirflowRefused",
            raw=b"",
            event_id=derive_id(instance, "asset_event", "unreadable", utc_text(instant), number),
        )
        for number in range(count)
    ]


def _candidate(envelope: Envelope, row: AssetEventRow, instance: str, topic: str) -> Candidate:
    if not envelope.is_intact:
        cause = "the event's body and digest differ: Airflow masked a registered secret in it, or it was edited"
        return _buried(row, instance, cause, EventRedacted.__name__, envelope.body, envelope.id)
    try:
        event_id = UUID(envelope.id)
    except ValueError:
        return _buried(row, instance, f"the id {envelope.id!r} is no UUID", "EventInvalid", envelope.body)
    record = Record(
        topic=topic,
        key=envelope.subject.encode(),
        value=envelope.body.encode(),
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
    return Candidate(event_id, row, record, has_fast_lane=bool(row.source_task_id))


def _buried(row: AssetEventRow, instance: str, cause: str, error_class: str, raw: str, given_id: str = "") -> Candidate:
    event_id = derive_id(instance, "asset_event", row.id, given_id)
    letter = DeadLetter(
        source="airflow",
        cause=f"{cause} (asset event {row.id}, {row.source_dag_id}/{row.source_run_id}/{row.source_task_id})",
        error_class=error_class,
        raw=raw.encode("utf-8", "replace"),
        event_id=event_id,
    )
    return Candidate(event_id, row, None, letter, has_fast_lane=False)


def _minimal(row: AssetEventRow, instance: str, environment: str, topic: str) -> Candidate:
    """An outlet without `emit`: that it happened is all there is to say."""
    event_id = derive_id(instance, "asset_event", row.id)
    event = WorkflowEvent(
        event_id=event_id,
        event_type=row.asset_name.removeprefix(PREFIX),
        timestamp=row.timestamp,
        source="airflow",
        workflow_id=row.source_dag_id or "none",
        workflow_run_id=row.source_run_id or "none",
        metadata=EventMetadata.model_validate({"environment": environment, "task_id": row.source_task_id}),
    )
    return Candidate(event_id, row, to_record(event, topic, Lane.SWEEP), has_fast_lane=False)
