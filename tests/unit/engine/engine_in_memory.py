"""The whole engine in memory: store, log, checkpoints and a target that counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from langgraph.checkpoint.memory import InMemorySaver

from tradeloop import Action, Decision, Workflow, WorkflowEvent
from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.records import Received, Record
from tradeloop.engine.intake import Intake
from tradeloop.engine.relay import Relay
from tradeloop.engine.runner import Runner
from tradeloop.engine.worker import Worker
from tradeloop.engine.workload import WorkerOptions
from tradeloop.kafka.messages import to_record
from tradeloop.ports import Agents, Tools
from tradeloop.testing.log import MemoryLog
from tradeloop.testing.store import MemoryStore

EVENTS, DECISIONS, GROUP = "workflow-events", "workflow-decisions", "tests"
NOTE = Action(kind="note", target="board", params={"text": "done"})


class Board:
    """An effector whose target honours the decision's id: the same intent twice is one note."""

    kind = "note"

    def __init__(self) -> None:
        self.target_class = TargetClass.KEYED
        self.notes: dict[UUID, Effect] = {}
        self.calls = 0
        self.problems: list[Exception] = []
        """Raised by the next calls, one each, instead of an answer."""
        self.hangs_after_the_note = False

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, Any]:  # noqa: ARG002 - the port's
        self.calls += 1
        if self.problems:
            raise self.problems.pop(0)
        self.notes.setdefault(effect.decision_id, effect)
        if self.hangs_after_the_note:
            await asyncio.Event().wait()
        return {"notes": len(self.notes)}


@dataclass
class House:
    """What outlives a worker."""

    store: Any = field(default_factory=MemoryStore)
    log: MemoryLog = field(default_factory=MemoryLog)
    saver: InMemorySaver = field(default_factory=InMemorySaver)
    board: Board = field(default_factory=Board)
    agents: Agents | None = None
    tools: Tools | None = None

    def worker(self, *workflows: Workflow, source: Any = None, **options: Any) -> Worker:
        known = {workflow.event_type: workflow for workflow in workflows}
        desks = {event_type: workflow.desk for event_type, workflow in known.items()}
        runner = Runner(
            known,
            self.saver,
            self.store,
            {"note": self.board},
            instance="tests",
            agents=self.agents,
            tools=self.tools,
        )
        return Worker(
            source or self.log.reader(EVENTS),
            Intake(self.store, GROUP, desks, dict(reversed(runner.versions)), runner.parsed),
            self.store,
            runner,
            WorkerOptions(desks=tuple(sorted(set(desks.values()))), decisions_topic=DECISIONS, **options),
        )

    @asynccontextmanager
    async def working(self, *workflows: Workflow, **options: Any) -> AsyncIterator[Worker]:
        """A worker that is stopped, and drained, at the end."""
        worker, stop = self.worker(*workflows, **options), asyncio.Event()
        task = asyncio.create_task(worker.run(stop))
        try:
            yield worker
        finally:
            stop.set()
            await task

    async def send(self, *events: WorkflowEvent) -> None:
        await self.log.publish([to_record(event, EVENTS) for event in events])

    async def send_bytes(self, value: bytes, key: bytes = b"s") -> None:
        await self.log.publish([Record(EVENTS, key, value)])

    async def decisions(self) -> list[dict[str, Any]]:
        """What has been announced on the decisions topic."""
        await Relay(self.store, self.log).drain()
        return [json.loads(record.value) for record in self.announced()]

    def announced(self) -> list[Received]:
        return self.log.records(DECISIONS)

    def ended(self, count: int = 1) -> Callable[[], bool]:
        return lambda: len(self.store.finished) >= count

    def outcomes(self) -> dict[str, Any]:
        """How each run ended, by the event's subject."""
        return {outcome.claim.subject: outcome for outcome in self.store.finished.values()}


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


def accept(state: Any) -> dict[str, Any]:
    return {"decision": Decision(outcome="ACCEPT", reasons=["all there"])}


def accept_and_note(state: Any) -> dict[str, Any]:
    return {"decision": Decision(outcome="ACCEPT", action=NOTE)}


def workflow(*nodes: Any, event_type: str = "prices.loaded", desk: str = "prices", timeout_s: float = 300) -> Workflow:
    made = Workflow.chain(event_type, *(nodes or (accept,)), desk=desk)
    return Workflow(made.event_type, made.desk, made.graph, timeout_s=timeout_s)


async def until(condition: Callable[[], object], limit_s: float = 10) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.002)
