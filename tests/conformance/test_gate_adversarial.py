"""Attacks on the gate (mi-24 6c): each must come to nothing, whatever an agent, a producer or a person tries."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from test_approvals import ACTION, ANNA, BEN, ONE, OTHER, Desk, ask, ballot, person

from asked import approval
from tradeloop import Action, WorkflowEvent
from tradeloop.domain.actions import Effect, TargetClass, Turn
from tradeloop.domain.approvals import ApprovalState, Ballot
from tradeloop.domain.events import EventMetadata, EventPayload
from tradeloop.domain.people import Delegation, Principal
from tradeloop.domain.records import Lane
from tradeloop.effects.publish_event import RESERVED, PublishEvent
from tradeloop.errors import ActionForbidden, AnswerForbidden, AnswerRefused, AnswerStale, AnswerTooLate, GateFull
from tradeloop.gate import ballot as rules
from tradeloop.gate.allowed import Allowed, check
from tradeloop.gate.look_alikes import folded
from tradeloop.gate.policy import Circumstances, GatePolicy, requirement
from tradeloop.testing.store import MemoryStore


async def turn_of(desk: Desk, claim: Any, action: Action = ACTION, **more: Any) -> Turn:
    effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), action)
    begun = await desk.effects.begin(desk.owner, claim, effect.key, TargetClass.BLIND, 60.0, **more)
    return Turn(begun.turn)


async def test_nothing_is_carried_out_without_approval_in_any_state_of_a_question(gate_desk: Desk) -> None:
    desk = gate_desk
    pending = await desk.asked()
    with_no = await desk.asked()
    await desk.approvals.answer(with_no.approval_id, ballot("reject"), ANNA)
    void = await desk.asked()
    await desk.approvals.void(void.approval_id, "policy wants more")
    claims = await desk.claims()
    assert pending.run_id not in {claim.run_id for claim in claims}  # nobody can even own it
    assert [await turn_of(desk, claim) for claim in claims] == [Turn.HELD, Turn.HELD]


async def test_another_path_a_forged_fence_or_owner_begins_nothing(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)
    begun = await desk.effects.begin(uuid4(), claim, effect.key, TargetClass.BLIND, 60.0)
    assert begun.turn is Turn.LOST
    other = await desk.claimed("other")  # another run cannot use this one's yes
    assert await turn_of(desk, other, gated=True) is Turn.HELD


async def test_self_approval_fails_for_every_spelling_of_a_name(gate_desk: Desk) -> None:
    desk = gate_desk
    for requester in ("anna.k", "Anna.K", " anna.k ", "anna\u200b.k", "\u0430nna.k", "ＡＮＮＡ.k", "ánna.k"):
        asked = await desk.asked(requester=requester)
        with pytest.raises(AnswerForbidden, match="you asked"):
            await desk.approvals.answer(asked.approval_id, ballot(), ANNA)


async def test_self_approval_by_changing_it_back_and_forth_fails(gate_desk: Desk) -> None:
    desk = gate_desk
    first = await desk.asked(requester="anna.k")
    second = await desk.approvals.modify(first.approval_id, ballot(), BEN, OTHER, ONE, "policy")
    third = await desk.approvals.modify(
        second.approval_id, ballot(action=OTHER), person("cara.l"), ACTION, ONE, "policy"
    )
    for voter in (ANNA, BEN, person("cara.l")):
        with pytest.raises(AnswerForbidden, match="you asked"):
            await desk.approvals.answer(third.approval_id, ballot(), voter)
    assert (await desk.approvals.answer(third.approval_id, ballot(), person("dan.p"))).state is ApprovalState.APPROVED


async def test_self_approval_through_a_chain_of_events_fails() -> None:
    store = MemoryStore()
    cause = WorkflowEvent(
        event_id=uuid4(),
        event_type="some.type",
        timestamp=datetime.now(UTC),
        source="tests",
        workflow_id="w",
        workflow_run_id="r",
        subject="SPX",
        payload=EventPayload(data={}),
        metadata=EventMetadata.model_validate({"requested_by": "anna.k"}),
    )
    action = Action(kind="publish_event", target="other.type", params={"data": {"requested_by": "somebody.else"}})
    effect = Effect(key="a" * 64, run_id=uuid4(), decision_id=uuid4(), slot="act", action=action, state="executing")
    await PublishEvent(store, "events", "test").execute(effect, cause)
    (row,) = await store.pending([Lane.OUTBOX], 10)
    told = WorkflowEvent.from_json(row.record.value)
    assert (told.metadata.model_extra or {})["requested_by"] == "anna.k"


async def test_double_execution_by_doubled_answers_and_retries_is_not_possible(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked()
    people = [person(f"p{number}.x") for number in range(10)]
    given = [desk.approvals.answer(asked.approval_id, ballot(), one) for one in people for _ in range(2)]
    found = await asyncio.gather(*given, return_exceptions=True)
    assert len({one.votes[0].principal for one in found if not isinstance(one, BaseException)}) == 1
    (claim,) = await desk.claims()
    turns = await asyncio.gather(*(turn_of(desk, claim) for _ in range(5)))
    assert turns.count(Turn.CALL) == 1
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.OUTCOME_UNKNOWN


class Transfer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    account: str
    amount: str


@pytest.mark.parametrize(
    "params",
    [
        {"account": "CH93", "amount": "10", "memo": "x"},
        {"account": "CH93", "amount": 10},
        {"account": "CH93", "amount": ["10"]},
        {"account": "CH93"},
        {"account": {"iban": "CH93"}, "amount": "10"},
        {"Account": "CH93", "amount": "10"},
        {"\u0430ccount": "CH93", "amount": "10"},
        {"account": "CH93", "amount": None},
    ],
)
def test_altered_parameters_do_not_pass_the_allow_list(params: dict[str, Any]) -> None:
    with pytest.raises(ActionForbidden):
        check(Action(kind="pay", target="bank", params=params), (Allowed("pay", "bank", Transfer),), "desk", asked=True)


def test_altered_parameters_have_another_digest_and_equal_ones_the_same() -> None:
    base = Action(kind="pay", target="bank", params={"account": "CH93", "amount": "10"})
    assert Action(kind="pay", target="bank", params={"amount": "10", "account": "CH93"}).digest == base.digest
    others: list[dict[str, Any]] = [{"amount": "10.0"}, {"amount": 10}, {"amount": "10 "}, {"account": "\u0421H93"}]
    others += [{"account": "CH\u200b93"}, {"account": "ch93"}, {"x": None}, {"account": "CH93\u0301"}]
    digests = {Action(kind="pay", target="bank", params={**base.params, **one}).digest for one in others}
    assert len(digests) == len(others)
    assert base.digest not in digests
    assert Action(kind="pay", target="bаnk", params=base.params).digest != base.digest  # Cyrillic
    for value in (0.1, {"deep": [1.5]}, float("nan")):
        with pytest.raises(ValidationError, match="float"):
            Action(kind="pay", target="bank", params={"amount": value})


async def test_altered_parameters_behind_an_earlier_decision_are_held(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    for params in ({"symbol": "SPX", "more": True}, {"symbol": "spx"}, {"symbol": "SP\u0425"}):
        altered = ACTION.model_copy(update={"params": params})
        with_it = await desk.effects.prepare(desk.owner, claim, f"act{len(params)}{params}", uuid4(), altered)
        begun = await desk.effects.begin(desk.owner, claim, with_it.key, TargetClass.BLIND, 60.0, gated=True)
        assert begun.turn is Turn.HELD


async def test_a_digest_prefix_that_two_actions_share_lets_neither_pass_for_the_other(gate_desk: Desk) -> None:
    desk = gate_desk
    one, two = _colliding()
    assert one.digest[:8] == two.digest[:8]
    assert one.digest != two.digest
    asked = await desk.asked(action=one)
    new = await desk.approvals.modify(asked.approval_id, ballot(action=one), BEN, two, ONE, "policy")
    short = {"digest": one.digest[:8]}
    with pytest.raises(AnswerStale):  # the old question's answer is no answer to the new one, though it would fit
        await desk.approvals.answer(asked.approval_id, ballot(action=one, **short), ANNA)
    with pytest.raises(AnswerStale):  # a page sends the whole digest and the version
        await desk.approvals.answer(new.approval_id, ballot(action=one), ANNA)
    with pytest.raises(AnswerStale):
        await desk.approvals.answer(new.approval_id, ballot(action=one, version=1, **short), ANNA)
    counted = await desk.approvals.answer(new.approval_id, ballot(action=two), ANNA)
    assert counted.votes[0].digest == two.digest  # the record has what was released, whole
    (claim,) = await desk.claims()
    assert await turn_of(desk, claim, one) is Turn.HELD


def _colliding() -> tuple[Action, Action]:
    """Two actions whose digests begin with the same 8 digits: what an attacker finds in less than a second."""
    seen: dict[str, int] = {}
    for number in range(1_000_000):
        text = f'{{"kind":"k","params":{{"n":{number}}},"target":"t"}}'
        begins = hashlib.sha256(text.encode()).hexdigest()[:8]
        if begins in seen:
            pair = [Action(kind="k", target="t", params={"n": n}) for n in (seen[begins], number)]
            return pair[0], pair[1]
        seen[begins] = number
    raise AssertionError("no pair")


async def test_a_replayed_answer_counts_for_no_next_version_and_no_other_question(gate_desk: Desk) -> None:
    desk = gate_desk
    first = await desk.asked()
    given = ballot(version=1)
    await desk.approvals.answer(first.approval_id, given, ANNA)
    await desk.approvals.void(first.approval_id, "policy wants more now")
    (claim,) = await desk.claims()
    assert await desk.approvals.park(desk.owner, claim, [ask()], 500)  # the same action once more
    new = (await desk.approvals.of_run(claim.run_id))[-1]
    assert (new.version, new.digest, new.votes) == (2, first.digest, ())
    with pytest.raises(AnswerStale):
        await desk.approvals.answer(new.approval_id, given, ANNA)
    with pytest.raises(AnswerTooLate):
        await desk.approvals.answer(first.approval_id, ballot("reject"), BEN)
    other = await desk.asked()  # the same action of another run: its own question, its own answers
    assert (other.digest, other.state, other.votes) == (first.digest, ApprovalState.PENDING, ())


@pytest.mark.parametrize(
    "voter",
    [
        person("robot", kind="service"),
        *(person(name) for name in ("admin", "Admin", "ROOT", "anonymous", "tradeloop", "airflow", "system")),
        *(
            person(name)
            for name in ("a\u200bdmin", "\u0430dmin", "anna\u202e.k", "anna k", " anna.k", "agent:marketdata")
        ),
        Principal(name="cara.l", delegations=(Delegation(),)),
        person("dan.p", delegations=()),
        person("eva.q", is_active=False),
    ],
    ids=lambda voter: ascii(voter.name),
)
def test_a_forged_identity_counts_for_nothing(voter: Principal) -> None:
    asked = approval()
    given = Ballot(answer="approve", digest=asked.digest, reason="the second source agrees", relied_on=("F-01",))
    with pytest.raises(AnswerForbidden):
        rules.rule(asked, given, voter, datetime.now(UTC))


async def test_two_names_that_look_alike_are_not_two_persons(gate_desk: Desk) -> None:
    desk = gate_desk
    for one, other in (("anna.k", "Anna.K"), ("anna.k", "аnna.k"), ("anna.k", "anna\u200b.k")):
        assert folded(one) == folded(other)
    two = ONE.model_copy(update={"steps": (ONE.steps[0].model_copy(update={"needs": 2}),)})
    asked = await desk.asked(two)
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    with pytest.raises(AnswerRefused):
        await desk.approvals.answer(asked.approval_id, ballot(), person("Anna.K"))


async def test_a_flood_of_questions_and_answers_is_bounded(gate_desk: Desk) -> None:
    desk = gate_desk
    for _ in range(5):
        await desk.asked()
    for number in range(5):
        claim = await desk.claimed(f"flood{number}")
        with pytest.raises(GateFull):
            await desk.approvals.park(desk.owner, claim, [ask(slot=f"s{n}") for n in range(3)], 5)
    with pytest.raises(ValidationError):
        Ballot(answer="approve", digest="a" * 64, reason="x" * 501)
    with pytest.raises(ValidationError):
        Ballot(answer="approve", digest="a" * 64, reason="a reason of words", relied_on=tuple("x" * 51))


def test_splitting_an_amount_over_look_alike_accounts_shares_one_limit() -> None:
    from tradeloop.gate.policy import reservations

    limit = {"id": "A", "why": "w", "amount": "amount", "by": ["party"], "limit": 100, "over": {"pattern": "deny"}}
    policy = GatePolicy.model_validate({"version": "1", "aggregates": [limit]})
    parties = ("ACME", "acme", "ACME ", "\u0410CME", "AC\u200bME", "ÁCME")
    actions = [Action(kind="pay", target="t", params={"amount": "60", "party": party}) for party in parties]
    assert len({reservations(policy, one, Circumstances("d"))[0].scope for one in actions}) == 1
    assert reservations(policy, actions[0], Circumstances("d"))[0].amount == Decimal(60)


def test_a_rule_that_frees_frees_exactly_what_it_says() -> None:
    free = {"id": "F", "why": "w", "when": {"target": "wall"}, "needs": {"pattern": "none"}}
    policy = GatePolicy.model_validate({"version": "1", "baseline": {"pattern": "maker_checker"}, "rules": [free]})
    for target in ("Wall", "w\u0430ll", "wall\u200b", "wall "):
        assert requirement(policy, Action(kind="n", target=target), Circumstances("d")).pattern == "maker_checker"
    assert requirement(policy, Action(kind="n", target="wall"), Circumstances("d")).pattern == "none"


def test_an_agent_cannot_forge_decisions_or_ends_of_runs() -> None:
    assert "decision.recorded" in RESERVED
    assert len(RESERVED) > 5
