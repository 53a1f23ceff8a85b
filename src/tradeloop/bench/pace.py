"""`tradeloop bench latency`: one event's way at 20 a second, beside the floor that broker and disk set."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any, Final  # Any: confluent_kafka is untyped
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from tradeloop.bench.engine_stage import Decided, EngineStage
from tradeloop.bench.engine_workflow import measured_event
from tradeloop.bench.figures import percentile, spread
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say
from tradeloop.errors import PartFailed
from tradeloop.kafka.administration import make_topic
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import to_record

PER_S: Final = 20
P50_MS: Final = 20.0
P99_MS: Final = 60.0
TIMES_FLOOR: Final = 4.0
WARM_UP: Final = 60
FLOOR_TOPIC: Final = "bench-floor"


def measure(home: Path, *, events: int) -> Leg:
    """Events at a steady pace; the time from the call that publishes to the decision in a consumer's hands."""
    leg = Leg("latency", f"Event on Kafka to decision on Kafka at {PER_S} events/s")
    with EngineStage(home, concurrency=32) as stage, stage.running():
        paced(stage, WARM_UP)
        floor = floor_ms(stage, events // 4)
        say(f"latency: {events} events at {PER_S} a second")
        taken = paced(stage, events)
        floor += floor_ms(stage, events // 4)
    leg.add("floor: one Kafka round trip and two durable commits", spread(floor, "ms"))
    leg.add("tradeloop, everything durable", spread(taken, "ms"))
    p50, p99, low = percentile(taken, 0.5), percentile(taken, 0.99), median(floor)
    leg.add("ratio", {"p50_of_floor": round(p50 / low, 2)})
    leg.aim(f"p50 {p50:.1f} ms; target {P50_MS:g}", met=p50 <= P50_MS)
    leg.aim(f"p99 {p99:.1f} ms; target {P99_MS:g}", met=p99 <= P99_MS)
    leg.aim(f"{p50 / low:.1f} x the floor; aim {TIMES_FLOOR:g}", met=p50 <= TIMES_FLOOR * low)
    leg.notes.append("One clock: publishing and consuming are done by the same process.")
    return leg


def paced(stage: EngineStage, count: int) -> list[float]:
    """Milliseconds of each of `count` events, published one by one at the pace."""
    began: dict[str, float] = {}
    taken: list[float] = []
    decided = Decided(stage)
    producer: Any = Producer(client_configuration(stage.settings.kafka_bootstrap, acks="all", linger_ms=0))

    def note(message: Any) -> None:
        found = began.pop(json.loads(message.value())["causation_id"], None)
        if found is not None:
            taken.append(1000 * (time.perf_counter() - found))

    start = time.perf_counter()
    try:
        for number in range(count):
            event = measured_event(number)
            record = to_record(event, stage.settings.events_topic)
            began[str(event.event_id)] = time.perf_counter()
            producer.produce(record.topic, record.value, record.key, headers=list(record.headers))
            producer.poll(0)
            while time.perf_counter() - start < (number + 1) / PER_S:
                decided.wait(1, max(0.0, (number + 1) / PER_S - (time.perf_counter() - start)), note)
        decided.wait(len(began), 10, note)
    finally:
        decided.close()
        producer.flush(10)
    if began:
        raise PartFailed(f"{len(began)} of {count} decisions did not come within 10 s.")
    return taken


def floor_ms(stage: EngineStage, count: int) -> list[float]:
    """Milliseconds of one acknowledged publication that is read again, and two commits one after the other."""
    settings = stage.settings
    make_topic(settings.kafka_bootstrap, FLOOR_TOPIC)
    producer: Any = Producer(client_configuration(settings.kafka_bootstrap, acks="all", linger_ms=0))
    reader: Any = Consumer(
        client_configuration(
            settings.kafka_bootstrap, group_id=f"bench-{uuid4().hex[:8]}", enable_auto_commit=False, fetch_wait_max_ms=5
        )
    )
    place = TopicPartition(FLOOR_TOPIC, 0)
    place.offset = reader.get_watermark_offsets(place)[1]
    reader.assign([place])
    value, taken = b"x" * 600, []
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_floor (n integer)")
        for _ in range(count):
            began = time.perf_counter()
            producer.produce(FLOOR_TOPIC, value)
            producer.flush(10)
            reader.poll(10)
            connection.execute("INSERT INTO bench_floor VALUES (1)")
            connection.execute("INSERT INTO bench_floor VALUES (2)")
            taken.append(1000 * (time.perf_counter() - began))
    reader.close()
    return taken
