"""A run again from one of its steps, in memory and with effects off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any  # Any: LangGraph's own types
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import StateSnapshot

from tradeloop.domain.decisions import Decision
from tradeloop.engine.rehearsal import INTERRUPT
from tradeloop.engine.steps import Step, steps_of
from tradeloop.errors import NotFound
from tradeloop.ports import Agents, Tools
from tradeloop.workflow import GraphContext, RehearsedActing, Workflow, decision_of

Graph = CompiledStateGraph[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Forked:
    """What today's code made of the run from that step on."""

    steps: list[Step]
    """The steps that were taken anew."""
    decision: Decision | None
    """None when it would wait for a person."""
    effect: dict[str, Any]
    """What would have been done."""


async def fork(
    workflow: Workflow,
    saver: BaseCheckpointSaver[Any],
    run_id: UUID,
    step: str = "",
    agents: Agents | None = None,
    tools: Tools | None = None,
) -> Forked:
    """Take the stored state before `step` (its last time; the first step when empty) and go on from there.

    Nothing is written and no effect is carried out; models are asked when there are `agents`.

    Raises:
        NotFound: the run has no checkpoint, or never came to that step.
        Exception: whatever the graph raises; TimeoutError after the workflow's own time.
    """
    stored = workflow.graph.compile(checkpointer=saver)
    config: RunnableConfig = {"configurable": {"thread_id": str(run_id)}}
    snapshot = await _before(stored, config, step)
    found = await saver.aget_tuple(snapshot.config)
    if found is None:
        raise NotFound(f"the checkpoint of run {run_id} before {step!r} is gone.")
    memory = InMemorySaver()
    await memory.aput(
        {"configurable": {"thread_id": str(run_id), "checkpoint_ns": ""}},
        found.checkpoint,
        found.metadata,
        found.checkpoint["channel_versions"],
    )
    taken = len(await steps_of(memory, run_id))
    graph = workflow.graph.compile(checkpointer=memory)
    async with asyncio.timeout(workflow.timeout_s):
        state: dict[str, Any] = await graph.ainvoke(
            None, config, context=GraphContext(acting=RehearsedActing(), agents=agents, tools=tools)
        )
    steps = (await steps_of(memory, run_id))[taken:]
    decision = None if state.get(INTERRUPT) else decision_of(state)
    return Forked(steps, decision, dict(state.get("effect") or {}))


async def _before(graph: Graph, config: RunnableConfig, step: str) -> StateSnapshot:
    seen: list[str] = []
    last: StateSnapshot | None = None
    async for snapshot in graph.aget_state_history(config):
        names = [name for name in snapshot.next if not name.startswith("__")]
        if step and step in names:
            return snapshot
        seen += names
        last = snapshot if names else last
    if last is None:
        raise NotFound("the run has no checkpoint to go on from.", hint="its checkpoints may be over their time")
    if step:
        known = ", ".join(dict.fromkeys(reversed(seen)))
        raise NotFound(f"the run never came to a step {step!r}; its steps: {known}")
    return last
