"""The effect `publish_event`: one event by its id, through the outbox, in the order of its subject."""

from __future__ import annotations

from typing import Any

import pytest
from hand import DECISION, Hand, event

from tradeloop import Action, WorkflowEvent
from tradeloop.effects.effector import MAX_DEPTH
from tradeloop.effects.publish_event import PublishEvent
from tradeloop.engine.relay import Relay
from tradeloop.errors import DatabaseUnreachable, DecisionInvalid
from tradeloop.testing.log import MemoryLog
from tradeloop.testing.store import MemoryStore

BREACH = Action(kind="publish_event", target="limits.breached", params={"data": {"book": "rates"}})


async def in_hand(**more: Any) -> Hand:
    store = MemoryStore()
    return await Hand(PublishEvent(store, "workflow-events", "production"), store, event(**more)).begin()


async def published(hand: Hand) -> list[WorkflowEvent]:
    log = MemoryLog()
    await Relay(hand.store, log).drain()
    return [WorkflowEvent.from_json(record.value) for record in log.records("workflow-events")]


async def test_the_event_follows_from_its_cause_and_its_decision() -> None:
    hand = await in_hand(metadata={"chain_depth": 2})
    view = await hand.perform(BREACH)
    (told,) = await published(hand)
    assert view["result"] == {
        "event_id": str(told.event_id), "topic": "workflow-events", "subject": hand.cause.subject,
    }  # fmt: skip
    assert (told.event_type, told.payload.data) == ("limits.breached", {"book": "rates"})
    assert (told.subject, told.workflow_id) == (hand.cause.subject, "load")
    assert (told.correlation_id, told.causation_id) == (hand.cause.event_id, DECISION)
    assert told.metadata.model_dump()["chain_depth"] == 3
    assert told.metadata.environment == "production"
    assert told.timestamp == hand.effect.prepared_at


async def test_the_key_on_the_log_is_the_subject() -> None:
    hand = await in_hand()
    await hand.perform(Action(kind="publish_event", target="limits.breached", params={"subject": "rates/EUR"}))
    log = MemoryLog()
    await Relay(hand.store, log).drain()
    (record,) = log.records("workflow-events")
    assert record.key == b"rates/EUR"


async def test_a_second_call_is_the_same_event_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = await in_hand()
    append = hand.store.append

    async def lost(record: Any) -> None:
        await append(record)
        raise DatabaseUnreachable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(hand.store, "append", lost)
        with pytest.raises(DatabaseUnreachable):
            await hand.perform(BREACH)
    await hand.taken_over()
    await hand.perform(BREACH)
    first, second = await published(hand)
    assert first == second


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Action(kind="publish_event", target="decision.recorded"), "only tradeloop itself publishes decision.recorded"),
        (Action(kind="publish_event", target="task.failed"), "only tradeloop itself publishes task.failed"),
        (Action(kind="publish_event", target="x", params={"topic": "y"}), "knows data and subject, not topic"),
        (Action(kind="publish_event", target="not a type"), "the event does not fit: event_type"),
        (Action(kind="publish_event", target="x", params={"data": {"t": "x" * 1_000_000}}), "no topic takes it"),
    ],
)
async def test_an_event_that_cannot_be_is_a_failed_effect(action: Action, reason: str) -> None:
    hand = await in_hand()
    view = await hand.perform(action)
    assert view["state"] == "failed"
    assert reason in view["error"]
    assert await published(hand) == []


async def test_events_that_answer_events_end() -> None:
    hand = await in_hand(metadata={"chain_depth": MAX_DEPTH})
    with pytest.raises(DecisionInvalid, match="a loop is likely"):
        await hand.perform(BREACH)
