"""Publishing with the broker's word for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Final  # Any: confluent_kafka is untyped

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from tradeloop.domain.records import Delivery, Record
from tradeloop.errors import PublishFailed
from tradeloop.kafka.client import client_configuration

log = structlog.get_logger()
POLL_S: Final = 0.05


class KafkaPublisher:
    """ports.Publisher on Kafka: idempotent, acks=all, nothing expires locally.

    An infinite delivery time-out is deliberate: a record that expired locally behind a later success would break
    the order per key. `publish` therefore waits as long as the broker is away, or until `close`.
    """

    def __init__(self, bootstrap: str) -> None:
        self._configuration = client_configuration(
            bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,  # a batch is handed over at once, so it goes together all the same
            # How long a topic may be missing before its records are refused: they hold up all others meanwhile.
            topic_metadata_propagation_max_ms=3000,
            message_timeout_ms=0,
            message_max_bytes=1_048_588,
            error_cb=self._on_error,
        )
        self._producer: Any = Producer(self._configuration)
        self._closing = threading.Event()
        self._away = False

    async def publish(self, records: Sequence[Record]) -> list[Delivery]:
        """Return once the broker has acknowledged every record; order per key is kept.

        Raises:
            PublishFailed: the broker refused a record, or `close` came first.
        """
        return await asyncio.to_thread(self._publish, list(records)) if records else []

    def close(self) -> None:
        """End waiting calls with PublishFailed; what was not acknowledged may or may not be on the log."""
        self._closing.set()

    def _publish(self, records: list[Record]) -> list[Delivery]:
        answers: dict[int, Delivery | KafkaError] = {}
        producer = self._producer

        def note(index: int, error: KafkaError | None, message: Any) -> None:
            answers[index] = error or Delivery(message.partition(), message.offset())

        for index, record in enumerate(records):
            while True:
                try:
                    producer.produce(
                        record.topic,
                        value=record.value,
                        key=record.key,
                        headers=list(record.headers),
                        on_delivery=lambda error, message, index=index: note(index, error, message),
                    )
                    break
                except BufferError:
                    self._wait(producer)
                except KafkaException as problem:  # refused at once: too large, or the producer is done for
                    answers[index] = problem.args[0]
                    break
        while len(answers) < len(records):
            self._wait(producer)
        self._away = False
        errors = [answer for answer in answers.values() if isinstance(answer, KafkaError)]
        if errors:
            if any(error.fatal() for error in errors):
                self._producer = Producer(self._configuration)
            raise PublishFailed(
                f"Kafka refused {len(errors)} of {len(records)} records: {errors[0].str()}",
                acknowledged=frozenset(i for i, answer in answers.items() if isinstance(answer, Delivery)),
            )
        return [answer for _, answer in sorted(answers.items()) if isinstance(answer, Delivery)]

    def _wait(self, producer: Any) -> None:
        if self._closing.is_set():
            producer.purge()
            raise PublishFailed("closed before the broker had acknowledged")
        producer.poll(POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        if not self._away:  # one clear line, not one a reconnect
            self._away = True
            log.warning("kafka_did_not_answer", error=error.str(), retried=True)
