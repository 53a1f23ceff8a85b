"""What stands on the decisions topic, and when it was seen there."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self  # Any: confluent_kafka is untyped
from uuid import UUID

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import CE_ID
from tradeloop.kafka.topics import PARTITIONS

POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of the decisions topic."""

    ce_id: str
    event_id: UUID
    """Of the event that caused it."""
    subject: str
    at: float
    """Monotonic."""


class Watch:
    """Reads the topic from its beginning, on and on."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer: Any = Consumer(
            client_configuration(bootstrap, group_id="chaos-watch", enable_auto_commit=False, fetch_wait_max_ms=20)
        )
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)
        self.seen: list[Seen] = []
        self.first_at: dict[UUID, float] = {}
        """When the first decision on an event was seen."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(10)
        self._consumer.close()

    def next_after(self, moment: float) -> float | None:
        """When the first record after that moment was seen."""
        return next((seen.at for seen in self.seen if seen.at > moment), None)

    def _read(self) -> None:
        while not self._stopped.is_set():
            message = self._consumer.poll(POLL_S)
            if message is None or message.error():
                continue
            ids = dict(message.headers() or ())
            self._note(Seen(ids[CE_ID].decode(), _cause(message.value()), message.key().decode(), time.monotonic()))

    def _note(self, seen: Seen) -> None:
        self.seen.append(seen)
        self.first_at.setdefault(seen.event_id, seen.at)


def _cause(value: bytes) -> UUID:
    return UUID(json.loads(value)["causation_id"])
