"""A period of decisions again, under another policy or model, with effects off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent
from tradeloop.engine.rehearsal import rehearse
from tradeloop.errors import TradeloopError
from tradeloop.ports import Agents, Tools
from tradeloop.workflow import Workflow


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision as it was recorded, with its event's bytes."""

    run_id: UUID
    event_type: str
    desk: str
    subject: str
    payload: bytes
    decision: Decision


@dataclass(frozen=True, slots=True)
class Compared:
    """One past decision beside today's."""

    past: PastDecision
    now: Decision | None
    """None when the graph could not decide, or would wait for a person."""
    problem: str = ""

    @property
    def differs(self) -> bool:
        """Whether outcome or action is another."""
        if self.now is None:
            return True
        return (self.now.outcome, self.now.action) != (self.past.decision.outcome, self.past.decision.action)


async def shadow(
    past: AsyncIterator[PastDecision],
    workflows: Mapping[str, Workflow],
    agents: Agents | None = None,
    tools: Tools | None = None,
) -> AsyncIterator[Compared]:
    """Decide each of these events anew; those whose type no workflow answers are left out."""
    async for one in past:
        workflow = workflows.get(one.event_type)
        if workflow is None:
            continue
        task = asyncio.ensure_future(_again(workflow, one, agents, tools))
        await asyncio.wait({task})  # a graph may raise anything
        raised = task.exception()
        if raised is None:
            yield Compared(one, task.result(), "" if task.result() else "it would wait for a person")
        else:
            text = raised.message if isinstance(raised, TradeloopError) else f"{type(raised).__name__}: {raised}"
            yield Compared(one, None, text)


async def _again(workflow: Workflow, past: PastDecision, agents: Agents | None, tools: Tools | None) -> Decision | None:
    return await rehearse(workflow, WorkflowEvent.from_json(past.payload), agents, tools)
