"""The fast lane's producer against a real broker, and against none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tradeloop.domain.records import Lane, Record
from tradeloop.kafka import fastlane
from tradeloop.kafka.fastlane import FastLane
from tradeloop.kafka.messages import headers
from tradeloop.kafka.reader import TopicReader

NOWHERE = "127.0.0.1:1"
TOPIC = "workflow-events"


def record(event_id: str, size: int = 100) -> Record:
    return Record(
        topic=TOPIC,
        key=b"edge",
        value=b"x" * size,
        headers=headers(
            event_id=event_id,
            event_type="edge.lane",
            source="airflow",
            subject="edge",
            time="2026-01-01T00:00:00.000000Z",
            lane=Lane.FAST,
        ),
    )


def until(is_true: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not become true"
        threading.Event().wait(0.02)


@pytest.fixture
def nowhere() -> Iterator[FastLane]:
    """A lane to a broker that is not there, whose records expire after a second."""
    lane = FastLane(NOWHERE, message_timeout_ms=1000)
    yield lane
    lane.close()


async def test_what_is_offered_is_delivered_and_counted(kafka_bootstrap: str) -> None:
    lane = FastLane(kafka_bootstrap)
    ids = [str(uuid4()) for _ in range(50)]
    lane.offer([record(str(uuid4()))])
    until(lambda: lane.delivered == 1)  # a topic that was just made has no leader for a moment

    async with TopicReader(kafka_bootstrap, TOPIC) as topic:
        lane.offer([record(event_id) for event_id in ids])
        places = [await topic.place(event_id, 20) for event_id in ids]
    lane.close()

    assert None not in places
    assert (lane.offered, lane.delivered, lane.dropped, lane.expired) == (51, 51, 0, 0)


def test_closing_delivers_what_is_queued(kafka_bootstrap: str) -> None:
    lane = FastLane(kafka_bootstrap)
    lane.offer([record(str(uuid4())) for _ in range(100)])

    lane.close()

    assert lane.delivered == 100


def test_offering_never_waits_for_a_broker_that_is_away(nowhere: FastLane) -> None:
    took_ms = []
    for _ in range(200):
        begun = time.perf_counter()
        nowhere.offer([record(str(uuid4()), 12_000)])
        took_ms.append((time.perf_counter() - begun) * 1000)

    assert sorted(took_ms)[100] < 1.0
    assert nowhere.offered == 200


def test_what_expires_is_counted_and_left_to_the_sweep(nowhere: FastLane) -> None:
    nowhere.offer([record(str(uuid4()))])

    until(lambda: nowhere.expired == 1)

    assert nowhere.delivered == 0
    assert "timed out" in str(nowhere.counters()["last_error"])


def test_a_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "QUEUE_MESSAGES", 10)
    lane = FastLane(NOWHERE)

    lane.offer([record(str(uuid4())) for _ in range(15)])
    monkeypatch.setattr(fastlane, "FLUSH_S", 0.0)
    lane.close()

    assert (lane.offered, lane.dropped) == (10, 5)


def test_a_record_that_no_topic_takes_does_not_stop_the_next(nowhere: FastLane) -> None:
    nowhere.offer([record(str(uuid4()), 2_000_000), record(str(uuid4()))])

    assert (nowhere.offered, nowhere.dropped) == (1, 1)


def test_closing_without_a_broker_takes_no_longer_than_it_may() -> None:
    lane = FastLane(NOWHERE)
    lane.offer([record(str(uuid4()))])
    begun = time.monotonic()

    lane.close()
    lane.close()

    assert time.monotonic() - begun < fastlane.FLUSH_S + 8  # not until the message time-out of 30 s


def test_a_process_has_one_lane_and_a_forked_child_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "_lanes", {})
    monkeypatch.setattr(fastlane, "FLUSH_S", 0.0)
    lane = fastlane.lane(NOWHERE)

    assert fastlane.lane(NOWHERE) is lane
    monkeypatch.setattr(os, "getpid", lambda: -1)
    other = fastlane.lane(NOWHERE)
    monkeypatch.undo()

    assert other is not lane
    lane.close()
    other.close()
