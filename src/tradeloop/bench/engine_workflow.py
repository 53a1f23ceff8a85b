"""The three-node graph of the engine's benchmarks, and the events that it answers."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final  # Any: LangGraph's state
from uuid import uuid4

from langgraph.graph import END, START, StateGraph

from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import EventPayload, WorkflowEvent
from tradeloop.workflow import GraphContext, GraphState, Workflow

MEASURED: Final = "bench.measured"
THINKING: Final = "bench.thinking"
COMPUTING: Final = "bench.computing"
DATA_BYTES: Final = 300
"""Size of an event's data: a small batch by reference, as the desks send it."""
THINKS_S: Final = 0.05
"""As long as a small model on a good machine takes."""
COMPUTES: Final = 40_000
"""Rounds of pure Python, a few milliseconds: what a node that only computes does to the worker's thread."""


async def facts(state: GraphState) -> dict[str, Any]:
    """Count what the event says."""
    data = state["event"]["payload"]["data"]
    return {"facts": {"rows": data["rows"], "size_bytes": len(data["text"])}}


async def policy(state: GraphState) -> dict[str, Any]:
    """Judge the facts."""
    return {"facts": {**state["facts"], "complete": state["facts"]["rows"] > 0}}


async def decide(state: GraphState) -> dict[str, Any]:
    """Say what was decided."""
    outcome = "ACCEPT" if state["facts"]["complete"] else "REFETCH"
    return {"decision": Decision(outcome=outcome, reasons=[f"{state['facts']['rows']} rows"])}


async def think(state: GraphState) -> dict[str, Any]:
    """Wait, as for a model."""
    await asyncio.sleep(THINKS_S)
    return await policy(state)


async def compute(state: GraphState) -> dict[str, Any]:
    """Keep the thread busy."""
    total = 0
    for number in range(COMPUTES):
        total += number % 7
    return {"facts": {**state["facts"], "complete": total > 0}}


def graph_of(middle: Any) -> StateGraph[Any, Any, Any, Any]:
    """facts, then `middle`, then decide."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(GraphState, context_schema=GraphContext)
    for name, node in (("facts", facts), ("policy", middle), ("decide", decide)):
        builder.add_node(name, node)
    for before, after in ((START, "facts"), ("facts", "policy"), ("policy", "decide"), ("decide", END)):
        builder.add_edge(before, after)
    return builder


workflows: Final = [
    Workflow(MEASURED, "bench", graph_of(policy)),
    Workflow(THINKING, "thinking", graph_of(think)),
    Workflow(COMPUTING, "computing", graph_of(compute)),
]


def measured_event(number: int, event_type: str = MEASURED, *, subjects: int = 0) -> WorkflowEvent:
    """One event; each has a subject of its own, or one of so many."""
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": event_type,
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "bench",
            "workflow_id": "bench",
            "workflow_run_id": f"run-{os.getpid()}",
            "subject": f"subject/{number % subjects if subjects else uuid4().hex}",
            "payload": EventPayload(data={"rows": 22, "text": "x" * DATA_BYTES}),
        }
    )
