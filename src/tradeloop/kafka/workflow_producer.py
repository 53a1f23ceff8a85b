"""WorkflowEventProducer: events from programs outside Airflow, none of them lost while Kafka is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self  # Any: confluent_kafka is untyped
from uuid import UUID

from confluent_kafka import KafkaError, Producer

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.records import Delivery, Lane, Record
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.spool import FileSpool, Spool

log = logging.getLogger(__name__)

POLL_S: Final = 0.01
RETRY_S: Final = 2.0
"""How often kept events are tried again; oftener only burdens a broker that is coming back."""
RETRY_BATCH: Final = 500
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
        """Publish one event; returns within `timeout_s`, with Kafka's word for it or with the event kept."""
        return self.publish_many([event], timeout_s=timeout_s)[0]

    def publish_many(self, events: Sequence[WorkflowEvent], *, timeout_s: float = 5.0) -> list[Receipt]:
        """Publish events together, in order; one answer each."""
        deadline = time.monotonic() + timeout_s
        records = [to_record(event, self._topic, Lane.OUTBOX) for event in events]
        answers: dict[int, Delivery | str] = {}
        with self._order:
            for index, record in enumerate(records):
                self._offer(index, record, answers)
            while len(answers) < len(records) and time.monotonic() < deadline:
                self._producer.poll(min(POLL_S, max(0.0, deadline - time.monotonic())))
            silent = f"Kafka did not acknowledge within {timeout_s:g} s"
            settled = [answers.get(index, silent) for index in range(len(records))]
            kept = [record for record, answer in zip(records, settled, strict=True) if isinstance(answer, str)]
            if kept:
                self._spool.keep(kept)
                log.warning("kafka_did_not_answer: %d events are kept in the outbox", len(kept))
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
        """Publish what the outbox keeps, oldest first; returns how many went out."""
        deadline = time.monotonic() + timeout_s
        sent = 0
        while time.monotonic() < deadline:
            with self._order:
                rows = self._spool.oldest(RETRY_BATCH)
                if not rows:
                    break
                answers: dict[int, Delivery | str] = {}
                for index, (_, record) in enumerate(rows):
                    self._produce(index, record, answers)
                while len(answers) < len(rows) and time.monotonic() < deadline:
                    self._producer.poll(POLL_S)
                done = [number for i, (number, _) in enumerate(rows) if isinstance(answers.get(i), Delivery)]
                self._spool.remove(done)
                sent += len(done)
                if len(done) < len(rows):
                    break
        return sent

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Try once more what is kept, then let go; what Kafka did not take stays in the outbox."""
        self._stopped.set()
        self._sender.join(timeout_s)
        if self._spool.count():
            self.send_kept(timeout_s=timeout_s)
        self._producer.flush(0)
        if isinstance(self._spool, FileSpool):
            self._spool.close()

    def _offer(self, index: int, record: Record, answers: dict[int, Delivery | str]) -> None:
        if self._spool.count() and self._spool.holds(record.key):
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

    def _send_kept_until_stopped(self) -> None:
        while not self._stopped.wait(RETRY_S):
            if self._spool.count() and self._broker_answers():
                self.send_kept(timeout_s=RETRY_S)

    def _broker_answers(self) -> bool:
        try:
            self._producer.list_topics(self._topic, timeout=1.0)
        except Exception:  # noqa: BLE001 - any failure means: not now
            return False
        return True
