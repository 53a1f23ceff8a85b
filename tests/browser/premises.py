"""The real pages on a real server and a real database, with people, runs and questions; shared by a session's tests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import uvicorn

from tradeloop import Action, Workflow, WorkflowEvent
from tradeloop.api.app import create_app
from tradeloop.api.services import Services, services
from tradeloop.domain.approvals import Approval, ApprovalStep, Ballot, Pattern, Requirement
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.domain.records import Received
from tradeloop.domain.runs import new_run_id
from tradeloop.ports import Arrival, Ask
from tradeloop.settings import Settings
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

T = TypeVar("T")
TOPIC = UUID("00000000-0000-0000-0000-0000000000ad")
ACTION = Action(
    kind="trigger_dag",
    target="quarantine_batch",
    params={"symbol": "SPY", "rows": 22, "quarantined": ["2009-03-06", "2009-03-09", "2009-03-10"], "price": "86.10"},
)
CONTEXT: dict[str, Any] = {
    "question": "SPY, March 2009: 3 bars in doubt. Quarantine 3 rows?",
    "facts": [
        {"id": "F-01", "sentence": "+24.8 % on 2009-03-06, 9.1 MAD", "source": "check MD09", "at": "16:41:01Z"},
        {"id": "F-02", "sentence": "no split or dividend that day", "source": "factor file", "at": "rev 8812"},
        {"id": "F-03", "sentence": "second source says 68.92", "source": "feed B", "at": "16:41:02Z"},
        {"id": "F-04", "sentence": "coverage after the action 86 %, floor 98 %", "source": "calendar", "against": True},
    ],
    "consequences": [
        {"field": "rows published", "now": 22, "after": 19},
        {"field": "2009-03-06 close", "now": "86.01", "after": None, "difference": "quarantined"},
    ],
    "reasons": ["a risk run waits for this batch"],
    "outcome": "QUARANTINE_ROWS",
    "proposal": {
        "name": "ollama:qwen",
        "prompt_hash": "5b1f00aa",
        "rationale": "The bar looks like a fat finger.\nQuarantine it.",
        "cited": ["F-01", "F-09"],
    },
}


def person(name: str, *roles: Role, desk: str = "*") -> Principal:
    delegations = (Delegation(desk=desk),) if Role.APPROVER in roles else ()
    return Principal(name=name, roles=frozenset(roles), delegations=delegations)


ANNA = person("anna.k", Role.APPROVER, Role.OPERATOR)
BEN = person("ben.o", Role.APPROVER)
CARL = person("carl.v", Role.VIEWER)
DORA = person("dora.a", Role.ADMINISTRATOR)
OLGA = person("olga.o", Role.OPERATOR)
PEOPLE = (ANNA, BEN, CARL, DORA, OLGA)


def needs(
    pattern: Pattern = Pattern.MAKER_CHECKER,
    tier: int = 1,
    count: int = 1,
    deadline_s: int = 14_400,
    steps: Sequence[ApprovalStep] = (),
    **more: Any,
) -> Requirement:
    """What policy wants of a question."""
    return Requirement(
        pattern=pattern,
        tier=tier,
        rule="md-07",
        why="a risk run waits and coverage is under 98 %",
        steps=tuple(steps) or (ApprovalStep(needs=count),),
        deadline_s=deadline_s,
        **more,
    )


@dataclass
class Premises:
    """A server in a thread, and what tests put into its database."""

    database_url: str
    settings: Settings
    keys: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _services: Services | None = None
    app: Any = None
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None
    _offset: int = 0
    _owner: UUID = field(default_factory=uuid4)

    def start(self, workflows: Mapping[str, Workflow]) -> None:
        """Serve; returns once pages are answered."""
        ready = threading.Event()
        failed: list[BaseException] = []

        async def serve() -> None:
            async with Database(self.database_url, size=8) as database:
                self._services = services(self.settings, database, workflows)
                await self._people()
                await PostgresRuns(database, "").enlist(self._owner, "test", 3600)
                self.app = create_app(self._services)
                config = uvicorn.Config(
                    self.app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=2
                )
                self._server = uvicorn.Server(config)
                serving = asyncio.create_task(self._server.serve())
                while not self._server.started and not serving.done():
                    await asyncio.sleep(0.01)
                port = self._server.servers[0].sockets[0].getsockname()[1]
                self.url = f"http://127.0.0.1:{port}"
                ready.set()
                await serving

        def run() -> None:
            self._loop = asyncio.new_event_loop()
            try:
                self._loop.run_until_complete(serve())
            except BaseException as problem:  # noqa: BLE001 - told in the test's own thread
                failed.append(problem)
                ready.set()
            finally:
                self._loop.close()

        self._thread = threading.Thread(target=run, name="pages", daemon=True)
        self._thread.start()
        assert ready.wait(60), "the server did not start"
        if failed:
            raise failed[0]

    def stop(self) -> None:
        """Serve no more."""
        if self._server and self._thread:
            self.services.changes.end()
            self._server.should_exit = True
            self._thread.join(20)

    @property
    def services(self) -> Services:
        assert self._services is not None
        return self._services

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Something in the server's own loop."""
        assert self._loop is not None
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)

    async def _people(self) -> None:
        for one in PEOPLE:
            await self.services.people.add(one, by="tests")
            made = await self.services.people.new_key(one.name, label="tests", expires_at=None, by="tests")
            self.keys[one.name] = made.text

    def ask(
        self,
        requirement: Requirement | None = None,
        *,
        subject: str = "",
        desk: str = "marketdata",
        action: Action = ACTION,
        context: Mapping[str, Any] | None = None,
        requester: str = "",
    ) -> Approval:
        """A question of a new run, which waits for the answer."""
        return self.do(self._ask(requirement or needs(), subject, desk, action, context, requester))

    async def _ask(
        self,
        requirement: Requirement,
        subject: str,
        desk: str,
        action: Action,
        context: Mapping[str, Any] | None,
        requester: str,
        dag_run: tuple[str, str] = ("load_prices", ""),
    ) -> Approval:
        claim = await self.take_in(subject or f"SPY/{self._offset}", desk, dag_run=dag_run)
        told = CONTEXT if context is None else context
        wish = Ask("i1", "act", uuid4(), action, requirement, "9c1e" * 16, f"agent:{desk}", requester, told)
        approvals = self.services.approvals
        assert approvals is not None
        assert await approvals.park(self._owner, claim, [wish], 10_000)
        return (await approvals.of_run(claim.run_id))[0]

    async def take_in(
        self,
        subject: str,
        desk: str,
        event_type: str = "marketdata.batch.loaded",
        dag_run: tuple[str, str] = ("load_prices", ""),
    ) -> Any:
        """An event that this house's own worker has in hand."""
        self._offset += 1
        event = WorkflowEvent.model_validate(
            {
                "event_id": uuid4(),
                "event_type": event_type,
                "timestamp": "2026-11-23T16:59:21Z",
                "source": "airflow",
                "workflow_id": dag_run[0],
                "workflow_run_id": dag_run[1] or f"manual__{self._offset}",
                "subject": subject,
                "payload": {"data": {"symbol": "SPY"}},
                "metadata": {"task_id": "publish", "map_index": -1},
            }
        )
        place = Received(
            "workflow-events",
            TOPIC,
            0,
            self._offset,
            subject.encode(),
            event.to_json().encode(),
            (),
            int(time.time() * 1000),
        )
        arrival = Arrival(place, event.event_id, event_type, desk, subject, new_run_id())
        (claim,) = await PostgresInbox(self.services.database, "").accept("g", self._owner, [arrival], [], 10)
        return claim

    def get(self, approval: Approval) -> Approval:
        """How it stands now."""
        assert self.services.approvals is not None
        return self.do(self.services.approvals.get(approval.approval_id))

    def answer(
        self, approval: Approval, voter: Principal, answer: str = "approve", reason: str = "", **more: Any
    ) -> Approval:
        """Somebody's answer by another way than the page."""
        assert self.services.approvals is not None
        given = {"answer": answer, "digest": approval.digest, "reason": reason or "second source is late, not wrong"}
        ballot = Ballot.model_validate(given | {"channel": "cli"} | more)
        return self.do(self.services.approvals.answer(approval.approval_id, ballot, voter))

    def until(self, holds: Any, within_s: float = 10.0) -> None:
        """Wait for a condition."""
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, "it did not come to hold"
            time.sleep(0.02)
