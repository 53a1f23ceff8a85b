"""What WorkflowEvent.from_json takes, refuses, and says when it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tradeloop import WorkflowEvent
from tradeloop.domain.events import MAX_DEPTH, MAX_EVENT_BYTES, SCHEMA_VERSION
from tradeloop.errors import EventInvalid, EventNotJson, EventTooLarge, SchemaFromFuture

OURS: dict[str, Any] = {
    "event_id": "5f1c9f0e-7a52-5f3c-9d3c-0d8f4a6c1b2e",
    "event_type": "marketdata.batch.loaded",
    "timestamp": "2026-11-23T16:59:21.000000Z",
    "source": "airflow",
    "workflow_id": "load_prices",
    "workflow_run_id": "manual__1",
    "subject": "SPX/2009-07",
    "schema_version": SCHEMA_VERSION,
}
SEED = {name: value for name, value in OURS.items() if name not in {"subject", "schema_version"}}


def read(raw: dict[str, Any], **changes: Any) -> WorkflowEvent:
    return WorkflowEvent.from_json(json.dumps(raw | changes).encode())


def with_data(data: str) -> bytes:
    """An event whose `payload.data.x` is this JSON text, spelled exactly so."""
    return json.dumps(OURS | {"payload": {"data": {"x": "HERE"}}}).replace('"HERE"', data).encode()


def test_an_event_of_ours_is_read() -> None:
    event = read(OURS, payload={"data": {"rows": 22}})
    assert (event.subject, event.payload.data, event.metadata.naive_timestamp) == ("SPX/2009-07", {"rows": 22}, False)


def test_text_and_bytes_read_alike() -> None:
    assert WorkflowEvent.from_json(json.dumps(OURS)) == WorkflowEvent.from_json(json.dumps(OURS).encode())


def test_a_seed_event_without_zone_is_read_as_utc_and_marked() -> None:
    event = read(SEED, timestamp="2026-11-23T16:59:21.5")
    assert event.timestamp == datetime(2026, 11, 23, 16, 59, 21, 500_000, tzinfo=UTC)
    assert event.metadata.naive_timestamp
    assert event.schema_version == 1


def test_a_seed_event_with_zone_is_not_marked() -> None:
    event = read(SEED, timestamp="2026-11-23T18:59:21+02:00")
    assert (event.timestamp.hour, event.metadata.naive_timestamp) == (16, False)


def test_the_mark_keeps_what_the_metadata_of_a_seed_event_says() -> None:
    event = read(SEED, timestamp="2026-11-23T16:59:21", metadata={"environment": "prod", "version": "1.0"})
    assert (event.metadata.environment, event.metadata.naive_timestamp) == ("prod", True)


def test_an_event_of_ours_without_zone_is_refused() -> None:
    with pytest.raises(EventInvalid, match=r"timestamp: .*timezone.*'2026-11-23T16:59:21'"):
        read(OURS, timestamp="2026-11-23T16:59:21")


def test_the_subject_of_an_event_without_one_is_its_run() -> None:
    assert read(SEED).subject == "load_prices/manual__1"


def test_the_longest_ids_still_give_a_subject() -> None:
    assert len(read(SEED, workflow_id="w" * 250, workflow_run_id="r" * 250).subject) == 500


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("raw", [OURS, SEED], ids=["ours", "seed"])
def test_a_time_that_utc_cannot_tell_is_refused(raw: dict[str, Any], moment: str) -> None:
    with pytest.raises(EventInvalid, match="timestamp: in UTC this is outside the years 1 to 9999"):
        read(raw, timestamp=moment)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event_id": "nonsense"}, r"event_id: .*'nonsense'"),
        ({"event_type": "with space"}, r"event_type: .*'with space'"),
        ({"source": ""}, r"source: .*''"),
        ({"subject": "s" * 501}, r"subject: .*500"),
        ({"payload": {"data": [1]}}, r"payload\.data: .*\[1\]"),
        ({"metadata": "prod"}, r"metadata: .*'prod'"),
        ({"correlation_id": 7}, r"correlation_id: .*7"),
        ({"colour": "red"}, r"colour: .*'red'"),
        ({"timestamp": "yesterday"}, r"timestamp: .*'yesterday'"),
    ],
)
def test_a_message_names_field_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EventInvalid, match=message):
        read(OURS, **changes)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(EventInvalid, match=r"^workflow_id: field required$"):
        read({name: value for name, value in OURS.items() if name != "workflow_id"} | {"subject": "s"})


def test_foreign_metadata_of_a_seed_event_is_refused_and_not_replaced() -> None:
    with pytest.raises(EventInvalid, match=r"metadata: .*'prod'"):
        read(SEED, timestamp="2026-11-23T16:59:21", metadata="prod")


def test_a_message_stays_short_however_long_the_field() -> None:
    with pytest.raises(EventInvalid) as caught:
        read(OURS, **{"k" * 100_000: "v" * 100_000})
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_no_json_number_is_refused(number: str) -> None:
    with pytest.raises(EventNotJson, match=number):
        WorkflowEvent.from_json(with_data(number))


def test_a_number_of_five_thousand_digits_is_refused() -> None:
    with pytest.raises(EventNotJson, match="digits"):
        WorkflowEvent.from_json(with_data("9" * 5000))


def test_a_key_given_twice_is_refused_and_named() -> None:
    with pytest.raises(EventNotJson, match="'a' is given twice"):
        WorkflowEvent.from_json(with_data('{"a": 1, "b": 2, "a": 3}'))


@pytest.mark.timeout(10)
def test_a_hundred_thousand_keys_and_one_of_them_twice_are_refused_at_once() -> None:
    keys = ",".join(f'"{n}":0' for n in range(70_000))
    with pytest.raises(EventNotJson, match="'69999' is given twice"):
        WorkflowEvent.from_json(with_data("{" + keys + ',"69999":1}'))


@pytest.mark.parametrize("depth", [MAX_DEPTH, 900, 1000, 100_000])
@pytest.mark.parametrize("text", ["", "\\u00e9"], ids=["plain", "escaped"])
def test_deep_nesting_is_refused(depth: int, text: str) -> None:
    with pytest.raises(EventNotJson, match=f"deeper than {MAX_DEPTH}"):
        WorkflowEvent.from_json(with_data("[" * depth + f'"{text}"' + "]" * depth))


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = MAX_DEPTH - 3  # the envelope, payload and data are three levels
    event = WorkflowEvent.from_json(with_data("[" * depth + "]" * depth))
    assert WorkflowEvent.from_json(event.to_json()) == event


def test_two_megabytes_are_refused_unread() -> None:
    with pytest.raises(EventTooLarge, match="2,000,000 bytes; at most 1,000,000"):
        WorkflowEvent.from_json(b"{" + b" " * 1_999_998 + b"}")


def test_the_largest_event_is_read() -> None:
    head = with_data('"HERE"')
    value = head.replace(b"HERE", b"x" * (MAX_EVENT_BYTES - len(head) + 4))
    assert len(value) == MAX_EVENT_BYTES
    assert WorkflowEvent.from_json(value).event_type == OURS["event_type"]


def test_the_size_of_a_text_is_that_of_its_bytes() -> None:
    with pytest.raises(EventTooLarge):
        WorkflowEvent.from_json(with_data('"' + "é" * 500_001 + '"').decode("unicode_escape"))


@pytest.mark.parametrize("text", [r'"a\u0000"', r'{"\u0000": 1}', r'"\\\u0000"'])
def test_u0000_is_refused(text: str) -> None:
    with pytest.raises(EventNotJson, match=r"U\+0000"):
        WorkflowEvent.from_json(with_data(text))


def test_a_backslash_before_u0000_is_text() -> None:
    assert WorkflowEvent.from_json(with_data(r'"\\u0000"')).payload.data == {"x": r"\u0000"}


@pytest.mark.parametrize("text", [r'"\ud800"', r'"a\udfffb"', r'{"\ud800": 1}'])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(EventNotJson, match="lone surrogate"):
        WorkflowEvent.from_json(with_data(text))


def test_a_lone_surrogate_in_a_text_is_refused_without_escapes_too() -> None:
    with pytest.raises(EventNotJson, match="lone surrogate"):
        WorkflowEvent.from_json(with_data('"HERE"').decode().replace("HERE", "\ud800"))


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert WorkflowEvent.from_json(with_data(r'"\ud83d\ude00"')).payload.data == {"x": "\U0001f600"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8: byte 0"),
        (b"[]", "an object is expected|a JSON object is expected, found list"),
        (b"null", "found NoneType"),
        (b'{"a": 1', "not JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(value: bytes, message: str) -> None:
    with pytest.raises(EventNotJson, match=message):
        WorkflowEvent.from_json(value)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 10**30])
def test_a_schema_from_the_future_is_refused_whatever_else_it_holds(version: int) -> None:
    with pytest.raises(SchemaFromFuture, match=f"schema_version is {version}"):
        WorkflowEvent.from_json(json.dumps({"schema_version": version, "new_field": 1}))


@pytest.mark.parametrize("version", ["3", 3.0, True, 0, -1])
def test_a_schema_version_that_is_no_positive_integer_is_refused(version: object) -> None:
    with pytest.raises(EventInvalid, match="schema_version: "):
        read(OURS, schema_version=version)
