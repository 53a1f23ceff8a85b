"""What bad input gets, by a real broker and a real database: a letter with its place and bytes, and the next event."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from real_parts import Names, event, new_names

from tradeloop.domain.events import EventPayload
from tradeloop.engine.intake import Intake
from tradeloop.kafka.consumer import KafkaSource
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox

LARGEST_BYTES = 4_000_000
"""What the topic of these tests takes: a broker may be set to more than an event may be."""


@pytest.fixture
def names(kafka_bootstrap: str) -> Names:
    found = new_names(kafka_bootstrap)
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    topic = NewTopic(found.events, 1, 1, config={"max.message.bytes": str(LARGEST_BYTES)})
    admin.create_topics([topic])[found.events].result(30)
    return found


def write(names: Names, *values: bytes) -> None:
    """Append the bytes as any program could."""
    producer = Producer({"bootstrap.servers": names.bootstrap, "message.max.bytes": LARGEST_BYTES})
    for value in values:
        producer.produce(names.events, value=value)
    assert producer.flush(30) == 0


@asynccontextmanager
async def taking_in(names: Names, database: Database) -> AsyncIterator[None]:
    """Take in, until the position stands behind the last record."""
    inbox = PostgresInbox(database, names.dead_letters)
    source = KafkaSource(
        names.bootstrap, names.group, names.events, lambda places: inbox.positions(names.group, places)
    )
    intake = Intake(inbox, names.group, {"prices.loaded": "prices"})
    try:
        yield
        while not await database.rows("SELECT 1 FROM inbox WHERE event_type = 'the.last'"):
            batch = await source.batch()
            await intake.store(uuid4(), intake.read(batch), {"prices": 10})
            source.done(batch)
    finally:
        await source.close()


def spelled(changes: dict[str, Any] | None = None, data: str = "1") -> bytes:
    body = event().to_dict() | (changes or {})
    return json.dumps(body | {"payload": {"data": {"x": "HERE"}}}).replace('"HERE"', data).encode()


BAD: dict[str, tuple[bytes, str, str]] = {
    "no UTF-8": (b"\xff\xfe\x00", "EventNotJson", "not UTF-8: byte 0"),
    "no JSON": (b"{", "EventNotJson", "not JSON"),
    "no object": (b"[1]", "EventNotJson", "a JSON object is expected, found list"),
    "no value": (b"", "EventNotJson", "not JSON"),
    "2 MB": (b'{"x": "' + b"x" * 1_999_991 + b'"}', "EventTooLarge", "the event has 2,000,000 bytes"),
    "depth 1,000": (spelled(data="[" * 1000 + "]" * 1000), "EventNotJson", "nested deeper than 64 levels"),
    "NaN": (spelled(data="NaN"), "EventNotJson", "NaN is no JSON number"),
    "infinity": (spelled(data="-Infinity"), "EventNotJson", "-Infinity is no JSON number"),
    "infinity in disguise": (spelled(data="1e999"), "EventNotJson", "1e999 is larger"),
    "duplicate keys": (spelled(data='{"a": 1, "a": 2}'), "EventNotJson", "the key 'a' is given twice"),
    "no zone": (spelled({"timestamp": "2026-11-23T16:59:21"}), "EventInvalid", "timestamp: "),
    "a field too many": (spelled({"colour": "red"}), "EventInvalid", "colour: "),
    "a field too few": (b'{"event_type": "prices.loaded"}', "EventInvalid", "event_id: field required"),
    "the future": (spelled({"schema_version": 3, "colour": 1}), "SchemaFromFuture", "schema_version is 3"),
}


async def test_each_bad_message_is_a_letter_with_place_cause_and_bytes_and_the_partition_moves_on(
    names: Names, database: Database
) -> None:
    last = event(event_type="the.last")
    async with taking_in(names, database):
        write(names, *(value for value, _, _ in BAD.values()), last.to_json().encode())
    letters = await database.rows('SELECT * FROM dead_letters ORDER BY "offset"')
    told = dict(zip(BAD, letters, strict=True))
    for number, (name, (value, error, cause)) in enumerate(BAD.items()):
        letter = told[name]
        assert (letter["topic"], letter["partition"], letter["offset"]) == (names.events, 0, number), name
        assert (letter["error_class"], bytes(letter["raw"])) == (error, value[:1_000_000]), name
        assert cause in letter["cause"], (name, letter["cause"])
    mirrored = await database.rows("SELECT value FROM outbox WHERE topic = %s ORDER BY id", (names.dead_letters,))
    assert [bytes(row["value"]) for row in mirrored] == [value[:1_000_000] for value, _, _ in BAD.values()]
    (run,) = await database.rows("SELECT state, event_id FROM runs")
    assert (run["state"], run["event_id"]) == ("unhandled", last.event_id)


async def test_an_id_that_comes_with_other_content_is_a_letter_and_the_same_content_is_none(
    names: Names, database: Database
) -> None:
    first = event("SPX", rows=22)
    changed = first.model_copy(update={"payload": EventPayload(data={"rows": 23})})
    async with taking_in(names, database):
        write(names, *(one.to_json().encode() for one in (first, first, changed, event(event_type="the.last"))))
    (letter,) = await database.rows("SELECT * FROM dead_letters")
    assert (letter["error_class"], letter["offset"], letter["event_id"]) == ("EventIdReused", 2, first.event_id)
    assert bytes(letter["raw"]) == changed.to_json().encode()
    assert letter["cause"].endswith(f"was accepted before with other content, from {names.events}[0]@0")
    assert len(await database.rows("SELECT 1 FROM work")) == 1
