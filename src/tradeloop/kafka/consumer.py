"""Reading: a poll thread that never waits for anybody, and batches handed over to asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import wait
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
QUEUED_BYTES: Final = 32_000_000
"""Beside what librdkafka holds (64 MB): events of a megabyte each would fill the memory by count alone."""
PAUSE_AFTER_S: Final = 2.0
"""A pause throws away what was fetched ahead and costs up to 1 s at its end [M]: not for a queue that is full for a
moment. Larger answers rebalances later."""
RESUMED_BATCHES: Final = 3
"""Far below the other, so that the next pause does not come at once."""
ROOM_NOTICED_S: Final = 0.01
POLL_S: Final = 0.1
STOP_NOTICED_S: Final = 0.2


class _Count:
    """Batches, and the bytes in them."""

    def __init__(self) -> None:
        self.batches = self.size_bytes = 0

    def add(self, batch: Sequence[Received]) -> None:
        self.batches += 1
        self.size_bytes += sum(len(received.value) for received in batch)


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
        self._ready: asyncio.Queue[list[Received] | Exception] = asyncio.Queue()
        # Two counts, each with one writer: a single one would be changed by two threads.
        self._handed = _Count()
        self._taken = _Count()
        self._stored: deque[list[TopicPartition]] = deque()
        self._ids: dict[str, UUID] = {}
        self._paused = False
        self._full_since: float | None = None
        self._stop = threading.Event()
        self._away = False
        self.assigned: set[int] = set()
        self._halted: set[int] = set()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="kafka-poll", daemon=True)
        self._thread.start()

    async def batch(self) -> list[Received]:
        """The next records, in the order of each partition; waits until there are some.

        Raises:
            Exception: what ended the poll thread; nothing comes after it.
        """
        found = await self._ready.get()
        if isinstance(found, Exception):
            raise found
        return found

    def done(self, batch: Sequence[Received]) -> None:
        """The batch is durable: Kafka's hint of our position may move."""
        ends: dict[tuple[str, int], int] = {}
        for received in batch:
            ends[received.topic, received.partition] = received.offset + 1
        self._stored.append([TopicPartition(topic, part, offset) for (topic, part), offset in ends.items()])
        self._taken.add(batch)

    async def close(self) -> None:
        """Stop polling and leave the group."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)

    def _poll_until_stopped(self) -> None:
        try:
            self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
            while not self._stop.is_set():
                self._poll_once()
        except Exception as problem:
            # A thread's exception is nobody's: without this the worker would wait for ever, and look healthy.
            log.exception("kafka_poll_ended")
            self._loop.call_soon_threadsafe(self._ready.put_nowait, problem)
        finally:
            self._store_offsets(wait=True)
            self._consumer.close()

    def _poll_once(self) -> None:
        try:
            self._store_offsets(wait=False)
            if not self._has_room():
                self._stop.wait(ROOM_NOTICED_S)
                return
            # `consume` alone would wait out its time for a full batch, and every event with it.
            first = self._consumer.poll(POLL_S)
            messages = [] if first is None else [first, *self._consumer.consume(BATCH - 1, 0)]
        except KafkaException as problem:
            if problem.args[0].fatal():
                raise
            log.warning("kafka_poll_failed", error=str(problem))
            self._stop.wait(1)
            return
        batch = [self._received(message) for message in messages if self._is_record(message)]
        if batch:
            self._away = False
            self._handed.add(batch)
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

    def _has_room(self) -> bool:
        """Whether to poll: not while the queue is full, but for rebalances when that lasts, with reading paused."""
        waiting = self._handed.batches - self._taken.batches
        if waiting < QUEUED_BATCHES and self._handed.size_bytes - self._taken.size_bytes < QUEUED_BYTES:
            self._full_since = None
            if self._paused and waiting <= RESUMED_BATCHES:
                self._pause(paused=False)
            return True
        if self._full_since is None:
            self._full_since = time.monotonic()
        if not self._paused and time.monotonic() - self._full_since > PAUSE_AFTER_S:
            self._pause(paused=True)
        return self._paused

    def _pause(self, *, paused: bool) -> None:
        partitions = [place for place in self._consumer.assignment() if place.partition not in self._halted]
        (self._consumer.pause if paused else self._consumer.resume)(partitions)
        self._paused = paused

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
        name, numbers = partitions[0].topic, [partition.partition for partition in partitions]
        starts = self._starts(consumer, name, numbers)
        if starts is None:  # stopped meanwhile: nothing will be read
            return
        consumer.incremental_assign(starts)
        self.assigned |= set(numbers)
        held = starts if self._paused else [start for start in starts if start.partition in self._halted]
        if held:
            consumer.pause(held)
        log.info("partitions_assigned", topic=name, partitions=sorted(numbers))

    def _starts(self, consumer: Any, name: str, partitions: list[int]) -> list[TopicPartition] | None:
        # Whatever fails here is tried again: after an exception the client would begin at the group's own offsets.
        while not self._stop.is_set():
            try:
                known = self._ids[name] = topic_id(self._admin, name)
                positions = self._ask([(known, partition) for partition in partitions])
                return [
                    TopicPartition(name, part, self._start(consumer, name, part, positions.get((known, part), 0)))
                    for part in partitions
                ]
            except Exception as problem:  # noqa: BLE001 - without its position no partition may be read
                log.warning("positions_unknown", error=str(problem), retried=True)
                self._stop.wait(1)
        return None

    def _ask(self, places: list[tuple[UUID, int]]) -> Mapping[tuple[UUID, int], int]:
        async def ask() -> Mapping[tuple[UUID, int], int]:
            return await self._positions(places)

        future = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        while not self._stop.is_set():
            done, _ = wait([future], STOP_NOTICED_S)
            if done:
                return future.result()
        future.cancel()
        raise RuntimeError("stopped before the positions were known")

    def _start(self, consumer: Any, name: str, partition: int, wanted: int) -> int:
        low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
        if wanted > high:
            # What is appended from here on has offsets that were taken in before: it would be dropped as known.
            log.error("log_truncated", topic=name, partition=partition, position=wanted, high=high, halted=True)
            self._halted.add(partition)
            return int(high)
        self._halted.discard(partition)
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
