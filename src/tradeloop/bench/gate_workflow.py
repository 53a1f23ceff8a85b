"""The graph of `tradeloop bench gate`, whose action a person must allow, and the target that counts its calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final  # Any: LangGraph's state
from uuid import uuid4

from pydantic import JsonValue

from tradeloop.domain.actions import Action, Effect, TargetClass
from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent
from tradeloop.workflow import GraphState, Workflow

ASKS: Final = "bench.asks"
DESK: Final = "gate"
CALLS: Final = "TRADELOOP_BENCH_CALLS"
"""File to which the target adds a line a call."""


class CountedCalls:
    """An effect that honours no key: whatever reaches it twice is counted twice."""

    kind = "counted"
    target_class = TargetClass.BLIND

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Add a line: one write of its own, kept by the system even when the process is killed."""
        line = f"{cause.subject} {effect.action.digest}\n".encode()
        handle = os.open(Path(os.environ[CALLS]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)
        return {}


def decide(state: GraphState) -> dict[str, Any]:
    """Ask for the action that the event names."""
    data = state["event"]["payload"]["data"]
    findings: list[dict[str, JsonValue]] = [{"id": "F-01", "sentence": "a fact"}]
    action = Action(kind="counted", target="board", params={"number": data["number"]})
    return {"decision": Decision(outcome="ESCALATE", action=action, asked=True, findings=findings)}


workflow: Final = Workflow.chain(ASKS, decide, desk=DESK)


def asking_event(number: int) -> WorkflowEvent:
    """One event, with a subject and a number of its own."""
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": ASKS,
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "bench",
            "workflow_id": "bench",
            "workflow_run_id": "bench",
            "subject": f"question/{number}",
            "payload": {"data": {"number": number}},
        }
    )
