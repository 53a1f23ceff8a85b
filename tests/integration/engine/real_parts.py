"""The engine on real PostgreSQL and real Kafka: topics of a test's own, events, workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tradeloop import Workflow, WorkflowEvent
from tradeloop.domain.records import Received
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.producer import KafkaPublisher
from tradeloop.settings import Settings


@dataclass(frozen=True)
class Names:
    """Topics and group that no other test uses."""

    bootstrap: str
    group: str
    events: str
    decisions: str
    dead_letters: str

    def settings(self, database_url: str, **more: Any) -> Settings:
        return Settings(
            _env_file=None,
            database_url=database_url,
            kafka_bootstrap=self.bootstrap,
            group=self.group,
            events_topic=self.events,
            decisions_topic=self.decisions,
            dead_letters_topic=self.dead_letters,
            **more,
        )


def new_names(bootstrap: str) -> Names:
    tail = uuid4().hex[:8]
    return Names(bootstrap, f"group-{tail}", f"events-{tail}", f"decisions-{tail}", f"dead-{tail}")


def make_topic(bootstrap: str, name: str, partitions: int = 3) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})  # a name, or it is gone before the broker has answered
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


def delete_topic(bootstrap: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([name])[name].result(30)


def event(subject: str = "s", event_type: str = "prices.loaded", **data: Any) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": event_type,
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "tests",
            "workflow_id": "load",
            "workflow_run_id": "manual__1",
            "subject": subject,
            "payload": {"data": data},
        }
    )


def workflow(*nodes: Any, event_type: str = "prices.loaded", desk: str = "prices") -> Workflow:
    return Workflow.chain(event_type, *nodes, desk=desk)


@asynccontextmanager
async def publishing(bootstrap: str) -> AsyncIterator[KafkaPublisher]:
    publisher = KafkaPublisher(bootstrap)
    try:
        yield publisher
    finally:
        publisher.close()


async def send(bootstrap: str, topic: str, *events: WorkflowEvent) -> None:
    async with publishing(bootstrap) as publisher:
        await publisher.publish([to_record(one, topic) for one in events])


async def take(source: Any, count: int, limit_s: float = 30) -> list[Received]:
    """The next `count` records of a source."""
    found: list[Received] = []
    async with asyncio.timeout(limit_s):
        while len(found) < count:
            batch = await source.batch()
            source.done(batch)
            found += batch
    return found


async def until(condition: Callable[[], Any], limit_s: float = 30) -> None:
    """Return once the condition, a function or a coroutine function, holds."""
    async with asyncio.timeout(limit_s):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)
