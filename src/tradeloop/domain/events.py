"""The envelope of everything that travels: WorkflowEvent."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Self  # Any: a decoder hook sees every JSON value
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from tradeloop.domain.canonical import canonical_json, forgetful, unstorable, utc_text
from tradeloop.errors import EventInvalid, EventNotJson, EventTooLarge, SchemaFromFuture

SCHEMA_VERSION: Final = 2
"""Version 1 is the seed system's envelope (no subject, times without zone); ours is 2."""
MAX_EVENT_BYTES: Final = 1_000_000
"""Just under Kafka's default `message.max.bytes` (1,048,588 with headers): more could not be published."""
MAX_DEPTH: Final = 64
"""Deeper JSON serves nobody and exhausts recursive readers downstream."""
MAX_SUBJECT: Final = 500
"""The database's index of live runs holds the subject: an entry of it takes at most some 2,700 bytes."""


class EventPayload(BaseModel):
    """What the event says: `data` belongs to the event's type."""

    model_config = ConfigDict(frozen=True, extra="allow")
    data: dict[str, JsonValue] = Field(default_factory=dict)


class EventMetadata(BaseModel):
    """Where it was said."""

    model_config = ConfigDict(frozen=True, extra="allow")
    environment: str = "development"
    version: str = "1.0"
    naive_timestamp: bool = False
    """True when the writer gave no time zone and UTC was assumed (seed events only)."""


class WorkflowEvent(BaseModel):
    """One thing that happened in a workflow. Immutable; equal events have equal bytes.

    Example:
        >>> WorkflowEvent(
        ...     event_id="5f1c9f0e-7a52-5f3c-9d3c-0d8f4a6c1b2e", event_type="marketdata.batch.loaded",
        ...     timestamp="2026-11-23T16:59:21Z", source="airflow", workflow_id="load_prices",
        ...     workflow_run_id="manual__1", subject="SPX/2009-07", payload={"data": {"rows": 22}},
        ... ).subject
        'SPX/2009-07'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    event_id: UUID
    event_type: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.-]+$")
    timestamp: AwareDatetime
    source: str = Field(min_length=1, max_length=200)
    workflow_id: str = Field(min_length=1, max_length=250)
    workflow_run_id: str = Field(min_length=1, max_length=250)
    subject: str = Field(default="", max_length=MAX_SUBJECT)
    """The business key: Kafka key and unit of ordering. `workflow_id/workflow_run_id` when not given."""
    payload: EventPayload = Field(default_factory=EventPayload)
    metadata: EventMetadata = Field(default_factory=EventMetadata)
    correlation_id: UUID | None = None
    """The first event of a chain; every event that follows from it carries the same."""
    causation_id: UUID | None = None
    """The event or decision that made this one happen."""
    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        event = dict(raw)
        if not event.get("subject"):
            event["subject"] = f"{event.get('workflow_id', '')}/{event.get('workflow_run_id', '')}"[:MAX_SUBJECT]
        return event

    @field_validator("timestamp", mode="after")
    @classmethod
    def _in_utc(cls, moment: datetime) -> datetime:
        try:
            return moment.astimezone(UTC)
        except OverflowError as problem:
            raise ValueError("in UTC this is outside the years 1 to 9999") from problem

    @field_serializer("timestamp")
    def _timestamp_text(self, moment: datetime) -> str:
        return utc_text(moment)

    def to_dict(self) -> dict[str, JsonValue]:
        """The envelope as plain JSON values; ids that were not given are left out."""
        absent = {name for name in ("correlation_id", "causation_id") if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)

    def to_json(self) -> str:
        """The canonical JSON: what is published and hashed; made once."""
        return self.canonical

    @cached_property
    def canonical(self) -> str:
        """What `to_json` gives."""
        return canonical_json(self.to_dict())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with these fields changed."""
        return forgetful(super().model_copy(update=update, deep=deep), "canonical")

    @classmethod
    def from_json(cls, value: bytes | str) -> Self:
        """Read the bytes of a record.

        A seed event (no `schema_version`) may carry a time without zone: it is read as UTC and marked.

        Raises:
            EventTooLarge: above MAX_EVENT_BYTES.
            EventNotJson: not UTF-8 JSON, NaN or infinity, a key given twice, nesting above MAX_DEPTH, U+0000.
            SchemaFromFuture: `schema_version` above SCHEMA_VERSION.
            EventInvalid: a field is missing or does not fit; the message names field and value.
        """
        raw = decode_object(value)
        version = raw.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise SchemaFromFuture(f"schema_version is {version}; this release reads up to {SCHEMA_VERSION}")
        if version is None:
            raw = _from_seed(raw)
        try:
            return cls.model_validate(raw)
        except ValidationError as problem:
            raise EventInvalid(_explain(problem)) from problem


def decode_object(value: bytes | str) -> dict[str, Any]:
    """Read a JSON object that has one meaning everywhere.

    Raises:
        EventTooLarge: above MAX_EVENT_BYTES.
        EventNotJson: not UTF-8 JSON, NaN or infinity, a key given twice, nesting above MAX_DEPTH, U+0000.
    """
    size_bytes = len(value) if isinstance(value, bytes) else len(value.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_EVENT_BYTES:
        raise EventTooLarge(f"the event has {size_bytes:,} bytes; at most {MAX_EVENT_BYTES:,} are taken")
    try:
        text = value.decode() if isinstance(value, bytes) else value
        raw = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_refuse_duplicates
        )
    except UnicodeDecodeError as problem:
        raise EventNotJson(f"not UTF-8: byte {problem.start} cannot be read") from problem
    except RecursionError as problem:
        raise EventNotJson(f"nested deeper than {MAX_DEPTH} levels") from problem
    except ValueError as problem:
        raise EventNotJson(f"not JSON: {problem}") from problem
    if not isinstance(raw, dict):
        raise EventNotJson(f"a JSON object is expected, found {type(raw).__name__}")
    if _depth(raw) > MAX_DEPTH:
        raise EventNotJson(f"nested deeper than {MAX_DEPTH} levels")
    if "\\u" in text or isinstance(value, str):
        _refuse_unstorable(raw)
    return raw


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # 1e999 is valid JSON, and would be published as Infinity, which is not
        raise ValueError(f"{digits:.40} is larger than any number that JSON readers agree on")
    return number


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.80} is given twice")
    return found


def _refuse_unstorable(raw: Any) -> None:
    # In bytes only escapes can bring these in: UTF-8 has no lone surrogate, and raw control characters are no JSON.
    reason = unstorable(json.dumps(raw, ensure_ascii=False))
    if reason:
        raise EventNotJson(reason)


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return deepest


def _from_seed(raw: dict[str, Any]) -> dict[str, Any]:
    event = {**raw, "schema_version": 1}
    moment = event.get("timestamp")
    if isinstance(moment, str):
        try:
            parsed = datetime.fromisoformat(moment)
        except ValueError:
            return event  # the validator names field and value
        if parsed.tzinfo is None:
            event["timestamp"] = parsed.replace(tzinfo=UTC).isoformat()
            metadata = event.get("metadata", {})
            if isinstance(metadata, dict):  # otherwise the validator names field and value
                event["metadata"] = {**metadata, "naive_timestamp": True}
    return event


def _explain(problem: ValidationError) -> str:
    parts = []
    for error in problem.errors(include_url=False)[:3]:
        field = ".".join(f"{step!s:.80}" for step in error["loc"][:8]) or "event"
        given = "" if error["type"] == "missing" else f" (found {error['input']!r:.80})"
        said = error["msg"].removeprefix("Value error, ")
        parts.append(f"{field}: {said[:1].lower()}{said[1:]}{given}")
    return "; ".join(parts)
