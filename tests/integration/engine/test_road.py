"""From Kafka to Kafka in one process: real broker, real database, real checkpoints; and both of them ill on the way."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import ormsgpack
import psycopg
import pytest
from confluent_kafka import Consumer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from real_parts import Names, event, make_topic, new_names, send, until, workflow

from tradeloop import Action, Decision, Workflow, WorkflowEvent
from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.records import Record
from tradeloop.engine import worker as worker_module
from tradeloop.engine.intake import Intake
from tradeloop.engine.relay import Relay
from tradeloop.engine.runner import Runner
from tradeloop.engine.worker import Worker
from tradeloop.engine.workload import WorkerOptions
from tradeloop.errors import DatabaseUnreachable
from tradeloop.kafka.consumer import KafkaSource
from tradeloop.kafka.producer import KafkaPublisher
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.notices import OutboxNotices
from tradeloop.store.outbox import PostgresOutbox
from tradeloop.store.runs import PostgresRuns

if TYPE_CHECKING:
    from tradeloop.stack import Stack

NOTE = Action(kind="note", target="board")


class Board:
    """A target that honours the decision's id, and counts."""

    kind = "note"
    target_class = TargetClass.KEYED

    def __init__(self) -> None:
        self.notes: dict[UUID, int] = defaultdict(int)

    async def execute(self, effect: Effect, _: WorkflowEvent) -> Mapping[str, Any]:
        self.notes[effect.decision_id] += 1
        return {}


@dataclass
class Road:
    """Worker and relay on the servers of the test session."""

    names: Names
    database_url: str
    database: Database
    board: Board = field(default_factory=Board)

    @asynccontextmanager
    async def working(self, *workflows: Workflow) -> AsyncIterator[Worker]:
        known = {one.event_type: one for one in workflows}
        desks = {event_type: one.desk for event_type, one in known.items()}
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(self.database_url))
            inbox = PostgresInbox(database, self.names.dead_letters)
            source = KafkaSource(
                self.names.bootstrap,
                self.names.group,
                self.names.events,
                lambda places: inbox.positions(self.names.group, places),
            )
            stack.push_async_callback(source.close)
            saver = await stack.enter_async_context(CheckpointStore(database))
            runner = Runner(known, saver, PostgresEffects(database), {"note": self.board}, instance="tests")
            options = WorkerOptions(tuple(sorted(set(desks.values()))), self.names.decisions, lease_s=5, drain_s=5)
            runs = PostgresRuns(database, self.names.dead_letters)
            worker = Worker(source, Intake(inbox, self.names.group, desks), runs, runner, options)
            stop = asyncio.Event()
            task = asyncio.create_task(worker.run(stop))
            try:
                yield worker
            finally:
                stop.set()
                await asyncio.wait_for(task, 40)

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[Relay]:
        publisher, stop = KafkaPublisher(self.names.bootstrap), asyncio.Event()
        async with Database(self.database_url, size=3) as database:
            relay = Relay(PostgresOutbox(database), publisher)
            async with OutboxNotices(self.database_url, relay.outbox_wake):
                task = asyncio.create_task(relay.run(stop))
                try:
                    yield relay
                finally:
                    stop.set()
                    publisher.close()
                    await asyncio.wait_for(task, 30)

    async def states(self) -> dict[str, int]:
        rows = await self.database.rows(
            "SELECT state, count(*) AS n FROM (SELECT state FROM runs UNION ALL SELECT state::text FROM work) s "
            "GROUP BY 1"
        )
        return {row["state"]: row["n"] for row in rows}

    async def has_ended(self, count: int) -> bool:
        rows = await self.database.rows("SELECT 1 FROM runs")
        return len(rows) >= count

    async def has_done(self, count: int) -> bool:
        return (await self.states()).get("done", 0) >= count

    def read(self, topic: str, count: int) -> list[Any]:
        """The first `count` records of a topic, doubles dropped as the contract says: by `ce_id`."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.names.bootstrap,
                "group.id": f"look-{topic}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([topic])
        found: dict[Any, Any] = {}
        try:
            while len(found) < count:
                message = consumer.poll(20)
                assert message is not None, f"{len(found)} of {count} records came"
                assert message.error() is None, message.error()
                found.setdefault(dict(message.headers()).get("ce_id", message.offset()), message)
        finally:
            consumer.close()
        return list(found.values())


@pytest.fixture
async def road(kafka_bootstrap: str, database_url: str) -> AsyncIterator[Road]:
    names = new_names(kafka_bootstrap)
    for topic in (names.events, names.decisions, names.dead_letters):
        make_topic(kafka_bootstrap, topic)
    async with Database(database_url, size=2) as database:
        yield Road(names, database_url, database)


def decide(state: Any) -> dict[str, Any]:
    return {"decision": Decision(outcome="ACCEPT", action=NOTE)}


def pause(state: Any) -> dict[str, Any]:
    return {"facts": {"seen": state["event"]["payload"]["data"]}}


async def test_an_event_on_kafka_becomes_a_decision_on_kafka(road: Road) -> None:
    sent = event("SPX/2009-07", rows=22)
    async with road.working(workflow(pause, decide)), road.relaying():
        await send(road.names.bootstrap, road.names.events, sent)
        await until(lambda: road.has_done(1))
        (message,) = await asyncio.to_thread(road.read, road.names.decisions, 1)
    decision = json.loads(message.value())
    assert (message.key(), decision["causation_id"]) == (b"SPX/2009-07", str(sent.event_id))
    assert decision["payload"]["data"]["effect"]["state"] == "executed"
    assert dict(message.headers())["ce_id"].decode() == decision["event_id"]
    assert list(road.board.notes.values()) == [1]
    (row,) = await road.database.rows("SELECT kind, body FROM audit")
    assert (row["kind"], row["body"]["decision"]["outcome"]) == ("run_done", "ACCEPT")


async def test_an_event_as_the_seed_wrote_it_by_kafka_python_is_decided(road: Road) -> None:
    from kafka import KafkaProducer

    fields = ("event_id", "event_type", "source", "workflow_id", "workflow_run_id", "payload")
    seed = {name: value for name, value in event(rows=22).to_dict().items() if name in fields}
    seed |= {"timestamp": "2026-11-23T16:59:21", "metadata": {"environment": "dev", "version": "1.0"}}

    def write() -> None:
        producer = KafkaProducer(bootstrap_servers=road.names.bootstrap)
        producer.send(road.names.events, json.dumps(seed).encode()).get(30)
        producer.close()

    async with road.working(workflow(pause, decide)), road.relaying():
        await asyncio.to_thread(write)
        (message,) = await asyncio.to_thread(road.read, road.names.decisions, 1)
    decision = json.loads(message.value())
    assert (message.key(), decision["causation_id"]) == (b"load/manual__1", seed["event_id"])
    assert list(road.board.notes.values()) == [1]


async def test_bytes_that_are_no_event_reach_the_dead_letters_topic_whole(road: Road) -> None:
    poison = b"\xff\x00 no event " + b"x" * 1_040_000  # as large as the topic takes, and larger than an event may be
    publisher = KafkaPublisher(road.names.bootstrap)
    async with road.working(workflow(decide)), road.relaying():
        await publisher.publish([Record(road.names.events, b"s", poison), Record(road.names.events, b"s", b"[1]")])
        await send(road.names.bootstrap, road.names.events, event("s"))
        await until(lambda: road.has_done(1))
        messages = await asyncio.to_thread(road.read, road.names.dead_letters, 2)
    publisher.close()
    by_cause = {dict(message.headers())["error_class"].decode(): message.value() for message in messages}
    assert by_cause == {"EventTooLarge": poison[:1_000_000], "EventNotJson": b"[1]"}
    rows = await road.database.rows("SELECT error_class, raw FROM dead_letters ORDER BY dl_id")
    assert {row["error_class"]: bytes(row["raw"]) for row in rows} == by_cause


async def test_order_per_subject_holds_from_kafka_to_kafka(road: Road) -> None:
    events = [event(f"s{n % 8}", number=n) for n in range(48)]
    async with road.working(workflow(decide)), road.relaying():
        await send(road.names.bootstrap, road.names.events, *events)
        await until(lambda: road.has_done(48))
        messages = await asyncio.to_thread(road.read, road.names.decisions, 48)
    found: dict[str, list[str]] = defaultdict(list)
    for message in messages:
        found[message.key().decode()].append(json.loads(message.value())["causation_id"])
    assert found == {
        subject: [str(one.event_id) for one in events if one.subject == subject]
        for subject in {e.subject for e in events}
    }


async def test_a_database_that_ends_every_connection_for_a_while_loses_nothing(
    road: Road, servers: dict[str, str]
) -> None:
    name = road.database_url.rpartition("/")[2]

    def end_all() -> None:
        with psycopg.connect(servers["administrator_url"], autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                (name,),
            )

    events = [event(f"s{n}", number=n) for n in range(60)]
    async with road.working(workflow(pause, pause_two, decide)), road.relaying():
        await send(road.names.bootstrap, road.names.events, *events[:30])
        await until(lambda: road.has_done(5))
        deadline = asyncio.get_running_loop().time() + 1.5
        sending = asyncio.create_task(send(road.names.bootstrap, road.names.events, *events[30:]))
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.to_thread(end_all)
            await asyncio.sleep(0.05)
        await sending
        await until(lambda: _quietly(road.has_done(60)), limit_s=45)
        messages = await asyncio.to_thread(road.read, road.names.decisions, 60)
    assert await road.states() == {"done": 60}
    assert {json.loads(message.value())["causation_id"] for message in messages} == {str(e.event_id) for e in events}
    assert len(road.board.notes) == 60


def pause_two(state: Any) -> dict[str, Any]:
    return {"facts": {**state["facts"], "twice": True}}


async def _quietly(asking: Any) -> bool:
    try:
        return bool(await asking)
    except DatabaseUnreachable:
        return False


@pytest.mark.parametrize("part", ["postgres", "kafka"])
async def test_a_server_that_stands_still_for_a_while_loses_nothing(
    road: Road, servers_stack: Stack, part: str
) -> None:
    async with road.working(workflow(pause, decide)), road.relaying():
        await send(road.names.bootstrap, road.names.events, *(event(f"s{n}") for n in range(30)))
        await until(lambda: road.has_done(3))
        servers_stack.signal(part, signal.SIGSTOP)
        try:
            await asyncio.sleep(2)  # longer than every pause of the engine, shorter than the lease
        finally:
            servers_stack.signal(part, signal.SIGCONT)
        await send(road.names.bootstrap, road.names.events, *(event(f"t{n}") for n in range(20)))
        await until(lambda: _quietly(road.has_done(50)), limit_s=45)
        messages = await asyncio.to_thread(road.read, road.names.decisions, 50)
    assert len({json.loads(message.value())["event_id"] for message in messages}) == 50
    assert set(road.board.notes.values()) == {1}


@pytest.mark.parametrize("part", ["postgres", "kafka"])
async def test_a_server_that_does_not_answer_at_the_start_is_waited_for(
    road: Road, servers_stack: Stack, part: str
) -> None:
    async with AsyncExitStack() as stack:
        servers_stack.signal(part, signal.SIGSTOP)
        try:
            await stack.enter_async_context(road.working(workflow(decide)))
            await stack.enter_async_context(road.relaying())
            await asyncio.sleep(2)  # both have met the silence
        finally:
            servers_stack.signal(part, signal.SIGCONT)
        await send(road.names.bootstrap, road.names.events, *(event(f"s{n}") for n in range(10)))
        messages = await asyncio.to_thread(road.read, road.names.decisions, 10)
    assert len({json.loads(message.value())["event_id"] for message in messages}) == 10
    assert set(road.board.notes.values()) == {1}


@pytest.mark.parametrize("method", ["aput", "aput_writes"])
@pytest.mark.parametrize("is_written", [True, False], ids=["answer lost", "write lost"])
async def test_a_checkpoint_that_breaks_off_at_any_step_changes_no_decision(
    road: Road, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str, is_written: bool
) -> None:
    write, calls, breaks_at = getattr(CheckpointStore, method), 0, 0

    async def breaks_off(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != breaks_at or is_written:
            answer = await write(*arguments, **named)
        if calls == breaks_at:
            raise DatabaseUnreachable("broken off")
        return answer

    monkeypatch.setattr(CheckpointStore, method, breaks_off)
    for pause_s in ("RETRY_BASE_S", "LOOK_ROUND_S"):
        monkeypatch.setattr(worker_module, pause_s, 0.05)
    async with road.working(workflow(pause, decide)):
        for breaks_at in range(1, 6):
            calls, done = 0, breaks_at
            await send(road.names.bootstrap, road.names.events, event(f"s{breaks_at}"))
            await until(lambda done=done: road.has_ended(done))
    rows = await road.database.rows("SELECT state, error, decision->>'outcome' AS outcome, fails FROM runs")
    assert [(row["state"], row["error"], row["outcome"]) for row in rows] == [("done", "", "ACCEPT")] * 5
    assert max(row["fails"] for row in rows) == 1
    assert list(road.board.notes.values()) == [1] * 5
    assert "Blocked deserialization" not in caplog.text


async def test_a_checkpoint_restores_plain_values_and_calls_no_code(road: Road) -> None:
    called_with_arguments = 1  # LangGraph's extension type: module, name and arguments of what is to be called
    hostile = ("msgpack", ormsgpack.packb(ormsgpack.Ext(called_with_arguments, ormsgpack.packb(("os", "getcwd", ())))))
    assert JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(hostile) == str(Path.cwd())
    serde = CheckpointStore(road.database).serde
    assert serde.loads_typed(hostile) != str(Path.cwd())
    plain = {"a": [1, 2.5, None, "é"], "id": UUID(int=1)}
    assert serde.loads_typed(serde.dumps_typed(plain)) == plain
