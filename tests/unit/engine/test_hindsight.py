"""Decisions again: from a step, and of a period; nothing is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tradeloop import Action, Decision, Workflow
from tradeloop.domain.events import EventPayload, WorkflowEvent
from tradeloop.engine.fork import fork
from tradeloop.engine.shadow import PastDecision, shadow
from tradeloop.errors import NotFound
from tradeloop.workflow import GraphContext, RehearsedActing

RUN = uuid4()


def look(state: dict[str, Any]) -> dict[str, Any]:
    return {"facts": {"rows": state["event"]["payload"]["data"]["rows"]}}


def decide(state: dict[str, Any]) -> dict[str, Any]:
    wanted = state["facts"]["rows"] < 5
    action = Action(kind="trigger_dag", target="refetch") if wanted else None
    return {"decision": Decision(outcome="REFETCH" if wanted else "ACCEPT", action=action)}


WORKFLOW = Workflow.chain("prices.loaded", look, decide, desk="prices")


def event(rows: int) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "prices.loaded",
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "test",
            "workflow_id": "w",
            "workflow_run_id": "r",
            "subject": "SPX",
            "payload": EventPayload(data={"rows": rows}),
        }
    )


@pytest.fixture
async def saver() -> InMemorySaver:
    found = InMemorySaver()
    graph = WORKFLOW.graph.compile(checkpointer=found)
    config: Any = {"configurable": {"thread_id": str(RUN)}}
    await graph.ainvoke({"event": event(3).to_dict()}, config, context=GraphContext(acting=RehearsedActing()))
    return found


@pytest.mark.parametrize(("step", "taken"), [("", ["look", "decide", "act"]), ("decide", ["decide", "act"])])
async def test_a_run_goes_again_from_one_of_its_steps_without_its_effect(
    saver: InMemorySaver, step: str, taken: list[str]
) -> None:
    forked = await fork(WORKFLOW, saver, RUN, step)

    assert [name for one in forked.steps for name in one.nodes] == taken
    assert forked.decision is not None
    assert forked.decision.outcome == "REFETCH"
    assert forked.effect["state"] == "rehearsed"


async def test_a_step_that_never_was_and_a_run_without_checkpoints_are_told(saver: InMemorySaver) -> None:
    with pytest.raises(NotFound, match="its steps: look, decide, act"):
        await fork(WORKFLOW, saver, RUN, "approve")
    with pytest.raises(NotFound, match="no checkpoint"):
        await fork(WORKFLOW, saver, uuid4())


async def test_a_periods_decisions_are_compared_and_a_graph_that_raises_is_told() -> None:
    async def past() -> AsyncIterator[PastDecision]:
        for rows, event_type in ((3, "prices.loaded"), (9, "prices.loaded"), (9, "other")):
            payload = event(rows).to_json().encode()
            yield PastDecision(uuid4(), event_type, "prices", "SPX", payload, Decision(outcome="ACCEPT"))
        yield PastDecision(uuid4(), "prices.loaded", "prices", "SPX", b"{}", Decision(outcome="ACCEPT"))

    found = [one async for one in shadow(past(), {"prices.loaded": WORKFLOW})]

    assert [one.differs for one in found] == [True, False, True]
    assert found[0].now is not None
    assert found[0].now.outcome == "REFETCH"
    assert found[2].problem
