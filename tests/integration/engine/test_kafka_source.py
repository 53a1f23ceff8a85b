"""Reading from a real broker: positions come from the database, and nothing else moves them."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Consumer, TopicPartition
from real_parts import Names, delete_topic, event, make_topic, new_names, publishing, send, take, until
from structlog.testing import capture_logs

from tradeloop import WorkflowEvent
from tradeloop.domain.records import Record
from tradeloop.kafka import consumer as consumer_module
from tradeloop.kafka.consumer import KafkaSource
from tradeloop.kafka.messages import to_record

with warnings.catch_warnings():  # kafka-python reads its schemas by functions that Python 3.11 deprecated
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")


@pytest.fixture
def names(kafka_bootstrap: str) -> Names:
    found = new_names(kafka_bootstrap)
    make_topic(kafka_bootstrap, found.events)
    return found


class Cursors:
    """Positions as the inbox keeps them: moved by what was taken, never by Kafka."""

    def __init__(self) -> None:
        self.next: dict[tuple[UUID, int], int] = {}
        self.problems: list[Exception] = []

    async def positions(self, places: Sequence[tuple[UUID, int]]) -> Mapping[tuple[UUID, int], int]:
        if self.problems:
            raise self.problems.pop(0)
        return {place: self.next[place] for place in places if place in self.next}

    def accept(self, received: Sequence[Any]) -> None:
        for record in received:
            self.next[record.topic_id, record.partition] = record.offset + 1


@asynccontextmanager
async def reading(names: Names, cursors: Cursors) -> AsyncIterator[KafkaSource]:
    source = KafkaSource(names.bootstrap, names.group, names.events, cursors.positions)
    try:
        yield source
    finally:
        await source.close()


def offsets(records: Sequence[Any]) -> list[tuple[int, int]]:
    return sorted((record.partition, record.offset) for record in records)


async def test_records_come_whole_and_in_the_order_of_their_partition(names: Names) -> None:
    sent = [event(f"s{n % 5}", number=n) for n in range(400)]
    await send(names.bootstrap, names.events, *sent)
    async with reading(names, Cursors()) as source:
        found = await take(source, 400)
    numbers: dict[bytes | None, list[int]] = {}
    for record in found:
        numbers.setdefault(record.key, []).append(json.loads(record.value)["payload"]["data"]["number"])
    assert numbers == {f"s{start}".encode(): list(range(start, 400, 5)) for start in range(5)}
    assert found[0].header("ce_type") == "prices.loaded"
    assert found[0].appended_at_ms > 0


async def test_a_restart_goes_on_where_the_database_stands(names: Names) -> None:
    cursors = Cursors()
    await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(30)))
    async with reading(names, cursors) as source:
        cursors.accept(await take(source, 30))
    await send(names.bootstrap, names.events, event("late"))
    async with reading(names, cursors) as source:
        (only,) = await take(source, 1)
    assert only.key == b"late"


async def test_offsets_that_were_reset_by_hand_change_nothing(names: Names) -> None:
    cursors = Cursors()
    await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(30)))
    async with reading(names, cursors) as source:
        cursors.accept(await take(source, 30))
    for offset in (0, 1000):
        _commit_by_hand(names, offset)
        await send(names.bootstrap, names.events, event(f"after {offset}"))
        async with reading(names, cursors) as source:
            (only,) = await take(source, 1)
            cursors.accept([only])
        assert only.key == f"after {offset}".encode()


def _commit_by_hand(names: Names, offset: int) -> None:
    tool = Consumer({"bootstrap.servers": names.bootstrap, "group.id": names.group, "enable.auto.commit": False})
    tool.commit(offsets=[TopicPartition(names.events, part, offset) for part in range(3)], asynchronous=False)
    tool.close()


async def test_two_sources_share_the_partitions_and_the_one_that_stays_takes_all(names: Names) -> None:
    cursors = Cursors()
    async with reading(names, cursors) as staying:
        await until(lambda: len(staying.assigned) == 3)
        async with reading(names, cursors) as leaving:
            await until(lambda: staying.assigned and leaving.assigned and not staying.assigned & leaving.assigned)
            assert staying.assigned | leaving.assigned == {0, 1, 2}
        await until(lambda: staying.assigned == {0, 1, 2})
        await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(30)))
        assert len(set(offsets(await take(staying, 30)))) == 30


async def test_positions_that_cannot_be_read_are_asked_for_again(names: Names) -> None:
    cursors = Cursors()
    cursors.problems = [RuntimeError("the database is away")]
    await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(10)))
    _commit_by_hand(names, 1000)  # where the client would begin without our positions
    async with reading(names, cursors) as source:
        assert len(await take(source, 10)) == 10


async def test_a_source_that_never_learned_its_positions_closes_all_the_same(names: Names) -> None:
    class Silent(Cursors):
        async def positions(self, _: Sequence[tuple[UUID, int]]) -> Mapping[tuple[UUID, int], int]:
            asked.set()
            await asyncio.Event().wait()
            return {}

    asked = asyncio.Event()
    async with asyncio.timeout(20), reading(names, Silent()):
        await asked.wait()


async def test_a_topic_that_was_made_again_is_read_from_its_beginning(names: Names) -> None:
    cursors = Cursors()
    async with reading(names, cursors) as source:
        await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(30)))
        first = await take(source, 30)
        cursors.accept(first)
        await asyncio.to_thread(delete_topic, names.bootstrap, names.events)
        await until(lambda: not source.assigned)
        await asyncio.to_thread(make_topic, names.bootstrap, names.events)
        await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(10)))
        second = await take(source, 10)
    assert {record.topic_id for record in first} != {record.topic_id for record in second}
    assert all(record.offset < 10 for record in second)


async def test_a_log_that_ends_before_our_position_is_not_read_and_an_operator_is_told(names: Names) -> None:
    cursors = Cursors()
    await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(30)))
    async with reading(names, cursors) as source:
        found = await take(source, 30)
    cursors.accept(found)
    halted = found[0]
    cursors.next[halted.topic_id, halted.partition] += 1000
    expected = sum(record.partition != halted.partition for record in found)
    with capture_logs() as logs:
        async with reading(names, cursors) as source:
            await until(lambda: source.assigned == {0, 1, 2})
            for _ in range(2):
                await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(30)))
            more = await take(source, 2 * expected)
    assert {record.partition for record in more} == {0, 1, 2} - {halted.partition}
    (told,) = [entry for entry in logs if entry["event"] == "log_truncated"]
    assert (told["partition"], told["log_level"]) == (halted.partition, "error")


async def test_a_full_queue_pauses_reading_and_an_emptied_one_resumes(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "BATCH", 10)
    monkeypatch.setattr(consumer_module, "PAUSE_AFTER_S", 0.2)
    await send(names.bootstrap, names.events, *(event(f"s{n}") for n in range(1000)))
    async with reading(names, Cursors()) as source:
        await until(lambda: source._paused)
        assert source._handed.batches == consumer_module.QUEUED_BATCHES
        found = await take(source, 1000)
    assert len(set(offsets(found))) == 1000


async def test_a_queue_is_full_by_bytes_too(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "BATCH", 1)
    monkeypatch.setattr(consumer_module, "QUEUED_BYTES", 150_000)
    await send(names.bootstrap, names.events, *(event(f"s{n}", text="x" * 100_000) for n in range(6)))
    async with reading(names, Cursors()) as source:
        await until(lambda: source._full_since)
        assert source._handed.batches == 2
        assert len(await take(source, 6)) == 6


async def test_a_poll_thread_that_breaks_is_an_error_of_the_next_batch(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(names, Cursors()) as source:
        monkeypatch.setattr(source, "_has_room", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(source.batch(), 10)


SEED = {
    "event_id": "5f1c9f0e-7a52-5f3c-9d3c-0d8f4a6c1b2e",
    "event_type": "workflow.completed",
    "timestamp": "2026-11-23T16:59:21.123456",
    "source": "airflow",
    "workflow_id": "example_etl_dag",
    "workflow_run_id": "manual__2026-11-23T16:00:00+00:00",
    "payload": {"data": {"rows": 22}},
    "metadata": {"environment": "development", "version": "1.0"},
}


async def test_what_kafka_python_wrote_as_the_seed_did_is_read(names: Names) -> None:
    def write() -> None:
        producer = KafkaProducer(bootstrap_servers=names.bootstrap)
        producer.send(names.events, json.dumps(SEED).encode()).get(30)
        producer.close()

    await asyncio.to_thread(write)
    async with reading(names, Cursors()) as source:
        (record,) = await take(source, 1)
    read = WorkflowEvent.from_json(record.value)
    assert (read.subject, read.metadata.naive_timestamp, record.key) == (
        "example_etl_dag/manual__2026-11-23T16:00:00+00:00",
        True,
        None,
    )


async def test_kafka_python_reads_what_we_wrote(names: Names) -> None:
    sent = event("SPX/2009-07", rows=22)
    await send(names.bootstrap, names.events, sent)

    def read() -> Any:
        consumer = KafkaConsumer(
            names.events, bootstrap_servers=names.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
        )
        found = next(consumer)
        consumer.close()
        return found

    found = await asyncio.to_thread(read)
    assert WorkflowEvent.from_json(found.value) == sent
    assert (found.key, dict(found.headers)["ce_id"]) == (b"SPX/2009-07", str(sent.event_id).encode())


async def test_a_subject_has_one_partition_whoever_writes_it(names: Names) -> None:
    subjects = [f"subject {n}" for n in range(50)]
    async with publishing(names.bootstrap) as publisher:
        ours = await publisher.publish([to_record(event(subject), names.events) for subject in subjects])

    def write() -> list[int]:
        producer = KafkaProducer(bootstrap_servers=names.bootstrap)
        sent = [producer.send(names.events, key=subject.encode(), value=b"{}") for subject in subjects]
        partitions = [future.get(30).partition for future in sent]
        producer.close()
        return partitions

    assert [delivery.partition for delivery in ours] == await asyncio.to_thread(write)


async def test_a_record_without_a_value_is_handed_on(names: Names) -> None:
    async with publishing(names.bootstrap) as publisher:
        await publisher.publish([Record(names.events, b"k", b"")])
    async with reading(names, Cursors()) as source:
        (record,) = await take(source, 1)
    assert record.value == b""
