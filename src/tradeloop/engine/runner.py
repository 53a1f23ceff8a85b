"""One run: the event's graph from its first node, or from where a crash left it."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final  # Any: LangGraph's own types
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, GraphOutput

from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import MAX_EVENT_BYTES, EventMetadata, EventPayload, WorkflowEvent
from tradeloop.domain.runs import Claim, Outcome, RunState, decision_id_of
from tradeloop.effects.effector import Effector
from tradeloop.engine.asking import RunAsks, answer_of, asks_of, interrupts_of
from tradeloop.engine.effects import LedgeredActing
from tradeloop.engine.gate import Gate
from tradeloop.engine.parsed import ParsedEvents
from tradeloop.errors import DecisionInvalid, RunTimedOut, TradeloopError, WorkflowMissing
from tradeloop.ports import Agents, EffectLedger, FencedThreads, Tools
from tradeloop.workflow import GraphContext, Workflow, decision_of

DECISION_RECORDED: Final = "decision.recorded"
ANSWERED: Final = ("decision", "effect")
"""What the engine reads of a graph's state."""


class Runner:
    """Runs graphs durably; knows nothing of queues."""

    def __init__(  # noqa: PLR0913 - the parts that a worker is put together from
        self,
        workflows: Mapping[str, Workflow],
        saver: BaseCheckpointSaver[Any],
        ledger: EffectLedger,
        effectors: Mapping[str, Effector],
        *,
        instance: str,
        environment: str = "development",
        agents: Agents | None = None,
        tools: Tools | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`gate`: None: the policy that ships, without a place to ask people."""
        self.gate = gate or Gate()
        self._saver = saver
        self._ledger = ledger
        self._effectors = effectors
        self._instance = instance
        self._environment = environment
        self._agents = agents
        self._tools = tools
        self.parsed = ParsedEvents()
        """What the intake has read already."""
        self._fenced_saver = saver if isinstance(saver, FencedThreads) else None
        self._graphs: dict[str, CompiledStateGraph[Any, Any, Any, Any]] = {}
        """Compiled, by version."""
        self._by_version: dict[str, Workflow] = {}
        pairs = []
        for event_type, current in workflows.items():
            for workflow in (current, *current.earlier):
                version = workflow.version
                self._by_version[version] = workflow
                pairs.append((event_type, version))
        self.versions: Sequence[tuple[str, str]] = tuple(pairs)
        """Event type and graph version of all that can be run here; of each type the present version first."""
        self._present = dict(reversed(pairs))

    async def run(self, owner: UUID, claim: Claim) -> Outcome:
        """Bring the run to its decision and its effect.

        Raises:
            RunAsks: it waits for people; park it.
            RunLost: another worker owns the run; stop silently.
            TradeloopError: with `retriable` set when the run should rest and come back.
        """
        event = self.parsed.take(claim)
        workflow = self._by_version.get(self._version_of(claim))
        if workflow is None:
            raise WorkflowMissing(f"no workflow of this worker answers {claim.event_type}; another worker may")
        decision_id = decision_id_of(self._instance, claim.event_id, claim.generation)
        acting = LedgeredActing(
            self._ledger, self._effectors, owner, claim, decision_id, event, workflow.allowed, self.gate
        )
        try:
            async with asyncio.timeout(workflow.timeout_s) as limit:
                with self._fenced(owner, claim):
                    context = GraphContext(acting=acting, agents=self._agents, tools=self._tools)
                    found = await self._invoke(claim, event, workflow, context)
        except TimeoutError as problem:
            if not limit.expired():
                raise  # a time-out of the graph's own
            raise RunTimedOut(f"the graph did not end within {workflow.timeout_s:g} s") from problem
        if found.interrupts:
            raise RunAsks(asks_of(found.interrupts, decision_id, agent=f"agent:{claim.desk}"))
        state = found.value or {}
        decision = decision_of(state)
        expired = state.get("effect", {}).get("state") == RunState.EXPIRED.value
        return Outcome(
            claim=claim,
            state=RunState.EXPIRED if expired else RunState.DONE,
            decision_id=decision_id,
            graph=workflow.desk,
            graph_version=self._version_of(claim),
            decision=decision,
            effect=state.get("effect", {}),
            event=self._announcement(claim, event, decision_id, decision, state.get("effect", {})),
        )

    def failure(self, claim: Claim, problem: BaseException) -> Outcome:
        """The outcome of a run that cannot go on: it ends as failed, and its event is a dead letter."""
        frames = traceback.extract_tb(problem.__traceback__)
        places = "|".join(f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in frames)
        text = problem.message if isinstance(problem, TradeloopError) else f"{type(problem).__name__}: {problem}"
        return Outcome(
            claim=claim,
            state=RunState.FAILED,
            decision_id=decision_id_of(self._instance, claim.event_id, claim.generation),
            graph=claim.desk,
            graph_version=self._version_of(claim),
            error=text,
            error_class=type(problem).__name__,
            stack_hash=hashlib.sha256(places.encode()).hexdigest()[:16],
        )

    def cancellation(self, claim: Claim, reason: str) -> Outcome:
        """The outcome of a run that somebody wanted cancelled."""
        return Outcome(
            claim=claim,
            state=RunState.CANCELLED,
            decision_id=decision_id_of(self._instance, claim.event_id, claim.generation),
            graph=claim.desk,
            graph_version=claim.graph_version,
            error=f"cancelled: {reason}",
        )

    def version(self, event_type: str) -> str:
        """The version of the graph that answers this type from now on; empty when none does."""
        return self._present.get(event_type, "")

    def _version_of(self, claim: Claim) -> str:
        return claim.graph_version or self.version(claim.event_type)

    @contextmanager
    def _fenced(self, owner: UUID, claim: Claim) -> Iterator[None]:
        """Checkpoints of this run are refused once another worker holds it."""
        saver = self._fenced_saver
        if saver is None:
            yield
            return
        thread_id = str(claim.run_id)
        saver.begin(thread_id, owner, claim.fence, fresh=claim.fence == 1)
        try:
            yield
        finally:
            saver.end(thread_id, claim.fence)

    async def _invoke(
        self, claim: Claim, event: WorkflowEvent, workflow: Workflow, context: GraphContext
    ) -> GraphOutput[Any]:
        version = self._version_of(claim)
        graph = self._graphs.get(version)
        if graph is None:
            graph = self._graphs[version] = workflow.graph.compile(checkpointer=self._saver)
        config: RunnableConfig = {
            "configurable": {"thread_id": str(claim.run_id)},
            "metadata": {"graph_version": self._version_of(claim), "fence": claim.fence},
        }
        # The input again after a crash would start over; None continues; None on an empty thread is refused.
        stored = None if claim.fence == 1 else await self._saver.aget_tuple(config)
        given: Any = {"event": event.to_dict()} if stored is None else await self._resumption(claim, stored)
        # v2: one stream of values instead of two; and only what is looked at, not the whole state, at each step.
        keys = [name for name in ANSWERED if name in graph.channels]
        found: GraphOutput[Any] = await graph.ainvoke(
            given, config, context=context, durability="sync", version="v2", output_keys=keys or None
        )
        return found

    async def _resumption(self, claim: Claim, stored: CheckpointTuple) -> Command[Any] | None:
        """By interrupt id, what people said; None where the graph only goes on. A bare value could meet another one."""
        waiting = {one.id for one in interrupts_of(stored)}
        if not waiting:
            return None
        answered = {
            one.interrupt_id: answer_of(one)
            for one in await self.gate.approvals.of_run(claim.run_id)
            if one.interrupt_id in waiting and not one.state.is_open
        }
        return Command(resume=answered) if answered else None

    def _announcement(
        self, claim: Claim, event: WorkflowEvent, decision_id: UUID, decision: Decision, effect: dict[str, Any]
    ) -> WorkflowEvent:
        announced = WorkflowEvent(
            event_id=decision_id,
            event_type=DECISION_RECORDED,
            timestamp=datetime.now(UTC),
            source="tradeloop",
            workflow_id=event.workflow_id,
            workflow_run_id=event.workflow_run_id,
            subject=event.subject,
            payload=EventPayload(
                data={
                    "decision_id": str(decision_id),
                    "run_id": str(claim.run_id),
                    "desk": claim.desk,
                    "decision": decision.plain,
                    "effect": effect,
                    "graph_version": self._version_of(claim),
                }
            ),
            metadata=EventMetadata(environment=self._environment),
            correlation_id=event.correlation_id or event.event_id,
            causation_id=event.event_id,
        )
        if (size_bytes := len(announced.to_json().encode())) > MAX_EVENT_BYTES:
            raise DecisionInvalid(f"the decision and its effect have {size_bytes:,} bytes: no topic takes them")
        return announced
