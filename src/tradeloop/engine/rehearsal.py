"""A graph on an event with effects off and nothing stored: what today's code would decide."""

from __future__ import annotations

import asyncio
from typing import Any  # Any: a graph's state

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent
from tradeloop.ports import Agents, Tools
from tradeloop.workflow import GraphContext, RehearsedActing, Workflow, decision_of

INTERRUPT = "__interrupt__"


async def rehearse(
    workflow: Workflow, event: WorkflowEvent, agents: Agents | None = None, tools: Tools | None = None
) -> Decision | None:
    """Run the graph from its first node; None when it would wait for a person.

    Models and readers of the graph are called as ever; only effects are not.

    Raises:
        Exception: whatever the graph raises; TimeoutError after the workflow's own time.
        DecisionInvalid: it ended without a decision that fits.
    """
    graph = workflow.graph.compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": str(event.event_id)}}
    async with asyncio.timeout(workflow.timeout_s):
        state: dict[str, Any] = await graph.ainvoke(
            {"event": event.to_dict()},
            config,
            context=GraphContext(acting=RehearsedActing(), agents=agents, tools=tools),
        )
    return None if state.get(INTERRUPT) else decision_of(state)
