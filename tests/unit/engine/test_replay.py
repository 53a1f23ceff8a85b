"""Dead letters judged by today's code, and put back."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from tradeloop import Action, Decision, Workflow, WorkflowEvent
from tradeloop.domain.letters import LetterFilter, LetterState
from tradeloop.domain.records import DeadLetter
from tradeloop.engine.rehearsal import rehearse
from tradeloop.engine.replay import PAGE, Replays, Verdict
from tradeloop.testing.letters import MemoryLetters
from tradeloop.testing.store import MemoryStore
from tradeloop.workflow import GraphContext, GraphState

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
FAST = 1e9


def event(event_type: str = "prices.loaded", **data: Any) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": event_type,
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "tests",
            "workflow_id": "load",
            "workflow_run_id": "manual__1",
            "subject": "s",
            "payload": {"data": data},
        }
    )


def decide(state: dict[str, Any]) -> dict[str, Any]:
    rows = state["event"]["payload"]["data"]["rows"]
    return {"decision": Decision(outcome="ACCEPT", reasons=[f"{rows} rows"])}


def cancel(_: dict[str, Any]) -> dict[str, Any]:
    raise asyncio.CancelledError


def ask(state: dict[str, Any]) -> dict[str, Any]:
    return {"decision": interrupt("may I?")}


def refetch(_: dict[str, Any]) -> dict[str, Any]:
    return {"decision": Decision(outcome="REFETCH", action=Action(kind="trigger_dag", target="refetch"))}


WORKFLOWS = {
    "prices.loaded": Workflow.chain("prices.loaded", decide, desk="prices"),
    "prices.cancelled": Workflow.chain("prices.cancelled", cancel, desk="prices"),
    "prices.asked": Workflow.chain("prices.asked", ask, desk="prices"),
}


def letters_of(*raws: bytes, error_class: str = "EventInvalid") -> MemoryLetters:
    store = MemoryStore()
    for offset, raw in enumerate(raws):
        store.dead.append(DeadLetter("kafka", "was unreadable", error_class, raw, "events", TOPIC, 0, offset))
    return MemoryLetters(store)


def raw_of(*events: WorkflowEvent) -> list[bytes]:
    return [one.to_json().encode() for one in events]


async def put_back(letters: MemoryLetters, **options: Any) -> list[Verdict]:
    replays = Replays(letters, WORKFLOWS, by="anna.k")
    return [verdict async for verdict in replays.replayed(LetterFilter(), rate=FAST, **options)]


async def rehearsed(letters: MemoryLetters) -> list[Verdict]:
    return [verdict async for verdict in Replays(letters, WORKFLOWS, by="").rehearsed(LetterFilter())]


async def test_what_can_be_read_today_is_put_back() -> None:
    good = event(rows=3)
    letters = letters_of(b"{", *raw_of(good))
    broken, back = await put_back(letters)
    assert (broken.passes, broken.error_class, broken.replay) == (False, "EventNotJson", None)
    assert back.replay is not None
    [claim] = await letters.store.claim(uuid4(), ["prices"], 10)
    assert (claim.run_id, claim.event_id, claim.subject) == (back.replay.run_id, good.event_id, "s")
    assert [letter.state for letter in await letters.after(0, LetterFilter(state=None), 10)] == [
        LetterState.OPEN,
        LetterState.REPLAYED,
    ]


async def test_a_type_without_a_workflow_is_left_alone() -> None:
    [verdict] = await put_back(letters_of(*raw_of(event("prices.unknown"))))
    assert verdict.problem == "it can be read, but no workflow of this installation answers prices.unknown"


async def test_what_was_masked_on_its_way_is_never_put_back() -> None:
    [verdict] = await put_back(letters_of(*raw_of(event(rows=1)), error_class="EventRedacted"))
    assert (verdict.passes, verdict.error_class) == (False, "EventRedacted")


async def test_an_event_whose_id_is_taken_is_never_put_back_under_it() -> None:
    [verdict] = await put_back(letters_of(*raw_of(event(rows=1)), error_class="EventIdReused"))
    assert (verdict.passes, verdict.error_class) == (False, "EventIdReused")
    assert "with an id of its own" in verdict.problem


async def test_more_letters_than_a_page_are_all_put_back_once() -> None:
    letters = letters_of(*raw_of(*(event(rows=n) for n in range(2 * PAGE + 1))))
    assert len(await put_back(letters)) == 2 * PAGE + 1
    assert await put_back(letters) == []


async def test_a_dry_run_says_what_the_graph_would_raise_and_changes_nothing() -> None:
    letters = letters_of(*raw_of(event(rows=1), event(), event("prices.cancelled"), event("prices.asked")))
    verdicts = await rehearsed(letters)
    assert [(verdict.passes, verdict.error_class) for verdict in verdicts] == [
        (True, ""),
        (False, "KeyError"),
        (False, "NodeCancelledError"),
        (True, ""),
    ]
    assert verdicts[1].problem == "KeyError: 'rows'"
    assert await letters.count(LetterFilter()) == 4
    assert letters.audit == []


async def test_with_only_passing_the_others_stay() -> None:
    letters = letters_of(*raw_of(event(rows=1), event()))
    assert [verdict.passes for verdict in await put_back(letters, only_passing=True)] == [True, False]
    assert await letters.count(LetterFilter()) == 1


async def test_a_rehearsal_calls_no_effect() -> None:
    decision = await rehearse(Workflow.chain("prices.loaded", refetch, desk="prices"), event())
    assert decision is not None
    assert decision.action == Action(kind="trigger_dag", target="refetch")


async def test_a_graph_that_never_ends_is_told_so() -> None:
    async def sleep(_: GraphState) -> GraphState:
        await asyncio.Event().wait()
        return {}

    graph = StateGraph(GraphState, context_schema=GraphContext)
    graph.add_node("sleep", sleep)
    graph.add_edge(START, "sleep")
    graph.add_edge("sleep", END)
    with pytest.raises(TimeoutError):
        await rehearse(Workflow("prices.loaded", "prices", graph, timeout_s=0.05), event())


async def test_letters_are_put_back_no_faster_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", wait)
    replays = Replays(letters_of(*raw_of(*(event(rows=n) for n in range(3)))), WORKFLOWS, by="a")
    assert len([verdict async for verdict in replays.replayed(LetterFilter(), rate=0.001)]) == 3
    assert waits[0] == 0
    assert [round(wait / 1000) for wait in waits] == [0, 1, 2]
