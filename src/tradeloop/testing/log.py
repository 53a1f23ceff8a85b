"""Kafka's log in memory: publishing, and reading in batches."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Sequence
from uuid import NAMESPACE_DNS, UUID, uuid5

from tradeloop.domain.records import Delivery, Received, Record
from tradeloop.errors import PublishFailed

PARTITIONS = 6


class MemoryLog:
    """ports.Publisher, and a Source for workers; partitions by key, order kept."""

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, int], list[Received]] = defaultdict(list)
        self._appended = asyncio.Event()
        self.is_away = False
        """Set to True to refuse publications, as a broker that does not answer in time."""

    async def publish(self, records: Sequence[Record]) -> list[Delivery]:
        """Append the records.

        Raises:
            PublishFailed: while `is_away`.
        """
        if self.is_away:
            raise PublishFailed("the log is away")
        return [self._append(record) for record in records]

    def records(self, topic: str) -> list[Received]:
        """All records of a topic, by partition and offset."""
        return [r for (name, _), found in sorted(self._partitions.items()) if name == topic for r in found]

    def reader(self, topic: str) -> MemorySource:
        """Batches of the topic from its beginning."""
        return MemorySource(self, topic)

    async def wait(self) -> None:
        """Wait until something is appended."""
        await self._appended.wait()
        self._appended.clear()

    def _append(self, record: Record) -> Delivery:
        partition = zlib.crc32(record.key) % PARTITIONS
        log = self._partitions[record.topic, partition]
        log.append(
            Received(
                topic=record.topic,
                topic_id=topic_id_of(record.topic),
                partition=partition,
                offset=len(log),
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        )
        self._appended.set()
        return Delivery(partition, len(log) - 1)


class MemorySource:
    """engine.worker.Source over a MemoryLog."""

    def __init__(self, log: MemoryLog, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._handed: set[tuple[int, int]] = set()
        self.accepted = 0
        """Records that were made durable."""

    async def batch(self) -> list[Received]:
        """The next records; waits until there are some."""
        while True:
            seen = self._log.records(self._topic)
            fresh = [r for r in seen if (r.partition, r.offset) not in self._handed]
            if fresh:
                self._handed |= {(r.partition, r.offset) for r in fresh}
                return fresh
            await self._log.wait()

    def done(self, batch: Sequence[Received]) -> None:
        """The batch is durable."""
        self.accepted += len(batch)


def topic_id_of(topic: str) -> UUID:
    """The id of a topic in memory."""
    return uuid5(NAMESPACE_DNS, topic)
