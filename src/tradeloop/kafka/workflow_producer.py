"""WorkflowEventProducer: events from programs outside Airflow, none of them lost while Kafka is away."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self  # Any: confluent_kafka is untyped
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, Producer

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.records import Delivery, Lane, Record
from tradeloop.errors import EventInvalid, EventNotJson, OutboxUnusable
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.spool import FileSpool, Spool

log = logging.getLogger(__name__)

POLL_S: Final = 0.01
RETRY_S: Final = 2.0
"""How often kept events are tried again; oftener only burdens a broker that is coming back."""
RETRY_BATCH: Final = 500
YIELD_S: Final = 0.005
"""Between two batches of kept events, so that whoever waits to publish gets a turn."""
DEFAULT_SPOOL: Final = Path(".tradeloop/outbox.sqlite3")


class ReceiptState(StrEnum):
    """What became of an event that was handed over. Both are safe: it will be on Kafka."""

    PUBLISHED = "published"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one `publish`."""

    event_id: UUID
    state: ReceiptState
    delivery: Delivery | None = None
    reason: str = ""
    """Why the event is kept."""


class WorkflowEventProducer:
    """Publishes events; while Kafka does not answer it keeps them in an outbox, and says so.

    An event that is kept is published by this producer as soon as Kafka answers, by the next one that opens the same
    outbox, or by `tradeloop events publish`. Events of one subject keep their order. A double is possible after a
    time-out, and harmless: consumers drop it by the event's id.

    Example:
        with WorkflowEventProducer("localhost:9092") as producer:
            receipt = producer.publish(event, timeout_s=2.0)
            print(receipt.state)  # published, or kept
    """

    def __init__(self, bootstrap: str, *, topic: str = "workflow-events", outbox: Spool | Path = DEFAULT_SPOOL) -> None:
        self._topic = topic
        self._spool: Spool = FileSpool(outbox) if isinstance(outbox, Path) else outbox
        self._producer: Any = Producer(
            client_configuration(
                bootstrap, acks="all", enable_idempotence=True, linger_ms=1, message_timeout_ms=30_000,
                message_max_bytes=1_048_588,
            )
        )  # fmt: skip
        self._order = threading.Lock()
        self._is_away = False
        self._stopped = threading.Event()
        self._sender = threading.Thread(target=self._send_kept_until_stopped, name="tradeloop-outbox", daemon=True)
        self._sender.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def publish(self, event: WorkflowEvent, *, timeout_s: float = 5.0) -> Receipt:
        """Publish one event; returns within `timeout_s`, with Kafka's word for it or with the event kept.

        Writing to the outbox comes on top: some milliseconds, and at most a second while another process writes.

        Raises:
            EventInvalid: no consumer could read it: too large, too deep, NaN. Nothing was published or kept.
            OutboxUnusable: Kafka does not answer and the event could not be kept; it is the caller's again.
        """
        return self.publish_many([event], timeout_s=timeout_s)[0]

    def publish_many(self, events: Sequence[WorkflowEvent], *, timeout_s: float = 5.0) -> list[Receipt]:
        """Publish events together, in order; one answer each. Raises what `publish` does; an invalid one stops all."""
        deadline = time.monotonic() + timeout_s
        records = [_record(event, self._topic) for event in events]
        if self._order.acquire(timeout=max(0.0, timeout_s)):
            try:
                settled = self._settle(records, deadline, f"Kafka did not acknowledge within {timeout_s:g} s")
                self._keep(records, settled)
            finally:
                self._order.release()
        else:
            settled = ["earlier events are on their way"] * len(records)
            self._keep(records, settled)
        return [
            Receipt(event.event_id, ReceiptState.KEPT, reason=answer)
            if isinstance(answer, str)
            else Receipt(event.event_id, ReceiptState.PUBLISHED, answer)
            for event, answer in zip(events, settled, strict=True)
        ]

    def waiting(self) -> int:
        """How many events the outbox keeps."""
        return self._spool.count()

    def send_kept(self, *, timeout_s: float = 30.0) -> int:
        """Publish what the outbox keeps, oldest first; returns how many went out.

        Raises:
            OutboxUnusable: it can be neither read nor written.
        """
        deadline = time.monotonic() + timeout_s
        sent = 0
        while (left_s := deadline - time.monotonic()) > 0 and self._order.acquire(timeout=left_s):
            try:
                rows, done = self._send_oldest(deadline)
            finally:
                self._order.release()
            sent += done
            if done < rows or not rows:
                break
            time.sleep(YIELD_S)
        return sent

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Try once more what is kept, then let go; what Kafka did not take stays in the outbox."""
        deadline = time.monotonic() + timeout_s
        self._stopped.set()
        self._sender.join(timeout_s)
        try:
            if self._spool.oldest(1):
                self.send_kept(timeout_s=deadline - time.monotonic())
        except OutboxUnusable as problem:
            log.error("outbox_unusable: %s", problem.message)
        self._producer.flush(0)
        if isinstance(self._spool, FileSpool):
            self._spool.close()

    def _settle(self, records: Sequence[Record], deadline: float, silence: str) -> list[Delivery | str]:
        """Where Kafka put each record, or why it did not."""
        answers: dict[int, Delivery | str] = {}
        for index, record in enumerate(records):
            self._offer(index, record, answers)
        while len(answers) < len(records) and (left_s := deadline - time.monotonic()) > 0:
            self._producer.poll(min(POLL_S, left_s))
        return [answers.get(index, silence) for index in range(len(records))]

    def _keep(self, records: Sequence[Record], settled: Sequence[Delivery | str]) -> None:
        kept = [record for record, answer in zip(records, settled, strict=True) if isinstance(answer, str)]
        acknowledged = frozenset(index for index, answer in enumerate(settled) if isinstance(answer, Delivery))
        self._is_away = self._is_away and not acknowledged
        if not kept:
            return
        try:
            self._spool.keep(kept)
        except OutboxUnusable as problem:
            raise OutboxUnusable(
                f"{len(kept)} of {len(records)} events are neither on Kafka nor kept: {problem.message}",
                acknowledged=acknowledged,
                hint=problem.hint,
            ) from problem
        if not self._is_away:  # one clear line, not one an event: each receipt says it, too
            self._is_away = True
            log.warning("kafka_did_not_answer: events are kept in the outbox until it does")

    def _send_oldest(self, deadline: float) -> tuple[int, int]:
        """How many rows were tried, and how many of them went out."""
        rows = self._spool.oldest(RETRY_BATCH)
        answers: dict[int, Delivery | str] = {}
        for index, (_, record) in enumerate(rows):
            self._produce(index, record, answers)
        while len(answers) < len(rows) and time.monotonic() < deadline:
            self._producer.poll(POLL_S)
        done = [number for index, (number, _) in enumerate(rows) if isinstance(answers.get(index), Delivery)]
        if done:
            self._is_away = False
            self._spool.remove(done)
        return len(rows), len(done)

    def _offer(self, index: int, record: Record, answers: dict[int, Delivery | str]) -> None:
        if self._holds(record.key):
            answers[index] = "an earlier event of the subject is kept"
        else:
            self._produce(index, record, answers)

    def _produce(self, index: int, record: Record, answers: dict[int, Delivery | str]) -> None:
        def note(error: KafkaError | None, message: Any) -> None:
            answers[index] = (
                f"Kafka refused: {error.str()}" if error else Delivery(message.partition(), message.offset())
            )

        try:
            self._producer.produce(
                record.topic, value=record.value, key=record.key, headers=list(record.headers), on_delivery=note
            )
        except BufferError:
            answers[index] = "the local queue is full"
        except KafkaException as problem:
            answers[index] = f"Kafka refused: {problem.args[0].str()}"

    def _holds(self, key: bytes) -> bool:
        try:
            return self._spool.holds(key)
        except OutboxUnusable:  # what cannot be read holds nobody up: Kafka may answer
            return False

    def _send_kept_until_stopped(self) -> None:
        told = False
        while not self._stopped.wait(RETRY_S):
            try:
                if self._spool.oldest(1) and self._broker_answers():
                    self.send_kept(timeout_s=RETRY_S)
                told = False
            except OutboxUnusable as problem:
                if not told and not self._stopped.is_set():
                    log.error("outbox_unusable: %s; trying again", problem.message)
                told = True

    def _broker_answers(self) -> bool:
        try:
            self._producer.list_topics(self._topic, timeout=1.0)
        except KafkaException:
            return False
        return True


def _record(event: WorkflowEvent, topic: str) -> Record:
    """The event as a record that every consumer can read."""
    try:
        WorkflowEvent.from_json(event.to_json())
    except EventInvalid as problem:
        problem.where = f"event {event.event_id}"
        raise
    except ValueError as problem:
        named = next(_numbers_that_are_none("", event.model_dump()), str(problem))
        raise EventNotJson(f"no JSON can carry it: {named}", where=f"event {event.event_id}") from problem
    return to_record(event, topic, Lane.OUTBOX)


def _numbers_that_are_none(path: str, value: object) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {value}"
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in pairs:
        yield from _numbers_that_are_none(f"{path}.{step}".removeprefix("."), child)
