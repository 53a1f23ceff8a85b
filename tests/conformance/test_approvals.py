"""What every store of approvals promises the gate; run against memory and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop import Action
from tradeloop.domain.actions import EffectState, TargetClass, Turn
from tradeloop.domain.approvals import (
    Approval,
    ApprovalFilter,
    ApprovalState,
    ApprovalStep,
    Ballot,
    Pattern,
    Requirement,
)
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, new_run_id
from tradeloop.errors import AnswerForbidden, AnswerInvalid, AnswerStale, AnswerTooLate, GateFull, NotFound
from tradeloop.ports import Arrival, Ask
from tradeloop.testing.approvals import MemoryApprovals
from tradeloop.testing.store import MemoryStore

TOPIC = UUID("00000000-0000-0000-0000-0000000000ab")
ACTION = Action(kind="trigger_dag", target="publish_batch", params={"symbol": "SPX"})
OTHER = Action(kind="trigger_dag", target="publish_batch", params={"symbol": "SPY"})
ONE = Requirement(pattern=Pattern.MAKER_CHECKER, rule="r1", why="because", deadline_s=600)
REASON = "the second source agrees"


def person(name: str, **more: Any) -> Principal:
    delegations = more.pop("delegations", (Delegation(),))
    return Principal(name=name, roles=frozenset({Role.APPROVER}), delegations=delegations, **more)


ANNA, BEN, CARA = person("anna.k"), person("ben.o"), person("cara.l")


@dataclass
class Desk:
    """Runs, ledger and approvals of one store."""

    inbox: Any
    runs: Any
    effects: Any
    approvals: Any
    owner: UUID
    _offset: int = 0

    async def claimed(self, subject: str = "s") -> Claim:
        self._offset += 1
        received = Received("events", TOPIC, 0, self._offset, b"k", b"{}")
        arrival = Arrival(received, uuid4(), "some.type", "desk", subject, new_run_id())
        (claim,) = await self.inbox.accept("g", self.owner, [arrival], [], 10)
        return claim

    async def asked(self, requirement: Requirement = ONE, action: Action = ACTION, **more: Any) -> Approval:
        """A question of a new run, which waits for the answer."""
        claim = await self.claimed(f"s{self._offset}")
        assert await self.approvals.park(self.owner, claim, [ask(action, requirement, **more)], 500)
        (found,) = await self.approvals.of_run(claim.run_id)
        return found

    async def claims(self) -> list[Claim]:
        return await self.runs.claim(self.owner, ["desk"], 10)


def ask(action: Action = ACTION, requirement: Requirement = ONE, slot: str = "act", requester: str = "") -> Ask:
    context = {"facts": [{"id": "F-01", "sentence": "x"}, {"id": "F-02", "sentence": "y"}]}
    return Ask("i1", slot, uuid4(), action, requirement, "policy", "agent:desk", requester, context)


def ballot(answer: str = "approve", action: Action = ACTION, **more: Any) -> Ballot:
    return Ballot.model_validate({"answer": answer, "digest": action.digest, "reason": REASON, **more})


@pytest.fixture(params=["memory", "postgres"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    if request.param == "memory":
        store = MemoryStore()
        found = Desk(store, store, store, MemoryApprovals(store), uuid4())
        await found.runs.enlist(found.owner, "test", 60)
        yield found
        return
    from tradeloop.store.approvals import PostgresApprovals
    from tradeloop.store.database import Database
    from tradeloop.store.effects import PostgresEffects
    from tradeloop.store.inbox import PostgresInbox
    from tradeloop.store.runs import PostgresRuns

    async with Database(request.getfixturevalue("database_url"), size=8) as database:
        found = Desk(
            PostgresInbox(database),
            PostgresRuns(database),
            PostgresEffects(database),
            PostgresApprovals(database),
            uuid4(),
        )
        await found.runs.enlist(found.owner, "test", 60)
        yield found


async def test_a_run_that_asks_rests_until_it_is_answered_and_then_goes_on(desk: Desk) -> None:
    asked = await desk.asked()
    assert (asked.state, asked.version, asked.digest) == (ApprovalState.PENDING, 1, ACTION.digest)
    assert await desk.claims() == []
    answered = await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    assert (answered.state, answered.votes[0].principal, answered.votes[0].reason) == ("approved", "anna.k", REASON)
    assert answered.valid_until is not None
    assert [claim.run_id for claim in await desk.claims()] == [asked.run_id]


async def test_a_question_is_asked_once_however_often_it_comes(desk: Desk) -> None:
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot("reject"), ANNA)
    (claim,) = await desk.claims()
    assert await desk.approvals.park(desk.owner, claim, [ask()], 500)
    assert [one.state for one in await desk.approvals.of_run(claim.run_id)] == ["rejected"]
    assert len(await desk.claims()) == 1  # it was answered: nothing to wait for


async def test_a_worker_that_lost_the_run_asks_nothing(desk: Desk) -> None:
    claim = await desk.claimed()
    assert not await desk.approvals.park(uuid4(), claim, [ask()], 500)
    assert await desk.approvals.of_run(claim.run_id) == []


async def test_the_first_answer_wins_and_later_ones_change_nothing(desk: Desk) -> None:
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot("reject"), ANNA)
    with pytest.raises(AnswerTooLate, match=r"rejected by anna\.k"):
        await desk.approvals.answer(asked.approval_id, ballot(), BEN)
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.REJECTED


async def test_an_equal_answer_again_changes_nothing_and_another_is_refused(desk: Desk) -> None:
    two = Requirement(pattern=Pattern.N_OF_M, rule="r2", steps=(ApprovalStep(needs=2),))
    asked = await desk.asked(two)
    once = await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    again = await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    assert (once.state, once.revision, len(again.votes)) == ("pending", again.revision, 1)
    with pytest.raises(AnswerForbidden, match="another person"):
        await desk.approvals.answer(asked.approval_id, ballot("reject"), ANNA)
    assert (await desk.approvals.answer(asked.approval_id, ballot(), BEN)).state is ApprovalState.APPROVED


async def test_many_answers_at_once_count_once(desk: Desk) -> None:
    asked = await desk.asked()
    people = [person(f"p{number}.x") for number in range(20)]
    answers = ["approve" if number % 2 else "reject" for number in range(20)]
    found = await asyncio.gather(
        *(
            desk.approvals.answer(asked.approval_id, ballot(answer), one)
            for one, answer in zip(people, answers, strict=True)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in found) == 1
    assert all(isinstance(one, Approval | AnswerTooLate) for one in found)
    assert len((await desk.approvals.get(asked.approval_id)).votes) == 1


async def test_steps_are_answered_in_their_order_by_their_people(desk: Desk) -> None:
    steps = (ApprovalStep(approvers=("anna.k",)), ApprovalStep(approvers=("ben.o", "cara.l")))
    asked = await desk.asked(Requirement(pattern=Pattern.SEQUENTIAL, rule="r3", steps=steps))
    with pytest.raises(AnswerForbidden, match=r"for anna\.k"):
        await desk.approvals.answer(asked.approval_id, ballot(), BEN)
    first = await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    assert (first.state, first.step) == ("pending", 1)
    assert (await desk.approvals.answer(asked.approval_id, ballot(), CARA)).state is ApprovalState.APPROVED


async def test_neither_agent_nor_requester_nor_a_service_can_approve(desk: Desk) -> None:
    asked = await desk.asked(requester="anna.k")
    voters = (
        (ANNA, "you asked"),
        (person("agent:desk"), "never the agent|no approver"),
        (person("robot", kind="service"), "service"),
        (person("Anonymous"), "several people"),
        (person("ben.o", is_active=False), "no longer active"),
        (Principal(name="viewer", roles=frozenset({Role.VIEWER})), "no approver"),
        (person("dan.p", delegations=(Delegation(desk="other"),)), "no delegation"),
    )
    for voter, reason in voters:
        with pytest.raises(AnswerForbidden, match=reason):
            await desk.approvals.answer(asked.approval_id, ballot(), voter)
    assert (await desk.approvals.get(asked.approval_id)).votes == ()


async def test_authority_ends_at_its_amount_and_currency(desk: Desk) -> None:
    asked = await desk.asked(ONE.model_copy(update={"amount": Decimal("250000.01"), "currency": "EUR"}))
    small = person("anna.k", delegations=(Delegation(desk="desk", up_to=Decimal(250_000), currency="EUR"),))
    other = person("ben.o", delegations=(Delegation(desk="desk", up_to=Decimal(900_000), currency="USD"),))
    for voter in (small, other):
        with pytest.raises(AnswerForbidden, match=r"250,000\.01 EUR"):
            await desk.approvals.answer(asked.approval_id, ballot(), voter)
    large = person("cara.l", delegations=(Delegation(desk="desk", up_to=Decimal(250_001), currency="EUR"),))
    assert (await desk.approvals.answer(asked.approval_id, ballot(), large)).state is ApprovalState.APPROVED


async def test_an_answer_to_another_digest_or_version_is_stale(desk: Desk) -> None:
    asked = await desk.asked()
    for given in (ballot(action=OTHER), ballot(version=2)):
        with pytest.raises(AnswerStale):
            await desk.approvals.answer(asked.approval_id, given, ANNA)


async def test_what_a_tier_wants_is_wanted(desk: Desk) -> None:
    three = await desk.asked(ONE.model_copy(update={"tier": 3}))
    now = datetime.now(UTC)
    whole = {"relied_on": ("F-01",), "last_four": ACTION.digest[-4:], "signed_in_at": now}
    lacking = (
        ("relied_on", {**whole, "relied_on": ()}),
        ("relied_on", {**whole, "relied_on": ("F-99",)}),
        ("last_four", {**whole, "last_four": ""}),
        ("signed_in_at", {**whole, "signed_in_at": None}),
        ("signed_in_at", {**whole, "signed_in_at": now.replace(year=now.year - 1)}),
    )
    for field, given in lacking:
        with pytest.raises(AnswerInvalid) as refused:
            await desk.approvals.answer(three.approval_id, ballot(**given), ANNA)
        assert refused.value.field == field
    assert (await desk.approvals.answer(three.approval_id, ballot("reject"), ANNA)).state is ApprovalState.REJECTED
    again = await desk.asked(ONE.model_copy(update={"tier": 3}))
    assert (await desk.approvals.answer(again.approval_id, ballot(**whole), ANNA)).state is ApprovalState.APPROVED


async def test_silence_ends_as_expired_and_a_later_answer_does_nothing(desk: Desk) -> None:
    asked = await desk.asked(ONE.model_copy(update={"deadline_s": 1}))
    await asyncio.sleep(1.05)
    with pytest.raises(AnswerTooLate, match="expired"):
        await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    assert await desk.approvals.expire() == 1
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.EXPIRED
    assert [claim.run_id for claim in await desk.claims()] == [asked.run_id]


async def test_silence_escalates_once_where_policy_says_so(desk: Desk) -> None:
    steps = (ApprovalStep(approvers=("anna.k",)),)
    asked = await desk.asked(ONE.model_copy(update={"deadline_s": 1, "on_silence": "escalate", "steps": steps}))
    await asyncio.sleep(1.05)
    assert await desk.approvals.expire() == 1
    raised = await desk.approvals.get(asked.approval_id)
    assert (raised.state, raised.escalations, raised.requirement.tier) == ("pending", 1, 2)
    assert raised.deadline_at > asked.deadline_at
    await asyncio.sleep(1.05)
    assert await desk.approvals.expire() == 1
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.EXPIRED


async def test_a_change_is_a_new_version_that_the_changer_cannot_check(desk: Desk) -> None:
    asked = await desk.asked()
    new = await desk.approvals.modify(asked.approval_id, ballot(), ANNA, OTHER, ONE, "policy")
    old = await desk.approvals.get(asked.approval_id)
    assert (old.state, old.next_id, new.version, new.previous_id) == ("cancelled", new.approval_id, 2, old.approval_id)
    assert await desk.claims() == []
    with pytest.raises(AnswerStale):
        await desk.approvals.answer(old.approval_id, ballot(), BEN)
    with pytest.raises(AnswerForbidden, match="you asked"):
        await desk.approvals.answer(new.approval_id, ballot(action=OTHER), ANNA)
    assert (await desk.approvals.answer(new.approval_id, ballot(action=OTHER), BEN)).state is ApprovalState.APPROVED


async def test_the_ledger_begins_only_what_stands_approved(desk: Desk) -> None:
    asked = await desk.asked()

    async def begun(claim: Claim, action: Action = ACTION) -> Any:
        effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), action)
        return await desk.effects.begin(desk.owner, claim, effect.key, TargetClass.KEYED, 60.0), effect

    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    other, _ = await begun(claim, OTHER)
    assert other.turn is Turn.HELD
    (claim,) = [await _given_back(desk, claim)]
    mine, effect = await begun(claim)
    assert mine.turn is Turn.CALL
    await desk.effects.finish(desk.owner, claim, effect.key, executed=True, result={}, error="")
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.EXECUTED
    assert not await desk.approvals.is_first("desk", ACTION)


async def test_what_needs_a_yes_and_has_no_question_is_held(desk: Desk) -> None:
    claim = await desk.claimed()
    effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)
    begun = await desk.effects.begin(desk.owner, claim, effect.key, TargetClass.KEYED, 60.0, gated=True)
    assert begun.turn is Turn.HELD
    assert await desk.effects.refuse(desk.owner, claim, effect.key, "effect_denied", "denied: rule x")
    again = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)
    assert (again.state, again.error) == (EffectState.FAILED, "denied: rule x")


async def test_a_void_approval_releases_nothing(desk: Desk) -> None:
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    assert await desk.approvals.void(asked.approval_id, "policy wants more now")
    assert not await desk.approvals.void(asked.approval_id, "policy wants more now")
    (claim,) = await desk.claims()
    effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)
    begun = await desk.effects.begin(desk.owner, claim, effect.key, TargetClass.KEYED, 60.0)
    assert (begun.turn, "cancelled" in begun.told) == (Turn.HELD, True)
    assert await desk.approvals.park(desk.owner, claim, [ask()], 500)
    assert [one.state for one in await desk.approvals.of_run(claim.run_id)] == ["cancelled", "pending"]


async def test_another_action_of_the_run_voids_the_first_question(desk: Desk) -> None:
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    assert await desk.approvals.park(desk.owner, claim, [ask(OTHER)], 500)
    found = await desk.approvals.of_run(claim.run_id)
    assert [(one.state.value, one.digest) for one in found] == [("cancelled", ACTION.digest), ("pending", OTHER.digest)]


async def test_a_flood_of_questions_is_held_back(desk: Desk) -> None:
    await desk.asked()
    claim = await desk.claimed("other")
    with pytest.raises(GateFull):
        await desk.approvals.park(desk.owner, claim, [ask()], 1)
    assert await desk.approvals.of_run(claim.run_id) == []
    assert await desk.runs.retry(desk.owner, claim, 0.0, "GateFull: later")


async def test_amounts_are_reserved_one_at_a_time_and_given_back(desk: Desk) -> None:
    asked = await desk.asked()
    runs = [asked.run_id, *(uuid4() for _ in range(9))]
    scope = [("A1|desk|2026-11-28", Decimal(30), Decimal(100))]
    found = await asyncio.gather(*(desk.approvals.reserve(run, "act", scope) for run in runs))
    assert sorted(len(over) for over in found) == [0, 0, 0, *[1] * 7]
    first = next(run for run, over in zip(runs, found, strict=True) if not over)
    assert list(await desk.approvals.reserve(first, "act", scope)) == []  # its own room counts once
    if first == asked.run_id:
        await desk.approvals.answer(asked.approval_id, ballot("reject"), ANNA)
        assert list(await desk.approvals.reserve(uuid4(), "act", scope)) == []


async def test_lists_begin_with_the_nearest_deadline_and_go_on_from_a_cursor(desk: Desk) -> None:
    later = await desk.asked(ONE.model_copy(update={"deadline_s": 900}))
    sooner = await desk.asked()
    assert [one.approval_id for one in await desk.approvals.matching(ApprovalFilter())] == [
        sooner.approval_id,
        later.approval_id,
    ]
    (first,) = await desk.approvals.matching(ApprovalFilter(limit=1))
    after = f"{first.deadline_at.isoformat()}~{first.approval_id}"
    assert [one.approval_id for one in await desk.approvals.matching(ApprovalFilter(after=after))] == [
        later.approval_id
    ]
    assert await desk.approvals.matching(ApprovalFilter(desk="another")) == []
    assert [one.approval_id for one in await desk.approvals.find(str(later.approval_id)[:13])] == [later.approval_id]
    with pytest.raises(NotFound):
        await desk.approvals.get(uuid4())


async def test_an_escalation_by_hand_asks_for_more_with_a_new_deadline(desk: Desk) -> None:
    asked = await desk.asked()
    two = Requirement(pattern=Pattern.N_OF_M, tier=2, rule="r1", steps=(ApprovalStep(needs=2),), deadline_s=1200)
    raised = await desk.approvals.escalate(asked.approval_id, two, "too large for one", ANNA)
    assert (raised.requirement.needs, raised.escalations, raised.state) == (2, 1, "pending")
    assert raised.deadline_at > asked.deadline_at


async def _given_back(desk: Desk, claim: Claim) -> Claim:
    assert await desk.runs.retry(desk.owner, claim, 0.0, "X: y")
    await desk.runs.take_over()
    (again,) = await desk.claims()
    return again


async def test_an_escalated_sequence_goes_on_where_it_was(desk: Desk) -> None:
    steps = (ApprovalStep(approvers=("anna.k",)), ApprovalStep(approvers=("ben.o", "cara.l")))
    wanted = Requirement(pattern=Pattern.SEQUENTIAL, rule="r3", steps=steps)
    asked = await desk.asked(wanted)
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    more = wanted.model_copy(update={"steps": (steps[0], steps[1].model_copy(update={"needs": 2}))})
    raised = await desk.approvals.escalate(asked.approval_id, more, "too large for one", BEN)
    assert (raised.step, raised.requirement.needs) == (1, 3)
    for voter, state in ((BEN, "pending"), (CARA, "approved")):
        assert (await desk.approvals.answer(asked.approval_id, ballot(), voter)).state == state


async def test_what_is_to_be_done_again_is_asked_again_of_others(desk: Desk) -> None:
    asked = await desk.asked(requester="dan.p")
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)
    assert (await desk.effects.begin(desk.owner, claim, effect.key, TargetClass.BLIND, 60.0)).turn is Turn.CALL
    assert await desk.effects.doubt(desk.owner, claim, effect.key, "no answer")
    await desk.effects.resolve(effect.key, EffectState.PREPARED, "ben.o", "the target shows nothing")
    void = await desk.approvals.get(asked.approval_id)
    assert (void.state, void.void_by, "ben.o wants it done again" in void.note) == ("cancelled", "ben.o", True)
    assert await desk.approvals.park(desk.owner, claim, [ask(requester="ben.o")], 500)
    new = (await desk.approvals.of_run(claim.run_id))[-1]
    assert (new.version, new.state, new.earlier_requesters) == (2, "pending", ("dan.p",))
