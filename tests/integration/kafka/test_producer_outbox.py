"""The producer while Kafka is away, its outbox is ill, or an event is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tradeloop import WorkflowEvent, WorkflowEventProducer
from tradeloop.domain.records import Lane, Record
from tradeloop.errors import EventInvalid, EventNotJson, EventTooLarge, OutboxUnusable
from tradeloop.kafka import workflow_producer
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.spool import FileSpool
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


class IllSpool(FileSpool):
    """A file whose disk is full while `is_ill`."""

    is_ill = True

    def keep(self, records: Sequence[Record]) -> None:
        self._complain()
        super().keep(records)

    def oldest(self, limit: int) -> list[tuple[int, Record]]:
        self._complain()
        return super().oldest(limit)

    def holds(self, key: bytes) -> bool:
        self._complain()
        return super().holds(key)

    def _complain(self) -> None:
        if self.is_ill:
            raise OutboxUnusable("the outbox cannot be used: disk full", hint="make room")


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@pytest.fixture
def away(outbox: Path) -> Iterator[WorkflowEventProducer]:
    producer = WorkflowEventProducer(NOWHERE, outbox=outbox)
    yield producer
    producer.close(timeout_s=0.1)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"text": "x" * 2_000_000}, EventTooLarge, "at most 1,000,000"),
        ({"close": float("nan")}, EventNotJson, r"payload\.data\.close is nan"),
        ({"rows": [1.0, float("-inf")]}, EventNotJson, r"payload\.data\.rows\.1 is -inf"),
        ({"text": "a\x00b"}, EventNotJson, r"U\+0000"),
        ({"rows": nested(100)}, EventNotJson, "deeper than 64"),
    ],
)
def test_an_event_that_no_consumer_could_read_is_refused_and_stops_its_fellows(
    away: WorkflowEventProducer, data: dict[str, Any], error: type[EventInvalid], message: str
) -> None:
    bad = event(**data)
    with pytest.raises(error, match=message) as caught:
        away.publish_many([event(), bad], timeout_s=0.1)
    assert (caught.value.where, away.waiting()) == (f"event {bad.event_id}", 0)


def test_who_publishes_is_not_held_up_by_what_is_being_sent(away: WorkflowEventProducer) -> None:
    assert away.publish(event("first"), timeout_s=0.1).state is ReceiptState.KEPT
    sender = threading.Thread(target=away.send_kept, kwargs={"timeout_s": 5.0})
    sender.start()
    until(away._order.locked)
    receipt = away.publish(event("second"), timeout_s=0.1)
    assert sender.is_alive()
    assert (receipt.state, receipt.reason) == (ReceiptState.KEPT, "earlier events are on their way")
    sender.join()
    assert away.waiting() == 2


def test_an_outage_is_one_line_in_the_log(away: WorkflowEventProducer, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        away.publish(event(), timeout_s=0.01)
    ours = [line.message for line in caplog.records if line.name == workflow_producer.__name__]
    assert ours == ["kafka_did_not_answer: events are kept in the outbox until it does"]


def test_with_neither_kafka_nor_the_outbox_the_caller_has_its_events_back(outbox: Path) -> None:
    producer = WorkflowEventProducer(NOWHERE, outbox=IllSpool(outbox))
    with pytest.raises(OutboxUnusable, match=r"2 of 2 events are neither on Kafka nor kept: .*disk full") as caught:
        producer.publish_many([event(), event()], timeout_s=0.1)
    assert (caught.value.acknowledged, caught.value.hint) == (frozenset(), "make room")
    producer.close(timeout_s=0.1)


def test_an_ill_outbox_is_told_once_keeps_nothing_from_kafka_and_is_sent_when_it_is_well(
    kafka_bootstrap: str, outbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workflow_producer, "RETRY_S", 0.05)
    topic = f"clients-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])[topic].result(30)
    FileSpool(outbox).keep([to_record(event("kept"), topic, Lane.OUTBOX)])
    spool = IllSpool(outbox)
    with (
        caplog.at_level(logging.ERROR, workflow_producer.__name__),
        WorkflowEventProducer(kafka_bootstrap, topic=topic, outbox=spool) as producer,
    ):
        until(lambda: bool(caplog.records))
        assert producer.publish(event("straight"), timeout_s=WITHIN_S).state is ReceiptState.PUBLISHED
        spool.is_ill = False
        until(lambda: producer.waiting() == 0)
    told = [line.message for line in caplog.records if line.name == workflow_producer.__name__]
    assert told == ["outbox_unusable: the outbox cannot be used: disk full; trying again"]


def test_an_outbox_that_falls_ill_at_the_end_is_told_and_closed(outbox: Path, caplog: pytest.LogCaptureFixture) -> None:
    producer = WorkflowEventProducer(NOWHERE, outbox=IllSpool(outbox))
    producer.close(timeout_s=0.1)
    assert [line.message for line in caplog.records if line.name == workflow_producer.__name__] == [
        "outbox_unusable: the outbox cannot be used: disk full"
    ]
