"""Following a topic from a point in time on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tradeloop.domain.records import Record
from tradeloop.errors import NotFound
from tradeloop.kafka import tail as tail_module
from tradeloop.kafka.producer import KafkaPublisher
from tradeloop.kafka.tail import tail

PARTITIONS = 2


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    name = f"tail-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)])[name].result(30)
    while admin.list_topics(name, timeout=10).topics[name].error:  # the broker tells of it a moment later
        time.sleep(0.1)
    return name


async def publish(bootstrap: str, topic: str, *values: bytes) -> None:
    publisher = KafkaPublisher(bootstrap)
    await publisher.publish([Record(topic, value, value) for value in values])
    publisher.close()


@pytest.mark.parametrize("since", [None, timedelta(hours=1)])
async def test_what_is_appended_after_the_places_were_looked_up_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str, topic: str, since: timedelta | None
) -> None:
    starts = tail_module._starts
    values = [b"a", b"b", b"c", b"d"]

    def publish_in_between(*arguments: object) -> object:
        found = starts(*arguments)  # type: ignore[arg-type]
        producer = Producer({"bootstrap.servers": kafka_bootstrap})
        for value in values:
            producer.produce(topic, value, value)
        assert producer.flush(20) == 0
        return found

    monkeypatch.setattr(tail_module, "_starts", publish_in_between)
    begin = datetime.now(UTC) - since if since else None
    found = [received.value for received in tail(kafka_bootstrap, topic, since=begin, idle_s=3)]
    assert sorted(found) == values


async def test_only_what_came_since_is_read(kafka_bootstrap: str, topic: str) -> None:
    await publish(kafka_bootstrap, topic, b"earlier")
    since = datetime.now(UTC) + timedelta(milliseconds=5)
    while datetime.now(UTC) < since:
        pass
    await publish(kafka_bootstrap, topic, b"later")
    assert [received.value for received in tail(kafka_bootstrap, topic, since=since, idle_s=3)] == [b"later"]


def test_a_topic_that_does_not_exist_is_said_so(kafka_bootstrap: str) -> None:
    with pytest.raises(NotFound, match="no topic 'nowhere'"):
        next(tail(kafka_bootstrap, "nowhere", since=None))
