"""PostgreSQL, Kafka, relay and workers for the engine's benchmarks, without Airflow, and what they cost."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self  # Any: confluent_kafka is untyped; rows
from uuid import uuid4

import psutil
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from psycopg.rows import dict_row

from tradeloop.bench.stage import settings_for, wait_for
from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.records import Record
from tradeloop.kafka.administration import make_topic
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.producer import KafkaPublisher
from tradeloop.settings import Settings
from tradeloop.stack import Stack
from tradeloop.stack.processes import Child, end_group, python_environment, spawn, wait_until_ended
from tradeloop.stack.services import as_environment

WORKFLOWS: Final = "tradeloop.bench.engine_workflow:workflows"
READY_S: Final = 60.0
ENDS_WITHIN_S: Final = 30.0
PARTITIONS: Final = 6


class EngineStage:
    """The road from Kafka to Kafka on free ports in a scratch home; everything is ended when it is left."""

    def __init__(self, home: Path, **settings: Any) -> None:
        given = {"workflows": [WORKFLOWS], "sweep": False, "log_format": "json", **settings}
        self._stack = Stack(settings_for(home).model_copy(update=given), ["postgres", "kafka"])
        self._children: dict[str, Child] = {}
        self._publisher: KafkaPublisher | None = None

    def __enter__(self) -> Self:
        self._stack.start()
        self._publisher = KafkaPublisher(self.settings.kafka_bootstrap)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end(*self._children)
            if self._publisher is not None:
                self._publisher.close()
        finally:
            self._stack.stop()

    @property
    def settings(self) -> Settings:
        """With the addresses of this stack."""
        return self._stack.settings

    @property
    def stack(self) -> Stack:
        """The servers."""
        return self._stack

    def begin(self, name: str, command: str, **settings: object) -> Child:
        """Start `tradeloop COMMAND` under a name of its own and wait until it says that it has started."""
        variables = as_environment(self.settings.model_copy(update=settings))
        log = self._stack.home.log(name)
        child = spawn(
            [sys.executable, "-m", "tradeloop", command],
            {**python_environment(), **variables},
            log,
            self._stack.home.root,
        )
        self._children[name] = child
        wait_for(lambda: _said(child, f"{command}_started"), READY_S, f"the start of {name}")
        if command == "worker":  # what its desks import for their first events is not the cost of these
            wait_for(lambda: _said(child, "worker_warmed"), READY_S, f"the desks of {name}")
        return child

    @contextmanager
    def running(self, workers: int = 1, **settings: object) -> Iterator[list[str]]:
        """A relay and so many workers, until this is left."""
        names = ["relay", *(f"worker-{number + 1}" for number in range(workers))]
        try:
            for name in names:
                self.begin(name, name.partition("-")[0], **settings)
            yield names
        finally:
            self.end(*names)

    @contextmanager
    def seed_design(self) -> Iterator[str]:
        """The design that the benchmarks compare with, until this is left; the topic that it reads."""
        name = f"seed-{uuid4().hex[:8]}"
        make_topic(self.settings.kafka_bootstrap, name, PARTITIONS)  # its group begins at a topic's first event
        variables = as_environment(self.settings.model_copy(update={"group": name, "events_topic": name}))
        argv = [sys.executable, "-m", "tradeloop.bench.seed_design"]
        log = self._stack.home.log("seed-design")
        child = spawn(argv, {**python_environment(), **variables}, log, self._stack.home.root)
        self._children["seed-design"] = child
        try:
            wait_for(lambda: _said(child, "seed_design_started"), READY_S, "the start of the seed's design")
            yield name
        finally:
            self.end("seed-design")

    def pid(self, name: str) -> int:
        """Of a process that was begun here."""
        return self._children[name].pid

    def end(self, *names: str) -> None:
        """Stop processes as a platform does, workers before the relay."""
        children = [self._children.pop(name) for name in sorted(names, reverse=True) if name in self._children]
        for child in children:
            child.signal(signal.SIGTERM, whole_group=False)
        wait_until_ended(children, ENDS_WITHIN_S)
        for child in children:
            end_group(child, self._stack.home.root)

    def publish(self, events: Iterable[WorkflowEvent]) -> int:
        """Put events on the topic, acknowledged; how many."""
        records = self.records(events)
        self.send(records)
        return len(records)

    def records(self, events: Iterable[WorkflowEvent], topic: str = "") -> list[Record]:
        """The events as they go to the broker, encoded before a clock runs."""
        return [to_record(event, topic or self.settings.events_topic) for event in events]

    def send(self, records: Sequence[Record]) -> None:
        """Put records on the broker; they are acknowledged when this returns."""
        assert self._publisher is not None  # noqa: S101 - __enter__ made it
        asyncio.run(self._publisher.publish(records))

    def rows(self, sql: str, arguments: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of tradeloop's database; none of a statement that returns none."""
        with psycopg.connect(self.settings.database_url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(sql.encode(), arguments)
            return cursor.fetchall() if cursor.description else []

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds that each part has used so far, its children with it."""
        found = {name: _cpu_of(child.pid) for name, child in self._children.items()}
        for name in ("postgres", "kafka"):
            found[name] = _cpu_of(self._stack.part(name).pid)
        return found


class Decided:
    """Reads the decisions topic from now on."""

    def __init__(self, stage: EngineStage, *, fetch_wait_ms: int = 5) -> None:
        settings = stage.settings
        self._consumer: Any = Consumer(
            client_configuration(
                settings.kafka_bootstrap,
                group_id=f"bench-{uuid4().hex[:8]}",
                enable_auto_commit=False,
                fetch_wait_max_ms=fetch_wait_ms,
            )
        )
        topic = settings.decisions_topic
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, part, self._end(topic, part)) for part in partitions])

    def _end(self, topic: str, partition: int) -> int:
        def ask() -> int | None:
            try:
                found = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            except KafkaException:  # a topic that was just made has no leader for a moment
                return None
            return None if found is None else int(found[1])

        return wait_for(ask, READY_S, f"the end of {topic}[{partition}]")

    def wait(self, count: int, within_s: float, each: Callable[[Any], None] | None = None) -> int:
        """Read until `count` records came or the time is over; how many came."""
        seen, deadline = 0, time.monotonic() + within_s
        while seen < count and time.monotonic() < deadline:
            # `consume` alone would wait out its time for a full batch.
            first = self._consumer.poll(0.05 if each is None else 0.002)
            for message in [] if first is None else [first, *self._consumer.consume(500, 0)]:
                if message.error():
                    continue
                seen += 1
                if each is not None:
                    each(message)
        return seen

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _said(child: Child, phrase: str) -> bool | None:
    if child.has_ended():
        raise RuntimeError(f"a process ended at its start; see {child.log}")
    with child.log.open("rb") as log:
        log.seek(child.log_offset)
        return True if phrase.encode() in log.read(1_048_576) else None


def _cpu_of(pid: int) -> float:
    total = 0.0
    try:
        leader = psutil.Process(pid)
        for process in [leader, *leader.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system
        times = leader.cpu_times()
        return total + times.children_user + times.children_system
    except psutil.Error:
        return total
