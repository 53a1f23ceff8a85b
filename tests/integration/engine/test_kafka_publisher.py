"""Publishing to a real broker: its word for every record, order per key, and clear refusals."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition
from real_parts import Names, event, make_topic, new_names, publishing

from tradeloop.domain.records import Record
from tradeloop.errors import PublishFailed
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.producer import KafkaPublisher

if TYPE_CHECKING:
    from tradeloop.stack import Stack


@pytest.fixture
def names(kafka_bootstrap: str) -> Names:
    found = new_names(kafka_bootstrap)
    make_topic(kafka_bootstrap, found.decisions)
    return found


def on_the_log(names: Names) -> list[tuple[int, int, bytes, bytes]]:
    """Partition, offset, key and value of every record of the decisions topic."""
    consumer = Consumer({"bootstrap.servers": names.bootstrap, "group.id": "look", "enable.auto.commit": False})
    ends = {
        part: consumer.get_watermark_offsets(TopicPartition(names.decisions, part), timeout=10) for part in range(3)
    }
    consumer.assign([TopicPartition(names.decisions, part, 0) for part in ends])
    found: list[tuple[int, int, bytes, bytes]] = []
    while len(found) < sum(high for _, high in ends.values()):
        found += [(m.partition(), m.offset(), m.key(), m.value()) for m in consumer.consume(500, 1)]
    consumer.close()
    return sorted(found)


def records(names: Names, count: int) -> list[Record]:
    return [Record(names.decisions, f"s{n % 7}".encode(), str(n).encode()) for n in range(count)]


async def test_a_delivery_tells_where_the_broker_put_the_record(names: Names) -> None:
    async with publishing(names.bootstrap) as publisher:
        deliveries = await publisher.publish(records(names, 500))
    placed = {(part, offset): value for part, offset, _, value in on_the_log(names)}
    assert [placed[d.partition, d.offset] for d in deliveries] == [str(n).encode() for n in range(500)]


async def test_the_order_per_key_is_kept(names: Names) -> None:
    async with publishing(names.bootstrap) as publisher:
        for start in range(0, 700, 100):
            await publisher.publish(records(names, 700)[start : start + 100])
    by_key: dict[bytes, list[int]] = {}
    for _, _, key, value in on_the_log(names):
        by_key.setdefault(key, []).append(int(value))
    assert by_key == {f"s{start}".encode(): list(range(start, 700, 7)) for start in range(7)}


async def test_nothing_is_published_for_nothing(names: Names) -> None:
    async with publishing(names.bootstrap) as publisher:
        assert await publisher.publish([]) == []


async def test_a_record_that_no_topic_takes_is_refused_and_the_others_are_on_the_log(names: Names) -> None:
    batch = records(names, 5)
    batch.insert(2, Record(names.decisions, b"large", b"x" * 2_000_000))
    async with publishing(names.bootstrap) as publisher:
        with pytest.raises(PublishFailed, match=r"refused 1 of 6 records.*too large") as caught:
            await publisher.publish(batch)
        assert caught.value.acknowledged == {0, 1, 3, 4, 5}
        assert len(await publisher.publish(records(names, 1))) == 1
    assert len(on_the_log(names)) == 6


async def test_a_topic_that_does_not_exist_is_a_refusal(names: Names) -> None:
    async with publishing(names.bootstrap) as publisher:
        with pytest.raises(PublishFailed, match="refused 1 of 1 records"):
            await publisher.publish([to_record(event(), "no-such-topic")])


async def test_a_broker_that_stands_still_is_waited_for(names: Names, servers_stack: Stack) -> None:
    async with publishing(names.bootstrap) as publisher:
        await publisher.publish(records(names, 1))
        servers_stack.signal("kafka", signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(publisher.publish(records(names, 50)))
            done, _ = await asyncio.wait([waiting], timeout=2)
            assert not done
        finally:
            servers_stack.signal("kafka", signal.SIGCONT)
        assert len(await asyncio.wait_for(waiting, 30)) == 50
    values = [int(value) for _, _, key, value in on_the_log(names) if key == b"s1"]
    assert values == list(range(1, 50, 7))


async def test_closing_ends_a_publication_that_waits(kafka_bootstrap: str) -> None:
    publisher = KafkaPublisher("127.0.0.1:1")
    waiting = asyncio.create_task(publisher.publish([Record("t", b"k", b"v")]))
    await asyncio.wait([waiting], timeout=0.2)
    publisher.close()
    with pytest.raises(PublishFailed, match="closed"):
        await asyncio.wait_for(waiting, 5)
