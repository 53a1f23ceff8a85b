"""Equal events have equal bytes, and whatever comes in, from_json raises EventInvalid or nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradeloop import WorkflowEvent
from tradeloop.errors import EventInvalid

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is slow for a moment; that is no finding."""

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
zones = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(timezone)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)
events = st.builds(
    WorkflowEvent,
    event_id=st.uuids(),
    event_type=st.from_regex(r"\A[A-Za-z0-9_.-]{1,40}\Z"),
    timestamp=moments,
    source=names,
    workflow_id=names,
    workflow_run_id=names,
    subject=texts,
    payload=st.fixed_dictionaries({"data": st.dictionaries(texts, values, max_size=4)}, optional={"note": values}),
    metadata=st.fixed_dictionaries({}, optional={"environment": texts, "more": values}),
    correlation_id=st.none() | st.uuids(),
    causation_id=st.none() | st.uuids(),
)


@patient
@given(events)
def test_an_event_is_the_same_after_its_bytes_were_read(event: WorkflowEvent) -> None:
    text = event.to_json()
    again = WorkflowEvent.from_json(text.encode())
    assert again == event
    assert again.to_json() == text


@patient
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_event_invalid(value: bytes) -> None:
    with pytest.raises(EventInvalid):
        WorkflowEvent.from_json(value)


@patient
@given(st.text(max_size=200))
def test_arbitrary_text_raises_nothing_but_event_invalid(value: str) -> None:
    with pytest.raises(EventInvalid):
        WorkflowEvent.from_json(value)


@patient
@given(events, st.data())
def test_a_damaged_event_raises_nothing_but_event_invalid(event: WorkflowEvent, data: st.DataObject) -> None:
    value = bytearray(event.to_json().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value)))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_or_refused(bytes(value))


MOMENTS = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-23", "24:00", "2026-11-23T16:59:21"]
strange = st.sampled_from([None, True, 0, -1, 3, 10**40, 1.5, 1e308, "", "x", "\x00", "\ud800", [], {}, [[]], *MOMENTS])


@patient
@given(events, st.sampled_from(sorted(WorkflowEvent.model_fields)), strange | values, st.booleans())
def test_a_strange_value_in_any_field_raises_nothing_but_event_invalid(
    event: WorkflowEvent, field: str, value: Any, is_seed: bool
) -> None:
    raw = event.to_dict() | {field: value}
    if is_seed:
        raw.pop("schema_version", None)
    read_or_refused(json.dumps(raw).encode())


def read_or_refused(value: bytes) -> None:
    """Refused with EventInvalid, or read as something that can be published."""
    try:
        event = WorkflowEvent.from_json(value)
    except EventInvalid:
        return
    event.to_json().encode()


def an_event(**more: Any) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": "5f1c9f0e-7a52-5f3c-9d3c-0d8f4a6c1b2e",
            "event_type": "marketdata.batch.loaded",
            "timestamp": datetime(2026, 11, 23, 18, 59, 21, tzinfo=timezone(timedelta(hours=2))),
            "source": "airflow",
            "workflow_id": "load_prices",
            "workflow_run_id": "manual__1",
            **more,
        }
    )


def test_the_bytes_are_canonical() -> None:
    assert an_event(payload={"data": {"b": 1, "a": "é"}}).to_json() == (
        '{"event_id":"5f1c9f0e-7a52-5f3c-9d3c-0d8f4a6c1b2e","event_type":"marketdata.batch.loaded",'
        '"metadata":{"environment":"development","naive_timestamp":false,"version":"1.0"},'
        '"payload":{"data":{"a":"é","b":1}},"schema_version":2,"source":"airflow",'
        '"subject":"load_prices/manual__1","timestamp":"2026-11-23T16:59:21.000000Z",'
        '"workflow_id":"load_prices","workflow_run_id":"manual__1"}'
    )


def test_equal_events_have_equal_bytes_whatever_the_zone_they_were_written_in() -> None:
    assert an_event().to_json() == an_event(timestamp=datetime(2026, 11, 23, 16, 59, 21, tzinfo=UTC)).to_json()


def test_null_in_data_is_kept() -> None:
    event = an_event(payload={"data": {"a": None}, "note": None}, metadata={"more": None})
    assert WorkflowEvent.from_json(event.to_json()) == event


def test_an_event_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        an_event().subject = "other"  # type: ignore[misc]
