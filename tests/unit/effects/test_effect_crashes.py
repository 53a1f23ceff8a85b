"""Workers that die or fall asleep between the call and its record: by what the target can do, for each class."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hand import Hand, event
from pydantic import BaseModel, ConfigDict

from tradeloop import Action, Decision, Workflow
from tradeloop.domain.actions import Effect, EffectState, TargetClass
from tradeloop.effects import EffectUnanswered
from tradeloop.engine import effects
from tradeloop.errors import (
    ActionDiverged,
    ActionForbidden,
    DatabaseUnreachable,
    EffectInvalid,
    GateClosed,
    OutcomeUnknown,
)
from tradeloop.gate.allowed import Allowed

HOLD = Action(kind="hold", target="book", params={"amount": "12.40"})
CLASSES = list(TargetClass)


class Anything(BaseModel):
    """Parameters that no test here is about."""

    model_config = ConfigDict(extra="allow")


class Killed(BaseException):
    """What kill -9 is to a process: nothing of it runs any more."""


class Ledgerless:
    """An effect of each class on a target that counts what it did."""

    kind = "hold"

    def __init__(self, target_class: TargetClass) -> None:
        self.target_class = target_class
        self.done: list[str] = []
        self.calls = 0
        self.is_known = True
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []
        self.sleeps = False
        self.wakes = asyncio.Event()

    async def execute(self, effect: Effect, _: Any) -> Mapping[str, Any]:
        self.calls += 1
        if self.before:
            raise self.before.pop()
        if self.target_class is not TargetClass.KEYED or effect.key not in self.done:
            self.done.append(effect.key)
        if self.sleeps:
            self.sleeps = False
            await self.wakes.wait()
        if self.after:
            raise self.after.pop()
        return {"done": len(self.done)}

    async def find(self, effect: Effect) -> Mapping[str, Any] | None:
        if not self.is_known:
            raise EffectUnanswered("the target is away")
        return {"found": True} if effect.key in self.done else None


@pytest.fixture(params=CLASSES)
async def hand(request: pytest.FixtureRequest) -> Hand:
    return await Hand(Ledgerless(request.param)).begin()


async def of(target_class: TargetClass) -> Hand:
    return await Hand(Ledgerless(target_class)).begin()


async def test_after_a_crash_between_call_and_record_nothing_is_done_twice(hand: Hand) -> None:
    hand.effector.after = [Killed()]
    with pytest.raises(Killed):
        await hand.perform(HOLD)
    await hand.taken_over()
    if hand.effector.target_class is TargetClass.BLIND:
        with pytest.raises(OutcomeUnknown):
            await hand.perform(HOLD)
    else:
        assert (await hand.perform(HOLD))["state"] == "executed"
    assert len(hand.effector.done) == 1


async def test_after_a_crash_before_the_call_only_a_keyed_target_is_called(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "WITHIN_S", dict.fromkeys(TargetClass, -1.0))
    hand.effector.before = [Killed()]
    with pytest.raises(Killed):
        await hand.perform(HOLD)
    await hand.taken_over()
    if hand.effector.target_class is TargetClass.KEYED:
        assert (await hand.perform(HOLD))["state"] == "executed"
    else:  # a false alarm, never a double
        with pytest.raises(OutcomeUnknown):
            await hand.perform(HOLD)
        assert hand.effector.done == []


async def test_after_a_crash_between_answer_and_record_the_answer_is_asked_for_or_left_open(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(hand.store, "finish", killed)
        with pytest.raises(Killed):
            await hand.perform(HOLD)
    await hand.taken_over()
    if hand.effector.target_class is TargetClass.BLIND:
        with pytest.raises(OutcomeUnknown):
            await hand.perform(HOLD)
        await hand.store.resolve(hand.effect.key, EffectState.EXECUTED, "anna", "seen")
    assert (await hand.perform(HOLD))["state"] == "executed"
    assert len(hand.effector.done) == 1


async def test_a_worker_stopped_past_its_lease_in_its_call_still_tells_the_truth(hand: Hand) -> None:
    hand.effector.sleeps = True
    asleep = asyncio.create_task(hand.perform(HOLD))
    while not hand.effector.done:
        await asyncio.sleep(0)
    await hand.taken_over()
    if hand.effector.target_class is TargetClass.BLIND:
        with pytest.raises(OutcomeUnknown):
            await hand.perform(HOLD)
        assert hand.state == "outcome_unknown"
    else:
        assert (await hand.perform(HOLD))["state"] == "executed"
    hand.effector.wakes.set()
    assert (await asleep)["state"] == "executed"
    assert (hand.state, len(hand.effector.done)) == ("executed", 1)


async def test_a_target_that_can_be_asked_is_asked_again_before_a_person_is(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = await of(TargetClass.QUERYABLE)
    hand.effector.before = [EffectUnanswered("reset")]
    with pytest.raises(EffectUnanswered, match="reset; the target does not know it yet: asked again") as caught:
        await hand.perform(HOLD)
    assert caught.value.retriable
    await hand.taken_over()
    with pytest.raises(EffectUnanswered, match="does not know it yet"):
        await hand.perform(HOLD)
    hand.effector.done.append(hand.effect.key)  # it was only slow
    assert (await hand.perform(HOLD))["result"] == {"found": True}
    assert hand.effector.calls == 1


async def test_a_target_that_can_never_be_asked_leaves_it_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = await of(TargetClass.QUERYABLE)
    monkeypatch.setitem(effects.WITHIN_S, TargetClass.QUERYABLE, -1.0)
    hand.effector.before, hand.effector.is_known = [EffectUnanswered("reset")], False
    with pytest.raises(EffectUnanswered, match="the target is away"):
        await hand.perform(HOLD)
    with pytest.raises(OutcomeUnknown, match="could not be asked: the target is away"):
        await hand.perform(HOLD)


async def test_a_defect_of_a_blind_effect_is_no_proof_that_nothing_happened() -> None:
    hand = await of(TargetClass.BLIND)
    hand.effector.after = [KeyError("answer")]
    with pytest.raises(OutcomeUnknown, match="'answer'"):
        await hand.perform(HOLD)
    assert len(hand.effector.done) == 1


async def test_two_branches_of_a_graph_that_want_the_same_make_one_call(hand: Hand) -> None:
    acting = hand.acting()
    views = await asyncio.gather(*(acting.perform("act", HOLD) for _ in range(5)))
    assert hand.effector.calls == 1
    assert all(view == views[0] for view in views)


async def test_of_two_branches_that_differ_the_second_ends_or_adopts() -> None:
    hand = await of(TargetClass.BLIND)
    other = Action(kind="hold", target="other")
    await hand.perform(HOLD)
    with pytest.raises(ActionDiverged) as caught:
        await hand.perform(other)
    assert f"effects show {hand.effect.key[:8]}" in caught.value.hint
    view = await hand.acting().perform("act", other, adopts=True)
    assert Action.model_validate(view["action"]) == HOLD


async def test_what_only_a_person_may_allow_is_not_adopted_by_a_branch_that_asks_nobody() -> None:
    hand = await of(TargetClass.BLIND)
    lists = (Allowed("hold", HOLD.target, Anything, asked=True), Allowed("hold", "other", Anything))
    with pytest.raises(GateClosed):  # it is written down, and there is nobody to ask here
        await hand.acting(lists).perform("act", HOLD, asked=True)
    with pytest.raises(ActionForbidden):
        await hand.acting(lists).perform("act", Action(kind="hold", target="other"), adopts=True)
    assert (hand.state, hand.effector.calls) == ("prepared", 0)


async def test_an_answer_outlives_a_database_that_is_away_for_a_moment(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "DATABASE_PAUSES_S", (0.0, 0.0))
    finish, left = hand.store.finish, [2]

    async def away_twice(*arguments: Any, **named: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise DatabaseUnreachable("away")
        await finish(*arguments, **named)

    monkeypatch.setattr(hand.store, "finish", away_twice)
    assert (await hand.perform(HOLD))["state"] == "executed"
    assert (hand.state, hand.effector.calls) == ("executed", 1)
    left[0] = 9
    hand.store.effects[hand.effect.key] = hand.effect.model_copy(update={"state": EffectState.PREPARED})
    with pytest.raises(DatabaseUnreachable):
        await hand.perform(HOLD)


@pytest.mark.parametrize("answer", [{"n": float("nan")}, {"t": "a\x00b"}, {"t": "x" * 200_000}, {"t": object()}])
async def test_an_answer_that_cannot_be_kept_does_not_undo_the_effect(
    hand: Hand, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    async def odd(effect: Effect, cause: Any) -> dict[str, Any]:
        return answer

    monkeypatch.setattr(hand.effector, "execute", odd)
    view = await hand.perform(HOLD)
    assert view["state"] == "executed"
    assert list(view["result"]) == ["unstorable"]


async def test_an_effect_that_says_it_can_be_asked_and_cannot_is_a_defect() -> None:
    hand = await of(TargetClass.QUERYABLE)

    class Deaf:
        kind, target_class = "hold", TargetClass.QUERYABLE

        async def execute(self, *_: Any) -> dict[str, Any]:
            raise EffectUnanswered("reset")

    hand.effector = Deaf()
    with pytest.raises(EffectInvalid, match="no `find`"):
        await hand.perform(HOLD)


async def test_an_effect_that_only_another_worker_has_waits_for_it() -> None:
    hand = await of(TargetClass.KEYED)
    await hand.store.prepare(hand.owner, hand.claim, "act", hand.cause.event_id, Action(kind="rare", target="x"))
    with pytest.raises(EffectUnanswered, match="another may") as caught:
        await hand.acting().perform("act", HOLD, adopts=True)
    assert caught.value.retriable


async def test_the_truth_that_comes_while_it_is_doubted_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = await of(TargetClass.BLIND)
    hand.effector.after = [EffectUnanswered("reset")]
    doubt, begin = hand.store.doubt, hand.store.begin

    async def late(owner: Any, claim: Any, key: str, reason: str) -> bool:
        await hand.store.finish(owner, claim, key, executed=True, result={"late": True}, error="")
        return await doubt(owner, claim, key, reason)

    monkeypatch.setattr(hand.store, "doubt", late)
    assert (await hand.perform(HOLD))["result"] == {"late": True}
    assert (await begin(hand.owner, hand.claim, hand.effect.key, TargetClass.BLIND, 1)).turn == "settled"


async def test_a_run_whose_outcome_is_unknown_waits_and_goes_on_with_a_persons_word() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from tradeloop.domain.runs import RunState
    from tradeloop.engine import worker as worker_module
    from tradeloop.engine.intake import Intake
    from tradeloop.engine.runner import Runner
    from tradeloop.engine.worker import Worker
    from tradeloop.engine.workload import WorkerOptions
    from tradeloop.kafka.messages import to_record
    from tradeloop.testing.log import MemoryLog
    from tradeloop.testing.store import MemoryStore

    def decide(state: Any) -> dict[str, Any]:
        return {"decision": Decision(outcome="HOLD", action=HOLD)}

    store, log, target = MemoryStore(), MemoryLog(), Ledgerless(TargetClass.BLIND)
    target.after = [EffectUnanswered("reset")]
    workflow = Workflow.chain("prices.loaded", decide, desk="prices")
    runner = Runner({"prices.loaded": workflow}, InMemorySaver(), store, {"hold": target}, instance="tests")
    intake = Intake(store, "g", {"prices.loaded": "prices"})
    options = WorkerOptions(desks=("prices",), decisions_topic="decisions")
    worker, stop = Worker(log.reader("events"), intake, store, runner, options), asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_module, "CLAIM_EVERY_S", 0.02)
        running = asyncio.create_task(worker.run(stop))
        await log.publish([to_record(event(), "events")])
        async with asyncio.timeout(20):
            while not any(work.state == "u" for work in store._work.values()):
                await asyncio.sleep(0.002)
            (effect,) = store.effects.values()
            await store.resolve(effect.key, EffectState.EXECUTED, "anna", "seen")
            while not store.finished:
                await asyncio.sleep(0.002)
        stop.set()
        await running
    (outcome,) = store.finished.values()
    assert (outcome.state, outcome.effect["state"], target.calls) == (RunState.DONE, "executed", 1)
