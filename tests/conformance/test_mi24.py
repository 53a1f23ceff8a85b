"""mi-24, statement by statement: the rules, the stores and the code itself; docs/mi24.md has the table.

What needs a working worker is in tests/integration/engine/test_mi24_worker.py.
"""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError
from test_approvals import ACTION, ANNA, BEN, CARA, ONE, OTHER, REASON, Desk, ask, ballot, person

import tradeloop
from asked import approval
from tradeloop import Action
from tradeloop.domain.actions import TargetClass, Turn
from tradeloop.domain.approvals import ApprovalFilter, ApprovalState, ApprovalStep, Ballot, Pattern, Requirement
from tradeloop.domain.people import SERVICE_NAMES, Delegation, Principal, Role, fitting
from tradeloop.errors import (
    AnswerForbidden,
    AnswerInvalid,
    AnswerRefused,
    AnswerTooLate,
    GateClosed,
    GateFull,
    UsageInvalid,
)
from tradeloop.gate import ballot as rules
from tradeloop.gate import faces
from tradeloop.gate.policy import Circumstances, GatePolicy, PolicySource, requirement, reservations
from tradeloop.store.retention import PostgresRetention

SOURCE = Path(tradeloop.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "mi24.md"
TESTS = Path(__file__).parents[1]
PRODUCT = [
    path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0] not in ("bench", "testing")
]
"""Benchmarks and test doubles are no path of an installation's agents."""
HERE = Circumstances("desk")


def policy(**given: Any) -> GatePolicy:
    return GatePolicy.model_validate({"version": "1", "raise_first_of_kind": False, **given})


def rule(**given: Any) -> dict[str, Any]:
    return {"id": "R1", "why": "because", "needs": {"pattern": "maker_checker"}, **given}


def pay(**params: Any) -> Action:
    return Action(kind="trigger_dag", target="pay", params=params)


def needs(policy_: GatePolicy, action: Action, **around: Any) -> Requirement:
    return requirement(policy_, action, Circumstances("desk", **around))


def database_of(desk: Desk) -> Any:
    return desk.approvals._database


async def begun(desk: Desk, claim: Any, action: Action = ACTION, kind: TargetClass = TargetClass.BLIND) -> Any:
    effect = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), action)
    return await desk.effects.begin(desk.owner, claim, effect.key, kind, 60.0), effect


# --- Principles


def test_p1_the_gate_judges_one_action_with_its_resolved_parameters() -> None:
    found = policy(rules=[rule(when={"amount_over": 100}, amount="amount")])
    routine, large = needs(found, pay(amount="100")), needs(found, pay(amount="100.01"))
    assert (routine.pattern, large.pattern) == (Pattern.NONE, Pattern.MAKER_CHECKER)


def test_p2_what_needs_approval_is_policy_that_neither_model_nor_graph_can_lower() -> None:
    found = policy(rules=[rule(when={"target": "pay"})])
    for asked in (False, True):  # what a graph says can only add
        for degraded in (False, True):
            assert needs(found, pay(), asked=asked, degraded=degraded).pattern is Pattern.MAKER_CHECKER
    assert needs(policy(), pay()).rule == "baseline"
    assert needs(policy(), pay(), asked=True).rule == "asked"
    with pytest.raises(ValidationError, match="must ask a person"):
        policy(asked={"pattern": "none"})


def test_p3_a_policy_that_cannot_be_used_releases_nothing(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    source = PolicySource(file)
    for text in (None, "version: [", "version: '1'\nrules: [{id: a}]\n", "version: '1'\nversion: '2'\n", "[]", ""):
        if text is not None:
            file.write_text(text)
        with pytest.raises(GateClosed):
            source.current()
    file.write_text('version: "1"\n')
    assert source.current().version == "1"
    file.unlink()
    with pytest.raises(GateClosed):
        source.current()


async def test_p3_without_a_decision_nothing_begins_and_silence_is_a_no(gate_desk: Desk) -> None:
    desk = gate_desk
    silent = await desk.asked(ONE.model_copy(update={"deadline_s": 1}))
    await database_of(desk).rows("UPDATE approvals SET deadline_at = clock_timestamp() - interval '1 s'")
    with pytest.raises(AnswerTooLate):
        await desk.approvals.answer(silent.approval_id, ballot(), ANNA)
    assert await desk.approvals.expire() == 1
    (claim,) = await desk.claims()
    held, _ = await begun(desk, claim)
    assert (held.turn, "expired" in held.told) == (Turn.HELD, True)


async def test_p4_one_outcome_is_committed_and_the_call_carries_one_key(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    first, effect = await begun(desk, claim, kind=TargetClass.KEYED)
    again, same = await begun(desk, claim, kind=TargetClass.KEYED)  # its caller died: the same call, the same key
    assert (first.turn, again.turn, effect.key) == (Turn.CALL, Turn.CALL, same.key)
    await desk.effects.finish(desk.owner, claim, effect.key, executed=True, result={"n": 1}, error="")
    await desk.effects.finish(desk.owner, claim, effect.key, executed=False, result={}, error="late")
    settled = await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)
    assert (settled.state.value, settled.result) == ("executed", {"n": 1})
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.EXECUTED


def test_p5_confirmation_is_for_low_impact_and_becomes_maker_checker_above() -> None:
    with pytest.raises(ValidationError, match="low impact only"):
        policy(rules=[rule(needs={"pattern": "confirmation", "tier": 2})])
    low = policy(rules=[rule(needs={"pattern": "confirmation"})])
    assert needs(low, pay()).pattern is Pattern.CONFIRMATION
    raised = needs(low, pay(), degraded=True)
    assert (raised.pattern, raised.tier) == (Pattern.MAKER_CHECKER, 2)
    mine = approval(requester="anna.k", requirement=needs(low, pay()))
    assert rules.why_not(mine, ANNA) == ""
    asked = mine.model_copy(update={"requirement": needs(low, pay()).model_copy(update={"on_silence": "escalate"})})
    assert rules.at_deadline(asked).columns["requirement"]["pattern"] == "maker_checker"


@pytest.mark.parametrize("pattern", [Pattern.MAKER_CHECKER, Pattern.N_OF_M, Pattern.SEQUENTIAL])
def test_p5_the_requester_the_agent_services_and_shared_accounts_never_count(pattern: Pattern) -> None:
    steps = (ApprovalStep(), ApprovalStep())
    asked = approval(requester="anna.k", requirement=Requirement(pattern=pattern, rule="r", steps=steps))
    nobody = [ANNA, person("agent:marketdata"), person("robot", kind="service"), *map(person, SERVICE_NAMES)]
    for voter in nobody:
        assert rules.why_not(asked, voter) != "", voter.name
    assert rules.why_not(asked, BEN) == ""
    everything = Principal(name="robot", kind="service", roles=frozenset(Role), delegations=(Delegation(),))
    assert rules.why_not(asked, everything) != ""


def test_p6_every_gated_action_has_a_deadline_and_silence_is_no_yes() -> None:
    assert needs(policy(), pay(), asked=True).deadline_s == 14_400
    with pytest.raises(ValidationError):
        policy(rules=[rule(needs={"pattern": "maker_checker", "deadline_s": 0})])
    with pytest.raises(ValidationError):
        policy(rules=[rule(needs={"pattern": "maker_checker", "on_silence": "approve"})])
    once = approval(requirement=ONE.model_copy(update={"on_silence": "escalate"}))
    assert rules.at_deadline(once).kind == "approval_escalated"
    assert rules.at_deadline(once.model_copy(update={"escalations": 1})).columns["state"] == "expired"
    assert rules.at_deadline(approval()).columns["state"] == "expired"


async def test_p7_action_policy_approver_outcome_and_times_are_one_record(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked(requester="dan.p")
    await desk.approvals.answer(asked.approval_id, ballot(relied_on=("F-01",), channel="web"), ANNA)
    rows = await database_of(desk).rows(
        "SELECT n, kind, body, at FROM audit_records WHERE stream_id = %s ORDER BY n", (asked.run_id,)
    )
    first, second = rows
    assert [(row["n"], row["kind"]) for row in rows] == [(1, "approval_asked"), (2, "approval_answered")]
    told = {name: first["body"][name] for name in ("digest", "policy_hash", "agent", "requester", "version")}
    assert told == {"digest": ACTION.digest, "policy_hash": "policy", "agent": "agent:desk"} | {
        "requester": "dan.p",
        "version": 1,
    }
    assert first["body"]["action"] == ACTION.model_dump(mode="json")
    assert (first["body"]["requirement"]["rule"], len(first["body"]["context_sha256"])) == ("r1", 64)
    vote = second["body"]["vote"]
    assert (vote["principal"], vote["reason"], vote["channel"], vote["digest"]) == (
        "anna.k",
        REASON,
        "web",
        ACTION.digest,
    )
    assert second["body"]["state"] == "approved"
    assert second["at"] >= first["at"]
    chain = await database_of(desk).rows(
        "SELECT prev, hash FROM audit WHERE stream_id = %s ORDER BY n", (asked.run_id,)
    )
    assert chain[1]["prev"] == chain[0]["hash"]


# --- 1 What needs approval


async def test_1a_impact_classes_are_named_by_rules_and_reach_the_record(gate_desk: Desk) -> None:
    desk = gate_desk
    found = policy(
        rules=[
            rule(id="R1", impact=["confidentiality", "dissemination"]),
            rule(id="R2", impact=["financial_loss"], needs={"pattern": "n_of_m", "steps": [{"needs": 2}]}),
        ]
    )
    wanted = needs(found, ACTION)
    assert wanted.impact == ("confidentiality", "dissemination", "financial_loss")  # of every rule that names it
    asked = await desk.asked(wanted)
    assert asked.requirement.impact == wanted.impact
    row = await database_of(desk).row("SELECT body FROM audit_records WHERE stream_id = %s", (asked.run_id,))
    assert row is not None
    assert row["body"]["requirement"]["impact"] == list(wanted.impact)
    with pytest.raises(ValidationError):
        policy(rules=[rule(impact=["reversibility"])])  # a factor, and no class of its own


def test_1b_thresholds_are_strict_and_what_cannot_be_read_is_over() -> None:
    found = policy(rules=[rule(when={"amount_over": 100, "currency": "EUR"}, amount="amount", currency="currency")])
    free = [{"amount": "100"}, {"amount": 100}, {"amount": "-100.00"}, {"amount": "500", "currency": "USD"}]
    over: list[dict[str, Any]] = [
        {"amount": text} for text in ("100.01", "-101", "1e3", "NaN", "Infinity", "1,000", "")
    ]
    over += [{}, {"amount": None}, {"amount": True}, {"amount": ["1"]}, {"amount": "1e999999999"}, {"amount": "１０１"}]
    for params in free:
        assert needs(found, pay(**{"currency": "EUR", **params})).pattern is Pattern.NONE, params
    for params in over:
        assert needs(found, pay(**{"currency": "EUR", **params})).pattern is Pattern.MAKER_CHECKER, params


def test_1b_an_amount_that_cannot_be_read_wants_authority_without_a_bound() -> None:
    found = policy(rules=[rule(amount="amount")])
    small = person("anna.k", delegations=(Delegation(up_to=Decimal(1000)),))
    for text in ("1,000,000", "1e999999999", "one million"):
        asked = approval(requirement=needs(found, pay(amount=text)))
        assert "cannot be read" in rules.why_not(asked, small), text
        assert rules.why_not(asked, BEN) == ""
    assert rules.why_not(approval(requirement=needs(found, pay(amount="1000"))), small) == ""


async def test_1b_a_sum_of_a_day_or_a_session_is_reserved_atomically(gate_desk: Desk) -> None:
    desk = gate_desk
    limits = [
        {"id": per, "why": "w", "amount": "amount", "by": ["party"], "per": per, "limit": 100}
        | {"over": {"pattern": "maker_checker"}}
        for per in ("day", "session")
    ]
    found = policy(aggregates=limits)
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)

    async def over(amount: str, session: str, at: datetime = noon, party: str = "ACME") -> list[str]:
        around = Circumstances("desk", session=session, now=at)
        held = reservations(found, pay(amount=amount, party=party), around)
        full = await desk.approvals.reserve(uuid4(), "act", [(one.scope, one.amount, one.limit) for one in held])
        wanted = requirement(found, pay(amount=amount, party=party), around, [r.rule for r in held if r.scope in full])
        return [one.rule.id for one in held if one.scope in full] if wanted.pattern is not Pattern.NONE else []

    assert await over("60", "s1") == []
    assert await over("60", "s1") == ["day", "session"]
    assert await over("60", "s2") == ["day"]  # another session of the same day
    assert await over("40", "s2", party="\u0410CME") == []  # what looks alike shares its room, and fills it
    assert await over("1", "s3") == ["day"]
    assert await over("1", "s3", at=noon + timedelta(days=1)) == []
    assert await over("x", "s4", at=noon + timedelta(days=1)) == ["day", "session"]  # unreadable takes all


def test_1c_a_sensitive_counterparty_raises_what_is_needed_however_it_is_spelt() -> None:
    found = policy(
        rules=[
            rule(id="plain", needs={"pattern": "maker_checker", "tier": 1}),
            rule(id="vip", when={"params": {"order.party": ["BADBANK", "Société*"]}}, needs={"pattern": "maker_checker"}
                 | {"tier": 3}),
        ]
    )  # fmt: skip
    alike = ["BADBANK", "badbank", "B\u0410DBANK", "BAD\u200bBANK", "ＢＡＤＢＡＮＫ", " BADBANK ", "BA\u0301DBANK"]
    for party in [*alike, "SOCIETE GENERALE", ["BADBANK"], {"name": "BADBANK"}]:
        assert needs(found, pay(order={"party": party})).tier == 3, party
    assert needs(found, pay(order={"party": "GOODBANK"})).tier == 1


def test_1c_no_rule_hides_what_another_wants() -> None:
    found = policy(
        rules=[
            rule(id="two", needs={"pattern": "n_of_m", "tier": 1, "steps": [{"needs": 2}]}, amount="fee"),
            rule(id="high", needs={"pattern": "maker_checker", "tier": 3}, amount="amount"),
            rule(id="free", needs={"pattern": "none"}),
        ]
    )
    wanted = needs(found, pay(fee="5", amount="1000000"))
    assert (wanted.rule, wanted.needs, wanted.tier, wanted.amount) == ("two", 2, 3, Decimal(1_000_000))


def test_1d_a_limit_that_cannot_be_waived_denies_and_is_never_asked(tmp_path: Path) -> None:
    found = policy(
        rules=[
            rule(id="law", when={"params": {"jurisdiction": ["IR", "KP"]}}, impact=["legal_effect"]) | {
                "needs": {"pattern": "deny"}
            },
            rule(id="many", needs={"pattern": "n_of_m", "steps": [{"needs": 9}]}),
        ]
    )  # fmt: skip
    for around in ({}, {"asked": True}, {"degraded": True}, {"first_of_kind": True}):
        wanted = needs(found, pay(jurisdiction="IR"), **around)
        assert (wanted.pattern, wanted.rule) == (Pattern.DENY, "law")
    assert needs(found, pay(jurisdiction="CH")).pattern is Pattern.N_OF_M


CALLS = {
    "trigger_dag": {"effects/trigger_dag.py", "airflow/required_actions.py", "demo/road.py"},
    "create_asset_event": {"effects/asset_event.py"},
    "execute": {"engine/effects.py"},
    "TriggerDag": {"cli/processes.py"},
    "Webhooks": {"cli/processes.py"},
    "PublishEvent": {"cli/processes.py"},
    "EmitAssetEvent": {"cli/processes.py"},
    "LedgeredActing": {"engine/runner.py"},
    "begin": {"engine/effects.py"},
}
"""Every call by which an effect could be carried out, and who makes it.

`required_actions` starts the one DAG that shows questions, `road` the demo's own loads. What else is called `execute`
or `begin` runs SQL or opens a transaction.
"""


def test_1e_every_way_to_an_effect_is_listed_and_mediated() -> None:
    found: dict[str, set[str]] = {name: set() for name in CALLS}
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = ast.unparse(node.args[0]) if node.args else ""
            is_effect = name not in ("execute", "begin") or first in ("effect", "self._owner")
            if name in found and is_effect:
                found[name].add(str(path.relative_to(SOURCE)))
    assert found == CALLS


def test_1e_graphs_have_no_client_credential_shell_or_socket_of_their_own() -> None:
    forbidden = {"httpx", "requests", "urllib.request", "aiohttp", "socket", "subprocess", "psycopg", "confluent_kafka"}
    forbidden |= {"tradeloop.store", "tradeloop.airflow", "tradeloop.kafka", "tradeloop.effects"}
    paths = [path for path in PRODUCT if path.relative_to(SOURCE).parts[0] == "desks"]
    assert paths
    for path in [*paths, SOURCE / "workflow.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not any(name == bad or name.startswith(f"{bad}.") for bad in forbidden), f"{path.name}: {name}"


async def test_1e_who_says_do_it_again_asks_other_people_anew(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked(requester="cara.l")
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    _, effect = await begun(desk, claim)
    assert await desk.effects.doubt(desk.owner, claim, effect.key, "no answer")
    from tradeloop.domain.actions import EffectState

    await desk.effects.resolve(effect.key, EffectState.PREPARED, "ben.o", "the target shows nothing")
    old = await desk.approvals.get(asked.approval_id)
    assert (old.state, old.void_by) == (ApprovalState.CANCELLED, "ben.o")
    held, _ = await begun(desk, claim)
    assert held.turn is Turn.HELD
    assert await desk.approvals.park(desk.owner, claim, [ask(requester=old.void_by)], 500)
    new = (await desk.approvals.of_run(claim.run_id))[-1]
    assert (new.version, new.requester, new.earlier_requesters) == (2, "ben.o", ("cara.l",))
    for voter in (BEN, CARA):
        with pytest.raises(AnswerForbidden, match="you asked"):
            await desk.approvals.answer(new.approval_id, ballot(), voter)
    assert (await desk.approvals.answer(new.approval_id, ballot(), ANNA)).state is ApprovalState.APPROVED


async def test_1f_an_approval_binds_the_digest_for_its_validity_and_is_held_at_the_release(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked(ONE.model_copy(update={"valid_s": 60}))
    answered = await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    assert answered.valid_until is not None
    assert timedelta(seconds=55) < answered.valid_until - datetime.now(UTC) <= timedelta(seconds=61)
    (claim,) = await desk.claims()
    other, _ = await begun(desk, claim, OTHER)
    assert (other.turn, "another action" in other.told) == (Turn.HELD, True)
    await database_of(desk).rows("UPDATE approvals SET valid_until = clock_timestamp() - interval '1 s'")
    await database_of(desk).rows("DELETE FROM effects")
    late, _ = await begun(desk, claim)
    assert (late.turn, "no longer valid" in late.told) == (Turn.HELD, True)


# --- 2 Pause and resume


async def test_2b_an_answered_question_goes_when_its_time_is_over_and_an_open_one_stays(gate_desk: Desk) -> None:
    desk = gate_desk
    database = database_of(desk)
    done, waits = await desk.asked(), await desk.asked()
    await desk.approvals.answer(done.approval_id, ballot("reject"), ANNA)
    await database.rows("DELETE FROM work WHERE run_id = %s", (done.run_id,))
    old = datetime.now(UTC) - timedelta(days=50)
    await database.rows("UPDATE approvals SET asked_at = %(o)s, closed_at = CASE WHEN state = 'rejected' "
                        "THEN %(o)s::timestamptz END", {"o": old})  # fmt: skip
    assert await PostgresRetention(database).remove("approvals", 30) == 1
    left = await database.rows("SELECT approval_id FROM approvals")
    assert [row["approval_id"] for row in left] == [waits.approval_id]
    assert await database.rows("SELECT 1 FROM approval_votes") == []  # with its reasons


async def test_2c_an_unclear_outcome_is_a_persons_and_never_called_again(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    (claim,) = await desk.claims()
    first, effect = await begun(desk, claim)
    again, _ = await begun(desk, claim)  # blind, and its caller did not come back
    assert (first.turn, again.turn) == (Turn.CALL, Turn.UNKNOWN)
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.OUTCOME_UNKNOWN
    once_more, _ = await begun(desk, claim)
    assert once_more.turn is Turn.UNKNOWN
    assert (await desk.effects.prepare(desk.owner, claim, "act", uuid4(), ACTION)).calls == 1
    assert effect.calls == 0


async def test_2d_the_states_are_distinguishable_and_what_ended_stays_ended(gate_desk: Desk) -> None:
    desk = gate_desk
    wanted = ["pending", "approved", "rejected", "expired", "cancelled", "failed", "outcome_unknown", "executed"]
    assert sorted(state.value for state in ApprovalState) == sorted(wanted)
    asked = await desk.asked()
    await desk.approvals.answer(asked.approval_id, ballot("reject"), ANNA)
    for voter in (BEN, CARA):
        with pytest.raises(AnswerTooLate):
            await desk.approvals.answer(asked.approval_id, ballot(), voter)
    assert not await desk.approvals.void(asked.approval_id, "again")
    assert await desk.approvals.expire() == 0
    assert (await desk.approvals.get(asked.approval_id)).state is ApprovalState.REJECTED


# --- 3 The right human


async def test_3a_approvers_follow_from_policy_tier_and_delegated_authority(gate_desk: Desk) -> None:
    desk = gate_desk
    steps = (ApprovalStep(needs=2), ApprovalStep(approvers=("cara.l",)))
    asked = await desk.asked(
        Requirement(pattern=Pattern.SEQUENTIAL, rule="S", steps=steps, amount=Decimal(500), currency="EUR")
    )
    small = person("dan.p", delegations=(Delegation(desk="desk", up_to=Decimal(499)),))
    dollars = person("eva.q", delegations=(Delegation(desk="desk", currency="USD"),))
    elsewhere = person("fay.r", delegations=(Delegation(desk="other"),))
    for voter in (small, dollars, elsewhere):
        with pytest.raises(AnswerForbidden, match="no delegation"):
            await desk.approvals.answer(asked.approval_id, ballot(), voter)
    await desk.approvals.answer(asked.approval_id, ballot(), ANNA)
    second = await desk.approvals.answer(asked.approval_id, ballot(), BEN)
    assert (second.state, second.step) == ("pending", 1)
    with pytest.raises(AnswerForbidden):
        await desk.approvals.answer(asked.approval_id, ballot(), person("gil.s"))
    assert (await desk.approvals.answer(asked.approval_id, ballot(), CARA)).state is ApprovalState.APPROVED


async def test_3a_an_escalation_keeps_to_named_people_and_is_no_way_around_them(gate_desk: Desk) -> None:
    desk = gate_desk
    named = ONE.model_copy(update={"steps": (ApprovalStep(approvers=("anna.k", "cara.l")),)})
    asked = await desk.asked(named, requester="ben.o")
    with pytest.raises(AnswerForbidden):
        await faces.escalate(desk.approvals, asked.approval_id, REASON, person("dan.p"))
    raised = await faces.escalate(desk.approvals, asked.approval_id, REASON, BEN)  # who asked may want more
    assert (raised.requirement.needs, raised.requirement.tier) == (2, 2)
    with pytest.raises(AnswerForbidden):
        await desk.approvals.answer(asked.approval_id, ballot(relied_on=("F-01",)), person("dan.p"))
    for _ in range(rules.MAX_ESCALATIONS - 1):
        await faces.escalate(desk.approvals, asked.approval_id, REASON, ANNA)
    with pytest.raises(AnswerForbidden, match="escalated 3 times"):  # no deadline is put off for ever
        await faces.escalate(desk.approvals, asked.approval_id, REASON, ANNA)


def test_3b_only_authenticated_channels_take_answers_for_what_was_shown() -> None:
    for channel in ("mail", "chat", "link", "slack", ""):
        with pytest.raises(ValidationError):
            Ballot(answer="approve", digest=ACTION.digest, reason=REASON, channel=channel)  # type: ignore[arg-type]
    for digest in ("", "abc", "*", ACTION.digest[:7], ACTION.digest + "0", "%" * 8):
        with pytest.raises(ValidationError):
            Ballot(answer="approve", digest=digest, reason=REASON)
    asked = approval(requirement=ONE.model_copy(update={"tier": 3}))
    now = datetime.now(UTC)
    old = Ballot(answer="approve", digest=asked.digest, reason=REASON, relied_on=("F-01",), last_four=asked.digest[-4:],
                 signed_in_at=now - rules.FRESH_SIGN_IN - timedelta(seconds=1))  # fmt: skip
    with pytest.raises(AnswerInvalid, match="sign in again"):
        rules.rule(asked, old, ANNA, now)
    gone = ANNA.model_copy(update={"is_active": False})  # the right is checked at that moment
    with pytest.raises(AnswerForbidden):
        rules.rule(asked, old, gone, now)


def test_3b_model_text_makes_nothing_of_its_own_where_people_read_it() -> None:
    from tradeloop.airflow.ballot_text import body_of
    from tradeloop.cli.output import printable

    evil = "ok\x1b[2J\x1b]0;x\x07 \u202eevil [click](https://evil.example) <script>alert(1)</script>"
    assert not set("\x1b\x07\u202e") & set(printable(evil))
    facts = [{"id": "F-01", "sentence": evil}]
    shown = body_of(approval(context={"facts": facts, "proposal": {"rationale": "TRUST ME"}}), 1, "")
    assert "TRUST ME" not in shown  # the model's own words are not in Airflow at all
    assert "](https" not in shown
    assert "<script>" not in shown
    assert "\u202e" not in shown


def test_3c_what_is_shown_is_decision_grade_and_marks_the_models_words() -> None:
    from tradeloop.domain.decisions import Decision
    from tradeloop.workflow import told_of

    finding = {"id": "F-01", "sentence": "coverage is 86 %", "source": "check MD02"}
    decision = Decision(
        outcome="ESCALATE", findings=[finding], model={"name": "m", "rationale": "trust me"}, cited=["F-01"]
    )
    told = told_of(decision)
    assert told["facts"] == [finding]
    assert told["proposal"]["rationale"] == "trust me"
    assert "trust me" not in str({name: value for name, value in told.items() if name != "proposal"})
    assert {"reject", "approve"} == set(Ballot.model_fields["answer"].annotation.__args__)  # type: ignore[union-attr]
    assert rules.rule(
        approval(), Ballot(answer="reject", digest=approval().digest, reason=REASON), ANNA, datetime.now(UTC)
    )


def test_3d_conflicts_of_interest_are_refused_by_code_through_every_version() -> None:
    changed = approval(requester="ben.o", earlier_requesters=("anna.k",))
    assert "you asked" in rules.why_not(changed, ANNA)
    assert "you asked" in rules.why_not(changed, BEN)
    assert rules.why_not(changed, CARA) == ""
    for name in ("", " ", "anna k", "ann\u0430.k", "a\u200bnna", "agent:desk", "admin", "ADMIN", "-x", "a" * 201):
        with pytest.raises((UsageInvalid, ValidationError)):
            fitting(Principal(name=name))


# --- 4 The decision


async def test_4a_a_change_is_a_new_linked_version_and_can_only_want_more(gate_desk: Desk, tmp_path: Path) -> None:
    desk = gate_desk
    file = tmp_path / "gate.yaml"
    file.write_text('version: "1"\nraise_first_of_kind: false\nrules: [{id: X, why: never, '
                    'when: {params: {symbol: [BAD]}}, needs: {pattern: deny}}]\n')  # fmt: skip
    source = PolicySource(file)
    two = Requirement(pattern=Pattern.N_OF_M, rule="r2", tier=2, steps=(ApprovalStep(needs=2),))
    asked = await desk.asked(two, requester="dan.p")
    given = ballot(relied_on=("F-01",))
    await desk.approvals.answer(asked.approval_id, given, CARA)
    with pytest.raises(AnswerForbidden, match="denies"):
        await faces.change(desk.approvals, source, asked.approval_id, given, ANNA, {"symbol": "BAD"})
    with pytest.raises(AnswerInvalid, match="nothing is changed"):
        await faces.change(desk.approvals, source, asked.approval_id, given, ANNA, {})
    new = await faces.change(desk.approvals, source, asked.approval_id, given, ANNA, {"symbol": "SPY"})
    old = await desk.approvals.get(asked.approval_id)
    assert (old.state, old.next_id, new.previous_id, new.votes) == ("cancelled", new.approval_id, old.approval_id, ())
    assert (new.requirement.needs, new.requirement.tier) == (2, 2)  # policy alone would want less
    for voter in (ANNA, person("dan.p")):  # who changed it, and who asked first
        with pytest.raises(AnswerForbidden, match="you asked"):
            await desk.approvals.answer(new.approval_id, ballot(action=new.action, relied_on=("F-01",)), voter)
    with pytest.raises(AnswerRefused):
        await desk.approvals.answer(old.approval_id, given, BEN)


async def test_4b_ageing_items_come_first_and_are_counted(gate_desk: Desk) -> None:
    desk = gate_desk
    late = await desk.asked(ONE.model_copy(update={"deadline_s": 900}))
    soon = await desk.asked(ONE.model_copy(update={"deadline_s": 60}))
    found = await desk.approvals.matching(ApprovalFilter(desk="desk"))
    assert [one.approval_id for one in found] == [soon.approval_id, late.approval_id]
    assert all(one.asked_at <= datetime.now(UTC) < one.deadline_at for one in found)


async def test_4c_recurring_rejections_of_a_rule_can_be_found_with_their_reasons(gate_desk: Desk) -> None:
    desk = gate_desk
    for number in range(3):
        asked = await desk.asked(ONE.model_copy(update={"rule": "noisy"}))
        await desk.approvals.answer(
            asked.approval_id, ballot("reject", reason=f"the feed is wrong again {number}"), ANNA
        )
    found = await desk.approvals.matching(ApprovalFilter(states=(ApprovalState.REJECTED,), order="newest"))
    assert [(one.requirement.rule, one.votes[0].reason[-1]) for one in found] == [("noisy", n) for n in "210"]


# --- 5 Evidence


async def test_5a_what_belongs_to_a_decision_is_kept_together(gate_desk: Desk) -> None:
    desk = gate_desk
    asked = await desk.asked(ONE, requester="dan.p")
    new = await desk.approvals.modify(asked.approval_id, ballot(), ANNA, OTHER, ONE, "policy2")
    await desk.approvals.answer(new.approval_id, ballot(action=OTHER), BEN)
    (claim,) = await desk.claims()
    _, effect = await begun(desk, claim, OTHER)
    await desk.effects.finish(desk.owner, claim, effect.key, executed=True, result={}, error="")
    rows = await database_of(desk).rows(
        "SELECT kind, body FROM audit_records WHERE stream_id = %s ORDER BY n", (claim.run_id,)
    )
    kinds = [row["kind"] for row in rows]
    assert kinds == ["approval_asked", "approval_asked", "approval_modified", "approval_answered"]
    assert (rows[1]["body"]["previous_id"], rows[2]["body"]["next_id"]) == (
        str(asked.approval_id),
        str(new.approval_id),
    )
    assert (rows[2]["body"]["by"], rows[3]["body"]["vote"]["principal"]) == ("anna.k", "ben.o")
    done = await desk.approvals.get(new.approval_id)
    assert (done.state, done.closed_at is not None, done.answered_at is not None) == ("executed", True, True)
    assert (done.decision_id, done.event_id, done.run_id) == (asked.decision_id, claim.event_id, claim.run_id)


def test_5b_what_is_claimed_of_evidence_is_stated() -> None:
    page = PAGE.read_text()
    row = next(line for line in page.splitlines() if line.startswith("| 5b "))
    assert "append-only" in row
    assert "non-repudiation" in row


# --- 6 Operation


async def test_6a_a_flood_is_held_back_and_leaves_other_desks_alone(gate_desk: Desk) -> None:
    desk = gate_desk
    for _ in range(3):
        await desk.asked()
    claim = await desk.claimed("flood")
    with pytest.raises(GateFull, match="wait for people already"):
        await desk.approvals.park(desk.owner, claim, [ask()], 3)
    assert await desk.approvals.of_run(claim.run_id) == []
    assert await desk.approvals.park(desk.owner, claim, [ask()], 4)
    with pytest.raises(ValidationError):
        policy(max_pending=0)
    text = (Path(__file__).parents[2] / "docs" / "gate.md").read_text()
    assert "Break-glass is a procedure outside of the agents' path, for two people" in text


async def test_6b_the_figures_of_oversight_can_be_told_from_approvals_and_votes(gate_desk: Desk) -> None:
    desk = gate_desk
    for answer, seen in (("approve", {"model_text_opened": True}), ("approve", {"phrase": True}), ("reject", {})):
        asked = await desk.asked()
        await desk.approvals.answer(asked.approval_id, ballot(answer, seen=seen), ANNA)
    rows = await desk.approvals.matching(ApprovalFilter(states=(), order="newest"))
    votes = [vote for one in rows for vote in one.votes]
    yes = sum(vote.answer == "approve" for vote in votes)
    assert (len(rows), yes, sum(bool(vote.seen.get("model_text_opened")) for vote in votes)) == (3, 2, 1)
    assert sum(bool(vote.seen.get("phrase")) for vote in votes) == 1
    assert {(one.desk, one.requirement.rule, vote.principal) for one in rows for vote in one.votes} == {
        ("desk", "r1", "anna.k")
    }
    assert all(vote.at >= one.asked_at for one in rows for vote in one.votes)


def test_6c_the_adversarial_paths_have_tests() -> None:
    names = set(_tests_of(TESTS / "conformance" / "test_gate_adversarial.py"))
    wanted = ("without_approval", "another_path", "self_approval", "double_execution", "altered_parameters")
    wanted += ("replayed", "forged", "flood", "prefix")
    for word in wanted:
        assert any(word in name for name in names), word


# --- The page

STATEMENTS = [f"P{n}" for n in range(1, 8)]
STATEMENTS += [f"{n}{letter}" for n, last in enumerate("fddcbc", 1) for letter in "abcdef"[: "abcdef".index(last) + 1]]


def test_the_page_has_a_row_for_every_statement_and_names_tests_that_exist() -> None:
    lines = PAGE.read_text().splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ") and "---" not in line}
    assert [name for name in STATEMENTS if name not in rows] == []
    known = {name for path in TESTS.rglob("test_*.py") for name in _tests_of(path)}
    named = {name for line in lines for name in re.findall(r"`(test_\w+)`", line)}
    assert sorted(named - known) == []
    for name in STATEMENTS:
        assert re.search(r"`test_\w+`", rows[name]), name
        assert re.search(r"\| (met|partly)\b", rows[name]), name


def _tests_of(path: Path) -> list[str]:
    return re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
