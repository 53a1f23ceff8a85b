"""Bytes on their way to and from Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Lane(StrEnum):
    """The way by which an event reached Kafka; travels as header `tradeloop_lane`."""

    FAST = "fast"
    SWEEP = "sweep"
    OUTBOX = "outbox"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What is to be published."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the broker put a record."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Received:
    """A record as it was read."""

    topic: str
    topic_id: UUID
    """Kafka's id of the topic: a topic deleted and made again is another one."""
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    appended_at_ms: int = 0

    def header(self, name: str) -> str:
        """The header's text; empty when it is absent or no UTF-8."""
        for key, value in self.headers:
            if key == name:
                return value.decode("utf-8", "replace")
        return ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be taken in, with its original bytes."""

    source: str
    """kafka, airflow, run or outbox."""
    cause: str
    error_class: str
    raw: bytes
    topic: str = ""
    topic_id: UUID | None = None
    partition: int = -1
    offset: int = -1
    event_id: UUID | None = None
    run_id: UUID | None = None
