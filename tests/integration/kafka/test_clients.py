"""The public producer and consumer on a real broker, and other people's clients on our records."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tradeloop import WorkflowEvent, WorkflowEventConsumer, WorkflowEventProducer
from tradeloop.errors import EventInvalid
from tradeloop.kafka.workflow_consumer import AckPolicy
from tradeloop.kafka.workflow_producer import ReceiptState

NOWHERE = "127.0.0.1:9"
WITHIN_S = 30.0


def event(subject: str = "SPX", **data: Any) -> WorkflowEvent:
    return WorkflowEvent(
        event_id=uuid4(),
        event_type="prices.loaded",
        timestamp=datetime.now(UTC),
        source="tests",
        workflow_id="load",
        workflow_run_id="run-1",
        subject=subject,
        payload={"data": data},
    )


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    name = f"clients-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])[name].result(30)
    return name


@pytest.fixture
def producer(kafka_bootstrap: str, topic: str, tmp_path: Path) -> Iterator[WorkflowEventProducer]:
    with WorkflowEventProducer(kafka_bootstrap, topic=topic, outbox=tmp_path / "outbox.sqlite3") as opened:
        yield opened


def read(consumer: WorkflowEventConsumer, count: int) -> list[WorkflowEvent]:
    found: list[WorkflowEvent] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None:
            found.append(message.event)
    return found


def test_what_is_published_is_read_equal(kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer) -> None:
    sent = [event(f"s{n}", n=n, price="1.10") for n in range(5)]
    receipts = producer.publish_many(sent, timeout_s=20)
    assert [receipt.state for receipt in receipts] == [ReceiptState.PUBLISHED] * 5
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        assert {e.event_id: e for e in read(consumer, 5)} == {e.event_id: e for e in sent}


def test_without_a_broker_the_caller_waits_no_longer_than_told_and_the_event_is_kept(tmp_path: Path) -> None:
    producer = WorkflowEventProducer(NOWHERE, outbox=tmp_path / "outbox.sqlite3")
    begun = time.monotonic()
    receipt = producer.publish(event(), timeout_s=0.5)
    assert time.monotonic() - begun < 10.0  # not for ever, nor until Kafka's own time-out of 30 s
    assert (receipt.state, producer.waiting()) == (ReceiptState.KEPT, 1)
    assert "0.5 s" in receipt.reason
    producer.close(timeout_s=0.1)


def test_kept_events_go_out_by_the_next_producer_in_order(kafka_bootstrap: str, topic: str, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.sqlite3"
    away = WorkflowEventProducer(NOWHERE, topic=topic, outbox=outbox)
    kept = [event("one", n=n) for n in range(3)]
    assert {r.state for r in away.publish_many(kept, timeout_s=0.2)} == {ReceiptState.KEPT}
    later = event("one", n=3)
    away.close(timeout_s=0.1)
    with WorkflowEventProducer(kafka_bootstrap, topic=topic, outbox=outbox) as producer:
        receipt = producer.publish(later, timeout_s=0.2)
        assert (receipt.state, receipt.reason) == (ReceiptState.KEPT, "an earlier event of the subject is kept")
        assert producer.send_kept(timeout_s=20) == 4
        assert producer.waiting() == 0
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        assert [e.payload.data["n"] for e in read(consumer, 4)] == [0, 1, 2, 3]


def test_a_handled_event_is_not_read_again(kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer) -> None:
    producer.publish_many([event(n=n) for n in range(4)], timeout_s=20)
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        first = read(consumer, 2)
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        rest = read(consumer, 2)
    assert [e.payload.data["n"] for e in first + rest] == [0, 1, 2, 3]


def test_an_event_whose_handling_failed_is_read_again(
    kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer
) -> None:
    producer.publish(event(n=0), timeout_s=20)

    def fail() -> None:
        with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
            for _ in consumer:
                raise RuntimeError("handling failed")

    with pytest.raises(RuntimeError, match="handling failed"):
        fail()
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        assert len(read(consumer, 1)) == 1


def test_with_the_manual_policy_only_done_counts(
    kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer
) -> None:
    producer.publish(event(n=0), timeout_s=20)
    for ends in (False, True):
        with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic], policy=AckPolicy.MANUAL) as consumer:
            deadline = time.monotonic() + WITHIN_S
            message = None
            while message is None and time.monotonic() < deadline:
                message = consumer.poll(0.5)
            assert message is not None
            if ends:
                message.done()
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        assert consumer.poll(3.0) is None


def test_a_poison_record_is_told_and_stepped_over(
    kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer
) -> None:
    from kafka import KafkaProducer

    foreign = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    foreign.send(topic, b"not json", partition=0).get(20)
    foreign.close()
    producer.publish(event(n=1), timeout_s=20)
    told: list[tuple[int, str]] = []

    def note(received: Any, problem: EventInvalid) -> None:
        told.append((received.offset, problem.message))

    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic], on_invalid=note) as consumer:
        assert len(read(consumer, 1)) == 1
        deadline = time.monotonic() + WITHIN_S
        while not told and time.monotonic() < deadline:
            consumer.poll(0.2)
    assert told[0][0] == 0
    assert "not JSON" in told[0][1]


def test_a_missing_broker_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "tradeloop.kafka.workflow_consumer"),
        WorkflowEventConsumer(NOWHERE, group="g", topics=["t"]) as consumer,
    ):
        for _ in range(8):
            assert consumer.poll(0.3) is None
    ours = [record for record in caplog.records if record.name == "tradeloop.kafka.workflow_consumer"]
    assert [record.message.partition(":")[0] for record in ours] == ["kafka_did_not_answer"]


def test_kafka_python_reads_our_records(kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer) -> None:
    from kafka import KafkaConsumer

    sent = event(n=1)
    producer.publish(sent, timeout_s=20)
    reader = KafkaConsumer(
        topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    record = next(iter(reader))
    reader.close()
    assert json.loads(record.value) == json.loads(sent.to_json())
    assert dict(record.headers)["ce_type"] == b"prices.loaded"
    assert record.key == b"SPX"


def test_the_cloudevents_sdk_reads_our_records(
    kafka_bootstrap: str, topic: str, producer: WorkflowEventProducer
) -> None:
    from cloudevents.v1.kafka import KafkaMessage, from_binary
    from kafka import KafkaConsumer

    sent = event(n=1)
    producer.publish(sent, timeout_s=20)
    reader = KafkaConsumer(
        topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    record = next(iter(reader))
    reader.close()
    read_back = from_binary(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value))
    assert (read_back["id"], read_back["type"], read_back["subject"]) == (str(sent.event_id), "prices.loaded", "SPX")
    assert read_back.data["payload"]["data"] == {"n": 1}


def test_the_seeds_own_json_by_kafka_python_is_read(kafka_bootstrap: str, topic: str) -> None:
    from kafka import KafkaProducer

    seed = {
        "event_id": str(uuid4()),
        "event_type": "workflow.completed",
        "timestamp": "2025-01-27T12:00:00",
        "source": "airflow",
        "workflow_id": "example_etl_dag",
        "workflow_run_id": "manual__2025-01-27",
        "payload": {"data": {"rows": 3}},
        "metadata": {"environment": "dev", "version": "1.0"},
    }
    foreign = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    foreign.send(topic, json.dumps(seed).encode()).get(20)
    foreign.close()
    with WorkflowEventConsumer(kafka_bootstrap, group=topic, topics=[topic]) as consumer:
        (found,) = read(consumer, 1)
    assert (found.timestamp, found.metadata.naive_timestamp) == (datetime(2025, 1, 27, 12, tzinfo=UTC), True)
    assert found.subject == "example_etl_dag/manual__2025-01-27"
