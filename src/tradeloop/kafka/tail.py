"""Reading a topic from a point in time on, without being a member of any group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final  # Any: confluent_kafka is untyped
from uuid import UUID

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tradeloop.domain.records import Received
from tradeloop.errors import KafkaUnreachable, NotFound
from tradeloop.kafka.client import client_configuration

POLL_S: Final = 0.2
ASK_S: Final = 15.0


def tail(bootstrap: str, topic: str, *, since: datetime | None, idle_s: float | None = None) -> Iterator[Received]:
    """Records of a topic: those after `since` first (None: only new ones), then new ones as they come.

    Ends when nothing came for `idle_s`; None goes on for ever.

    Raises:
        KafkaUnreachable: the broker does not answer.
        NotFound: there is no such topic.
    """
    consumer: Any = Consumer(
        client_configuration(
            bootstrap,
            group_id="tradeloop-tail",
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_wait_max_ms=50,
        )
    )
    try:
        consumer.assign(_starts(consumer, bootstrap, topic, since))
        quiet_since = time.monotonic()
        while idle_s is None or time.monotonic() - quiet_since < idle_s:
            message = consumer.poll(POLL_S)
            if message is None or message.error():
                continue
            quiet_since = time.monotonic()
            yield _received(message)
    finally:
        consumer.close()


def _starts(consumer: Any, bootstrap: str, topic: str, since: datetime | None) -> list[TopicPartition]:
    try:
        found = consumer.list_topics(topic, timeout=ASK_S).topics[topic]
        if found.error:
            raise NotFound(f"Kafka has no topic {topic!r}.", hint="tradeloop topics create")
        # Looked up before anything else: what is appended from now on is new, also where `since` finds nothing yet.
        ends = {number: _end(consumer, topic, number) for number in found.partitions}
        if since is None:
            return [TopicPartition(topic, partition, end) for partition, end in ends.items()]
        at_ms = int(since.timestamp() * 1000)
        asked = [TopicPartition(topic, partition, at_ms) for partition in ends]
        return [
            place if place.offset >= 0 else TopicPartition(topic, place.partition, ends[place.partition])
            for place in consumer.offsets_for_times(asked, timeout=ASK_S)
        ]
    except KafkaException as problem:
        raise KafkaUnreachable(f"Kafka at {bootstrap} did not answer.", hint="tradeloop doctor") from problem


def _end(consumer: Any, topic: str, partition: int) -> int:
    return int(consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_S)[1])


def _received(message: Any) -> Received:
    return Received(
        topic=message.topic(),
        topic_id=UUID(int=0),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value() or b"",
        headers=tuple((name, value or b"") for name, value in message.headers() or ()),
        appended_at_ms=message.timestamp()[1],
    )
