"""What every ledger of side effects promises; run against memory and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop import Action
from tradeloop.domain.actions import Begun, Effect, EffectState, TargetClass, Turn
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.errors import EffectSettled, NotFound, RunLost
from tradeloop.ports import Arrival
from tradeloop.testing.store import MemoryStore

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
ACTION = Action(kind="trigger_dag", target="publish_batch", params={"symbol": "SPX"})
OTHER = Action(kind="trigger_dag", target="refetch_batch")
KEYED, QUERYABLE, BLIND = TargetClass.KEYED, TargetClass.QUERYABLE, TargetClass.BLIND
WITHIN_S = 60.0


@dataclass
class Book:
    """A ledger, its runs, and the ways to look behind them."""

    inbox: Any
    runs: Any
    effects: Any
    owner: UUID
    audit: Any
    replay: Any
    switches: Any
    _offset: int = 0

    async def claimed(self, subject: str = "s") -> Claim:
        """A new run in the owner's hands."""
        self._offset += 1
        received = Received("events", TOPIC, 0, self._offset, b"k", b"{}")
        arrival = Arrival(received, uuid4(), "some.type", "desk", subject, new_run_id())
        (claim,) = await self.inbox.accept("g", self.owner, [arrival], [], 10)
        return claim

    async def heir_of(self, claim: Claim) -> tuple[UUID, Claim]:
        """Another worker that has taken the run over."""
        heir = uuid4()
        await self.runs.enlist(heir, "test", 60)
        await self.runs.renew(self.owner, -1.0)
        await self.runs.take_over()
        (taken,) = await self.runs.claim(heir, [claim.desk], 10)
        assert taken.run_id == claim.run_id
        return heir, taken

    async def prepared(self, claim: Claim, action: Action = ACTION, owner: UUID | None = None) -> Effect:
        return await self.effects.prepare(owner or self.owner, claim, "act", uuid4(), action)

    async def begun(
        self, claim: Claim, effect: Effect, of: TargetClass = KEYED, owner: UUID | None = None, within_s: float = 60
    ) -> Begun:
        return await self.effects.begin(owner or self.owner, claim, effect.key, of, within_s)

    async def ended(self, claim: Claim, effect: Effect, *, executed: bool = True, owner: UUID | None = None) -> None:
        result = {"dag_run_id": "x"} if executed else {}
        error = "" if executed else "422"
        await self.effects.finish(owner or self.owner, claim, effect.key, executed=executed, result=result, error=error)

    async def unknown(self, claim: Claim) -> Effect:
        """An effect whose outcome nobody knows, and its run suspended."""
        effect = await self.prepared(claim)
        await self.begun(claim, effect)
        assert await self.effects.doubt(self.owner, claim, effect.key, "no answer")
        assert await self.runs.suspend(self.owner, claim, RunState.OUTCOME_UNKNOWN, "no answer")
        return effect


@pytest.fixture(params=["memory", "postgres"])
async def book(request: pytest.FixtureRequest) -> AsyncIterator[Book]:
    if request.param == "memory":
        store = MemoryStore()

        async def kinds(run_id: UUID) -> list[str]:
            return [kind for run, kind in store.audit if run == run_id]

        async def again(claim: Claim, owner: UUID) -> Claim:
            store._keys.discard(claim.event_id)
            received = Received("events", TOPIC, 1, len(store.finished), b"k", b"{}")
            arrival = Arrival(received, claim.event_id, "some.type", "desk", claim.subject, new_run_id())
            (made,) = await store.accept("g", owner, [arrival], [], 10)
            return made

        found = Book(store, store, store, uuid4(), kinds, again, store)
        await found.runs.enlist(found.owner, "test", 60)
        yield found
        return
    from tradeloop.store.database import Database
    from tradeloop.store.effects import PostgresEffects
    from tradeloop.store.inbox import PostgresInbox
    from tradeloop.store.runs import PostgresRuns
    from tradeloop.store.switches import PostgresSwitches

    async with Database(request.getfixturevalue("database_url"), size=4) as database:
        inbox = PostgresInbox(database)

        async def kinds(run_id: UUID) -> list[str]:
            rows = await database.rows("SELECT kind FROM audit WHERE stream_id = %s ORDER BY n", (run_id,))
            return [row["kind"] for row in rows]

        async def again(claim: Claim, owner: UUID) -> Claim:
            await database.rows("DELETE FROM inbox_keys WHERE event_id = %s", (claim.event_id,))
            row = await database.row("SELECT count(*) AS n FROM inbox")
            received = Received("events", TOPIC, 1, row["n"] if row else 0, b"k", b"{}")
            arrival = Arrival(received, claim.event_id, "some.type", "desk", claim.subject, new_run_id())
            (made,) = await inbox.accept("g", owner, [arrival], [], 10)
            return made

        found = Book(
            inbox, PostgresRuns(database), PostgresEffects(database), uuid4(), kinds, again, PostgresSwitches(database)
        )
        await found.runs.enlist(found.owner, "test", 60)
        yield found


async def failed_run(book: Book, claim: Claim) -> Claim:
    """End the run as failed; the same event again, as a replay of its dead letter makes it."""
    outcome = Outcome(claim, RunState.FAILED, uuid4(), "desk", "1", error="broken", error_class="Broken")
    assert await book.runs.record(book.owner, [outcome], "decisions") == {claim.run_id}
    return await book.replay(claim, book.owner)


async def test_the_first_action_of_a_slot_is_the_action(book: Book) -> None:
    claim = await book.claimed()
    first = await book.prepared(claim)
    assert first == await book.prepared(claim) == await book.prepared(claim, OTHER)


async def test_a_slot_of_its_own_is_an_effect_of_its_own(book: Book) -> None:
    claim = await book.claimed()
    first = await book.prepared(claim)
    second = await book.effects.prepare(book.owner, claim, "2", uuid4(), ACTION)
    assert (first.slot, second.slot) == ("act", "2")
    assert first.key != second.key


async def test_of_many_branches_at_once_one_action_is_prepared(book: Book) -> None:
    claim = await book.claimed()
    actions = [ACTION, OTHER] * 4
    found = await asyncio.gather(*(book.prepared(claim, action) for action in actions))
    assert len({effect.key for effect in found}) == 1


async def test_an_effect_goes_from_prepared_over_executing_to_executed(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    assert (effect.state, effect.calls) == (EffectState.PREPARED, 0)
    assert await book.begun(claim, effect) == Begun(Turn.CALL)
    await book.ended(claim, effect)
    done = await book.prepared(claim)
    assert (done.state, done.calls, done.result) == (EffectState.EXECUTED, 1, {"dag_run_id": "x"})
    assert done.decision_id == effect.decision_id
    assert await book.begun(claim, effect) == Begun(Turn.SETTLED)


async def test_a_blocked_effect_is_prepared_again_says_why_and_counts_no_call(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    await book.effects.block(book.owner, claim, effect.key, "DAG is paused")
    waiting = await book.prepared(claim)
    assert (waiting.state, waiting.blocked_reason) == (EffectState.PREPARED, "DAG is paused")
    assert waiting.calls == 0


async def test_whoever_lost_the_run_prepares_begins_doubts_and_suspends_nothing(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    stranger = uuid4()
    assert await book.begun(claim, effect, owner=stranger) == Begun(Turn.LOST)
    await book.begun(claim, effect)
    assert not await book.effects.doubt(stranger, claim, effect.key, "why")
    assert not await book.runs.suspend(stranger, claim, RunState.OUTCOME_UNKNOWN, "why")
    with pytest.raises(RunLost):
        await book.prepared(claim, owner=stranger)


@pytest.mark.parametrize(
    ("target_class", "turn", "state"),
    [
        (KEYED, Turn.CALL, EffectState.EXECUTING),
        (QUERYABLE, Turn.ASK, EffectState.EXECUTING),
        (BLIND, Turn.UNKNOWN, EffectState.OUTCOME_UNKNOWN),
    ],
)
async def test_a_call_whose_caller_is_gone_goes_by_what_its_target_can_do(
    book: Book, target_class: TargetClass, turn: Turn, state: EffectState
) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect, target_class)
    heir, taken = await book.heir_of(claim)
    assert await book.begun(taken, effect, target_class, owner=heir) == Begun(turn)
    assert (await book.prepared(taken, owner=heir)).state is state
    if turn is Turn.UNKNOWN:
        assert await book.begun(taken, effect, target_class, owner=heir) == Begun(Turn.UNKNOWN)
        assert await book.audit(claim.run_id) == ["effect_outcome_unknown"]


async def test_an_unclear_answer_is_overdue_after_its_time_and_a_new_call_starts_the_clock_once(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    assert await book.begun(claim, effect, within_s=-1) == Begun(Turn.CALL)
    assert await book.begun(claim, effect, within_s=60) == Begun(Turn.CALL, is_overdue=True)
    assert await book.begun(claim, effect, QUERYABLE) == Begun(Turn.ASK, is_overdue=True)


async def test_what_an_heir_doubted_the_real_caller_still_settles(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect, BLIND)
    heir, taken = await book.heir_of(claim)
    await book.begun(taken, effect, BLIND, owner=heir)
    assert await book.runs.suspend(heir, taken, RunState.OUTCOME_UNKNOWN, "asleep")
    assert await book.runs.claim(heir, ["desk"], 10) == []

    await book.ended(claim, effect)

    (again,) = await book.runs.claim(heir, ["desk"], 10)
    assert (await book.prepared(again, owner=heir)).state is EffectState.EXECUTED
    assert await book.audit(claim.run_id) == ["effect_outcome_unknown", "run_suspended", "effect_told_late"]


async def test_a_no_of_an_earlier_caller_does_not_speak_for_the_last_one(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    heir, taken = await book.heir_of(claim)
    await book.begun(taken, effect, owner=heir)
    await book.ended(claim, effect, executed=False)
    await book.effects.block(book.owner, claim, effect.key, "paused")
    assert (await book.prepared(taken, owner=heir)).state is EffectState.EXECUTING
    await book.ended(taken, effect, executed=False, owner=heir)
    assert (await book.prepared(taken, owner=heir)).state is EffectState.FAILED


async def test_that_it_was_done_outweighs_a_no_and_a_person_who_said_it_was_not(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.unknown(claim)
    await book.effects.resolve(effect.key, EffectState.FAILED, "anna", "the desk has no hold")
    await book.ended(claim, effect)
    (again,) = await book.runs.claim(book.owner, ["desk"], 10)
    assert (await book.prepared(again)).state is EffectState.EXECUTED
    await book.ended(claim, effect, executed=False)
    assert (await book.prepared(again)).state is EffectState.EXECUTED


async def test_a_run_is_not_suspended_for_what_has_been_settled_since(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    await book.effects.doubt(book.owner, claim, effect.key, "no answer")
    await book.ended(claim, effect)
    assert await book.runs.suspend(book.owner, claim, RunState.OUTCOME_UNKNOWN, "no answer")
    (again,) = await book.runs.claim(book.owner, ["desk"], 10)
    assert again.run_id == claim.run_id


async def test_a_settled_effect_is_not_doubted(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    await book.ended(claim, effect)
    assert not await book.effects.doubt(book.owner, claim, effect.key, "late")


async def test_a_suspended_run_keeps_its_subject_and_is_nobodys(book: Book) -> None:
    claim = await book.claimed()
    assert await book.runs.suspend(book.owner, claim, RunState.VERSION_UNAVAILABLE, "version 7 is on no worker")
    assert await book.runs.owned(book.owner) == []
    await book.runs.take_over()
    assert await book.runs.claim(book.owner, ["desk"], 10) == []
    assert not await book.runs.suspend(book.owner, claim, RunState.VERSION_UNAVAILABLE, "again")
    assert await book.audit(claim.run_id) == ["run_suspended"]


@pytest.mark.parametrize("outcome", [EffectState.EXECUTED, EffectState.FAILED, EffectState.PREPARED])
async def test_a_persons_word_settles_the_effect_and_lets_the_run_go_on(book: Book, outcome: EffectState) -> None:
    claim = await book.claimed()
    effect = await book.unknown(claim)

    resolved = await book.effects.resolve(effect.key, outcome, "anna", "seen at the desk")

    (again,) = await book.runs.claim(book.owner, ["desk"], 10)
    found = await book.prepared(again)
    assert resolved.state is found.state is outcome
    assert found.calls == 1
    assert found.result == (
        {"resolved_by": "anna", "reason": "seen at the desk"} if outcome is EffectState.EXECUTED else {}
    )
    assert ("anna says that it did not happen" in found.error) is (outcome is EffectState.FAILED)
    assert (await book.audit(claim.run_id))[-1] == "effect_resolved"
    if outcome is EffectState.PREPARED:
        assert await book.begun(again, effect, BLIND) == Begun(Turn.CALL)


async def test_a_second_word_is_refused_and_changes_nothing(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.unknown(claim)
    await book.effects.resolve(effect.key, EffectState.EXECUTED, "anna", "seen")
    with pytest.raises(EffectSettled, match="is executed"):
        await book.effects.resolve(effect.key, EffectState.PREPARED, "ben", "not seen")
    with pytest.raises(NotFound):
        await book.effects.resolve("0" * 64, EffectState.PREPARED, "ben", "not seen")


async def test_a_run_with_two_unknown_effects_waits_for_both(book: Book) -> None:
    claim = await book.claimed()
    second = await book.effects.prepare(book.owner, claim, "2", uuid4(), OTHER)
    await book.begun(claim, second)
    await book.effects.doubt(book.owner, claim, second.key, "no answer")
    first = await book.unknown(claim)
    await book.effects.resolve(first.key, EffectState.EXECUTED, "anna", "seen")
    assert await book.runs.claim(book.owner, ["desk"], 10) == []
    await book.effects.resolve(second.key, EffectState.EXECUTED, "anna", "seen")
    assert len(await book.runs.claim(book.owner, ["desk"], 10)) == 1


async def test_a_replay_meets_the_effect_of_its_first_life(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    await book.ended(claim, effect)
    replayed = await failed_run(book, claim)
    found = await book.prepared(replayed)
    assert (found.state, found.key, found.decision_id) == (EffectState.EXECUTED, effect.key, effect.decision_id)
    assert found.run_id == replayed.run_id
    assert (await book.prepared(replayed, OTHER)).key == effect.key  # done is done, whatever the replay wants


async def test_a_replay_takes_an_open_call_over_as_an_heir_does(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect, BLIND)
    replayed = await failed_run(book, claim)
    assert (await book.prepared(replayed)).state is EffectState.EXECUTING
    assert await book.begun(replayed, effect, BLIND) == Begun(Turn.UNKNOWN)
    assert await book.runs.suspend(book.owner, replayed, RunState.OUTCOME_UNKNOWN, "asleep")
    assert await book.runs.claim(book.owner, ["desk"], 10) == []


@pytest.mark.parametrize("action", [ACTION, OTHER])
async def test_a_replay_prepares_anew_what_had_failed(book: Book, action: Action) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    await book.ended(claim, effect, executed=False)
    assert (await book.prepared(claim, OTHER)).state is EffectState.FAILED  # in the same life a no is a no
    replayed = await failed_run(book, claim)
    found = await book.prepared(replayed, action)
    assert (found.state, found.action, found.calls, found.error) == (EffectState.PREPARED, action, 0, "")
    assert (found.decision_id == effect.decision_id) is (action == ACTION)
    assert await book.begun(replayed, found) == Begun(Turn.CALL)
    assert "effect_prepared_again" in await book.audit(replayed.run_id)


async def test_what_was_never_called_gives_way_to_an_heir_who_decides_otherwise(book: Book) -> None:
    claim = await book.claimed()
    await book.prepared(claim)
    heir, taken = await book.heir_of(claim)
    found = await book.prepared(taken, OTHER, owner=heir)
    assert (found.action, found.state) == (OTHER, EffectState.PREPARED)
    assert await book.begun(taken, found, owner=heir) == Begun(Turn.CALL)


async def test_what_was_called_does_not_give_way(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.begun(claim, effect)
    heir, taken = await book.heir_of(claim)
    assert (await book.prepared(taken, OTHER, owner=heir)).key == effect.key


@pytest.mark.parametrize("scope", ["global", "desk:desk"])
async def test_no_effect_begins_while_a_switch_is_stopped(book: Book, scope: str) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    assert await book.switches.turn(scope, stopped=True, by="anna", reason="wrong prices")

    begun = await book.begun(claim, effect)

    assert begun == Begun(Turn.STOPPED, told=f"switched off: {scope} stopped by anna: wrong prices")
    assert await book.effects.stopped("desk") == begun.told
    assert not await book.switches.turn(scope, stopped=True, by="ben", reason="again")
    assert await book.switches.turn(scope, stopped=False, by="ben", reason="right again")
    assert (await book.begun(claim, effect)).turn is Turn.CALL
    assert [switch.stopped for switch in await book.switches.all()] == [False]


async def test_another_desks_switch_stops_nothing(book: Book) -> None:
    claim = await book.claimed()
    effect = await book.prepared(claim)
    await book.switches.turn("desk:other", stopped=True, by="anna", reason="theirs")

    assert (await book.begun(claim, effect)).turn is Turn.CALL


async def test_a_call_that_may_have_been_made_is_asked_for_but_not_repeated_while_stopped(book: Book) -> None:
    keyed, queried = await book.claimed("a"), await book.claimed("b")
    effects = [await book.prepared(claim) for claim in (keyed, queried)]
    await book.begun(keyed, effects[0])
    await book.begun(queried, effects[1])
    await book.switches.turn("global", stopped=True, by="anna", reason="stop")

    assert (await book.begun(keyed, effects[0])).turn is Turn.STOPPED
    assert (await book.begun(queried, effects[1], QUERYABLE)).turn is Turn.ASK


async def test_a_release_wakes_what_rested_because_of_the_stop_and_nothing_else(book: Book) -> None:
    stopped, broken = await book.claimed("a"), await book.claimed("b")
    await book.switches.turn("global", stopped=True, by="anna", reason="stop")
    told = await book.effects.stopped("desk")
    assert await book.runs.retry(book.owner, stopped, 3600, f"SwitchedOff: {told}")
    assert await book.runs.retry(book.owner, broken, 3600, "AirflowUnreachable: no answer")

    await book.switches.turn("global", stopped=False, by="anna", reason="go")
    await book.runs.take_over()

    (claim,) = await book.runs.claim(book.owner, ["desk"], 10)
    assert (claim.run_id, claim.fails) == (stopped.run_id, 0)
