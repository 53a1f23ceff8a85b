"""A worker behind the gate, on real PostgreSQL; its events come from a list, its target counts every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from real_parts import event, until

from tradeloop import Action, Decision, Workflow, WorkflowEvent
from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.approvals import Approval, ApprovalFilter, Ballot
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.domain.records import Received
from tradeloop.engine.gate import Gate
from tradeloop.engine.intake import Intake
from tradeloop.engine.runner import Runner
from tradeloop.engine.worker import Worker
from tradeloop.engine.workload import WorkerOptions
from tradeloop.gate.allowed import Allowed
from tradeloop.gate.policy import PolicySource
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.cipher import Cipher
from tradeloop.store.database import Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns
from tradeloop.workflow import GraphContext, GraphState, act

TOPIC = UUID("00000000-0000-0000-0000-0000000000ac")
REASON = "the second source agrees"
PLAIN = 'version: "1"\nraise_first_of_kind: false\n'


class Target:
    """Counts every call; keyed by nothing, so a double would be seen."""

    kind = "note"
    target_class = TargetClass.BLIND

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def execute(self, effect: Effect, _: WorkflowEvent) -> Mapping[str, Any]:
        self.calls.append((effect.action.target, dict(effect.action.params)))
        return {"noted": True}


class Directory:
    """engine.gate.People in memory."""

    def __init__(self, *people: Principal) -> None:
        self.people = {one.name: one for one in people}

    async def principal(self, name: str) -> Principal | None:
        return self.people.get(name)


def person(name: str, **more: Any) -> Principal:
    return Principal(name=name, roles=frozenset({Role.APPROVER}), delegations=(Delegation(),), **more)


ANNA, BEN = person("anna.k"), person("ben.o")


class Arrivals:
    """engine.worker.Source from a list."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[Received]] = asyncio.Queue()
        self.count = 0

    async def batch(self) -> list[Received]:
        return await self.queue.get()

    def done(self, batch: Sequence[Received]) -> None:
        """The list forgets by itself."""

    def put(self, *events: WorkflowEvent) -> None:
        found = []
        for one in events:
            self.count += 1
            found.append(Received("events", TOPIC, 0, self.count, one.subject.encode(), one.to_json().encode()))
        self.queue.put_nowait(found)


@dataclass
class House:
    """What the tests of the gate share."""

    database_url: str
    database: Database
    policy: Path
    people: Directory = field(default_factory=lambda: Directory(ANNA, BEN))
    target: Target = field(default_factory=Target)
    arrivals: Arrivals = field(default_factory=Arrivals)
    cipher: Cipher | None = None

    @property
    def approvals(self) -> PostgresApprovals:
        return PostgresApprovals(self.database)

    def says(self, text: str) -> None:
        """The firm's approval policy from now on."""
        self.policy.write_text(text)

    @asynccontextmanager
    async def working(self, workflow: Workflow) -> AsyncIterator[Worker]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(self.database_url, cipher=self.cipher))
            saver = await stack.enter_async_context(CheckpointStore(database))
            gate = Gate(PolicySource(self.policy), PostgresApprovals(database), self.people)
            known = {workflow.event_type: workflow}
            runner = Runner(known, saver, PostgresEffects(database), {"note": self.target}, instance="tests", gate=gate)
            intake = Intake(PostgresInbox(database, ""), "g", {workflow.event_type: workflow.desk})
            options = WorkerOptions((workflow.desk,), "decisions", lease_s=5, drain_s=5)
            worker = Worker(self.arrivals, intake, PostgresRuns(database, ""), runner, options)
            stop = asyncio.Event()
            task = asyncio.create_task(worker.run(stop))
            try:
                yield worker
            finally:
                stop.set()
                await asyncio.wait_for(task, 40)

    async def asked(self, count: int = 1) -> list[Approval]:
        """The open questions, once there are so many."""

        async def there() -> bool:
            return len(await self.approvals.matching(ApprovalFilter(limit=1000))) == count

        await until(there)
        return await self.approvals.matching(ApprovalFilter(limit=1000))

    async def answer(
        self, approval: Approval, answer: str = "approve", voter: Principal = ANNA, **more: Any
    ) -> Approval:
        facts = [str(fact["id"]) for fact in approval.context["facts"]]
        given = {"answer": answer, "digest": approval.digest, "reason": REASON, "relied_on": facts, **more}
        return await self.approvals.answer(approval.approval_id, Ballot.model_validate(given), voter)

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """The runs that ended, once there are so many, oldest first."""

        async def there() -> bool:
            row = await self.database.row("SELECT count(*) AS n FROM runs")
            return bool(row and row["n"] >= count)

        await until(there)
        return await self.database.rows("SELECT * FROM runs ORDER BY seq")

    async def live(self) -> list[str]:
        return [str(row["state"]) for row in await self.database.rows("SELECT state::text FROM work ORDER BY seq")]


def gated_workflow(
    *, asked: bool = True, allowed: tuple[Allowed, ...] | None = None, timeout_s: float = 20.0
) -> Workflow:
    """A graph that wants a note with the event's data as parameters."""

    def decide(state: GraphState) -> dict[str, Any]:
        data = state["event"]["payload"]["data"]
        action = Action(kind="note", target=str(data.get("target", "board")), params=data.get("params", {}))
        findings = [{"id": "F-01", "sentence": "coverage is 86 %", **data.get("fact", {})}]
        decision = Decision(outcome="ESCALATE", action=action, asked=asked, findings=findings)
        return {"decision": decision.model_dump(mode="json")}

    from langgraph.graph import END, START, StateGraph

    builder = StateGraph(GraphState, context_schema=GraphContext)
    builder.add_node("decide", decide)
    builder.add_node("act", act)
    builder.add_edge(START, "decide")
    builder.add_edge("decide", "act")
    builder.add_edge("act", END)
    return Workflow("some.type", "desk", builder, allowed=allowed, timeout_s=timeout_s)


def wish(subject: str = "SPX", **data: Any) -> WorkflowEvent:
    return event(subject, **data).model_copy(update={"event_type": "some.type", "event_id": uuid4()})
