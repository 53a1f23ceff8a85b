"""WorkflowEventConsumer: events for programs of your own, with a named policy for what is acknowledged when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self  # Any: confluent_kafka is untyped
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.records import Received
from tradeloop.errors import EventInvalid
from tradeloop.kafka.client import client_configuration

log = logging.getLogger(__name__)

NO_TOPIC_ID: Final = UUID(int=0)
"""A consumer outside the engine keeps no positions of its own, so it never asks for the topic's id."""


class AckPolicy(StrEnum):
    """When an event counts as done, so that it is not read again after a restart."""

    BEFORE_HANDLING = "before_handling"
    """At most once: a crash while handling loses the event."""
    AFTER_HANDLING = "after_handling"
    """At least once: done when the next event is asked for. The default."""
    MANUAL = "manual"
    """Done when `message.done()` says so."""


@dataclass(frozen=True)
class Message:
    """An event and where it was read."""

    event: WorkflowEvent
    received: Received
    _consumer: WorkflowEventConsumer

    def done(self) -> None:
        """Acknowledge this event and all before it on its partition (policy MANUAL)."""
        self._consumer.acknowledge(self.received)


OnInvalid = Callable[[Received, EventInvalid], None]


def log_invalid(received: Received, problem: EventInvalid) -> None:
    """The default for records that are no event: one line with place and cause; the partition goes on."""
    place = f"{received.topic}[{received.partition}]@{received.offset}"
    log.warning("event_invalid: %s: %s", place, problem.message)


class WorkflowEventConsumer:
    """Reads events as a member of a consumer group.

    A record that is no event is given to `on_invalid` and stepped over: a poison record must not stop a partition.

    Example:
        with WorkflowEventConsumer("localhost:9092", group="reports", topics=["workflow-decisions"]) as consumer:
            for message in consumer:
                print(message.event.subject, message.event.payload.data["decision"])
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        topics: Sequence[str] = ("workflow-events",),
        policy: AckPolicy = AckPolicy.AFTER_HANDLING,
        on_invalid: OnInvalid = log_invalid,
        from_beginning: bool = True,
    ) -> None:
        self._policy = policy
        self._on_invalid = on_invalid
        self._open: Received | None = None
        self._is_away = False
        self._consumer: Any = Consumer(
            client_configuration(
                bootstrap,
                group_id=group,
                group_protocol="consumer",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                auto_offset_reset="earliest" if from_beginning else "latest",
                fetch_wait_max_ms=50,
                error_cb=self._on_error,
            )
        )
        self._consumer.subscribe(list(topics))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(handled=kind is None)

    def __iter__(self) -> Iterator[Message]:
        """Events for ever; while Kafka is away it waits, and says so once in the log."""
        while True:
            message = self.poll(1.0)
            if message is not None:
                yield message

    def poll(self, timeout_s: float) -> Message | None:
        """The next event, or None when none came in time. Acknowledges the one before, as the policy says."""
        self._acknowledge_open()
        raw = self._consumer.poll(timeout_s)
        if raw is None or raw.error():
            return None
        self._is_away = False
        received = _received(raw)
        try:
            event = WorkflowEvent.from_json(received.value)
        except EventInvalid as problem:
            self._on_invalid(received, problem)
            self.acknowledge(received)
            return None
        if self._policy is AckPolicy.BEFORE_HANDLING:
            self.acknowledge(received)
        elif self._policy is AckPolicy.AFTER_HANDLING:
            self._open = received
        return Message(event, received, self)

    def acknowledge(self, received: Received) -> None:
        """Commit the position behind this record; a partition that moved on belongs to its new owner."""
        place = TopicPartition(received.topic, received.partition, received.offset + 1)
        try:
            self._consumer.store_offsets(offsets=[place])
            self._consumer.commit(asynchronous=self._policy is not AckPolicy.BEFORE_HANDLING)
        except KafkaException as problem:
            log.info("offset_not_committed: %s: the event may be read again", problem)

    def close(self, *, handled: bool = True) -> None:
        """Leave the group; `handled` says whether the last event was dealt with."""
        if handled:
            self._acknowledge_open()
            try:
                self._consumer.commit(asynchronous=False)
            except KafkaException:  # nothing new to commit, or nobody to commit to
                log.debug("no offset was committed at the end")
        self._consumer.close()

    def _acknowledge_open(self) -> None:
        if self._open is not None:
            self.acknowledge(self._open)
            self._open = None

    def _on_error(self, error: KafkaError) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("kafka_did_not_answer: %s; trying again", error.str())


def _received(raw: Any) -> Received:
    return Received(
        topic=raw.topic(),
        topic_id=NO_TOPIC_ID,
        partition=raw.partition(),
        offset=raw.offset(),
        key=raw.key(),
        value=raw.value() or b"",
        headers=tuple((name, value or b"") for name, value in raw.headers() or ()),
        appended_at_ms=raw.timestamp()[1],
    )
