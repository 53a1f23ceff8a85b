"""Looking at a topic without being a consumer group: what is appended from now on."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, Final, Self  # Any: confluent_kafka is untyped

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tradeloop.domain.records import Delivery
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import CE_ID

POLL_S: Final = 0.05
LEADER_WITHIN_S: Final = 15.0


class TopicReader:
    """Remembers where each event of a topic was put, from the moment it is entered."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._consumer: Any = Consumer(
            client_configuration(bootstrap, group_id="tradeloop-reader", enable_auto_commit=False, fetch_wait_max_ms=20)
        )
        self._places: dict[str, Delivery] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="kafka-reader", daemon=True)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()
        await asyncio.to_thread(self._thread.join, 10)

    async def place(self, event_id: str, within_s: float) -> Delivery | None:
        """Where the event is; None when it was not seen in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while event_id not in self._places and loop.time() < deadline:
            await asyncio.sleep(POLL_S / 2)
        return self._places.get(event_id)

    def _begin(self) -> None:
        partitions = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic].partitions
        self._consumer.assign([TopicPartition(self._topic, number, self._end(number)) for number in partitions])
        self._thread.start()

    def _end(self, partition: int) -> int:
        """The partition's end; a topic that was made a moment ago has no leader yet."""
        deadline = time.monotonic() + LEADER_WITHIN_S
        while True:
            try:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=10)
                return int(high)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                self._stopped.wait(POLL_S)

    def _read(self) -> None:
        while not self._stopped.is_set():
            message = self._consumer.poll(POLL_S)
            if message is None or message.error():
                continue
            for name, value in message.headers() or ():
                if name == CE_ID and value:
                    self._places[value.decode("utf-8", "replace")] = Delivery(message.partition(), message.offset())
        self._consumer.close()
