"""Reading: a poll thread that never waits for anybody, and batches handed over to asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as WaitTimedOut
from typing import Any, Final  # Any: confluent_kafka is untyped
from uuid import UUID

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tradeloop.domain.records import Received
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.topics import topic_id

log = structlog.get_logger()
Positions = Callable[[Sequence[tuple[UUID, int]]], Awaitable[Mapping[tuple[UUID, int], int]]]

BATCH: Final = 250
QUEUED_BATCHES: Final = 8
"""More would only fill memory: the database is slower than the broker. Fewer starves intake between polls."""
POLL_S: Final = 0.1
POSITIONS_TIMEOUT_S: Final = 20.0


class KafkaSource:
    """Batches of a topic, from the positions that the database owns.

    Kafka's own committed offset is a hint for lag tools: a rewound group re-reads, and the inbox drops the doubles.
    """

    def __init__(self, bootstrap: str, group: str, topic: str, positions: Positions) -> None:
        self._topic = topic
        self._positions = positions
        self._admin = AdminClient(client_configuration(bootstrap))
        self._consumer: Any = Consumer(
            client_configuration(
                bootstrap,
                group_id=group,
                group_protocol="consumer",  # KIP-848; classic-only settings beside it would be refused
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                fetch_wait_max_ms=20,  # the default 500 holds an empty fetch open while an event is appended
                fetch_message_max_bytes=1_048_588,
                queued_max_messages_kbytes=65_536,
                error_cb=self._on_error,
            )
        )
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[list[Received]] = asyncio.Queue()
        self._waiting = 0
        self._stored: deque[list[TopicPartition]] = deque()
        self._ids: dict[str, UUID] = {}
        self._paused = False
        self._stop = threading.Event()
        self._away = False
        self.assigned: set[int] = set()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="kafka-poll", daemon=True)
        self._thread.start()

    async def batch(self) -> list[Received]:
        """The next records, in the order of each partition; waits until there are some."""
        return await self._ready.get()

    def done(self, batch: Sequence[Received]) -> None:
        """The batch is durable: Kafka's hint of our position may move."""
        ends: dict[tuple[str, int], int] = {}
        for received in batch:
            ends[received.topic, received.partition] = received.offset + 1
        self._stored.append([TopicPartition(topic, part, offset) for (topic, part), offset in ends.items()])
        self._waiting -= 1

    async def close(self) -> None:
        """Stop polling and leave the group."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)

    def _poll_until_stopped(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        try:
            while not self._stop.is_set():
                self._poll_once()
        finally:
            self._store_offsets(wait=True)
            self._consumer.close()

    def _poll_once(self) -> None:
        try:
            self._balance()
            self._store_offsets(wait=False)
            messages = self._consumer.consume(BATCH, POLL_S)
        except KafkaException as problem:
            log.warning("kafka_poll_failed", error=str(problem))
            self._stop.wait(1)
            return
        batch = [self._received(message) for message in messages if self._is_record(message)]
        if batch:
            self._away = False
            self._waiting += 1
            self._loop.call_soon_threadsafe(self._ready.put_nowait, batch)

    def _is_record(self, message: Any) -> bool:
        error: KafkaError | None = message.error()
        if error and error.code() != KafkaError._PARTITION_EOF:
            log.warning("kafka_partition_failed", error=error.str())
        return error is None

    def _received(self, message: Any) -> Received:
        return Received(
            topic=message.topic(),
            topic_id=self._ids[message.topic()],
            partition=message.partition(),
            offset=message.offset(),
            key=message.key(),
            value=message.value() or b"",
            headers=tuple((name, value or b"") for name, value in message.headers() or ()),
            appended_at_ms=message.timestamp()[1],
        )

    def _balance(self) -> None:
        full = self._waiting >= QUEUED_BATCHES
        if full != self._paused:
            partitions = self._consumer.assignment()
            (self._consumer.pause if full else self._consumer.resume)(partitions)
            self._paused = full

    def _store_offsets(self, *, wait: bool) -> None:
        stored = False
        while self._stored:
            try:
                self._consumer.store_offsets(offsets=self._stored.popleft())
                stored = True
            except KafkaException:  # the partition moved on; its new owner reads the database's position
                continue
        if stored:
            try:
                self._consumer.commit(asynchronous=not wait)
            except KafkaException as problem:
                log.info("kafka_offset_hint_not_committed", error=str(problem))

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        name = partitions[0].topic
        self._ids[name] = topic_id(self._admin, name)
        places = [(self._ids[name], partition.partition) for partition in partitions]
        positions = self._ask(places)
        if positions is None:
            return
        starts = [
            TopicPartition(name, part, self._start(consumer, name, part, positions.get((known, part), 0)))
            for known, part in places
        ]
        consumer.incremental_assign(starts)
        self.assigned |= {partition.partition for partition in partitions}
        if self._paused:
            consumer.pause(starts)
        log.info("partitions_assigned", topic=name, partitions=sorted(p.partition for p in partitions))

    def _ask(self, places: list[tuple[UUID, int]]) -> Mapping[tuple[UUID, int], int] | None:
        async def ask() -> Mapping[tuple[UUID, int], int]:
            return await self._positions(places)

        while not self._stop.is_set():
            future = asyncio.run_coroutine_threadsafe(ask(), self._loop)
            try:
                return future.result(POSITIONS_TIMEOUT_S)
            except (WaitTimedOut, Exception) as problem:  # noqa: BLE001 - without positions nothing may be read; ask again
                log.warning("positions_unknown", error=str(problem), retried=True)
                future.cancel()
                self._stop.wait(1)
        return None

    def _start(self, consumer: Any, name: str, partition: int, wanted: int) -> int:
        low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
        if wanted > high:
            log.error("log_truncated", topic=name, partition=partition, position=wanted, high=high)
            return int(high)
        if 0 < wanted < low:
            log.error("records_expired_unread", topic=name, partition=partition, position=wanted, low=low)
        return max(int(low), wanted)

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        self.assigned -= {partition.partition for partition in partitions}

    def _on_error(self, error: KafkaError) -> None:
        if not self._away:
            self._away = True
            log.warning("kafka_did_not_answer", error=error.str(), retried=True)
