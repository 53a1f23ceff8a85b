"""From findings to a decision, and what the guard lets out."""

from __future__ import annotations

from typing import Any

import pytest
from desk import POLICY, answer
from hypothesis import given
from hypothesis import strategies as st
from sp500 import month, scaled

from tradeloop.desks.marketdata.findings import Facts, Finding
from tradeloop.desks.marketdata.policy import Outcome, Policy, Rule
from tradeloop.desks.marketdata.verdict import BatchHeader, guard, judge
from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision

HEADER = BatchHeader(symbol="SPX", calendar="XNYS", period="2009-07", asset_class="index", attempt=0, sha256="00")


def facts(*findings: Finding, rows: int = 22, omitted: int = 0) -> Facts:
    return Facts(
        rows=rows, context_rows=120, sessions_expected=22, sessions_present=22, findings=findings, omitted=omitted
    )


def finding(rule: Rule, **changed: Any) -> Finding:
    return Finding(id="F-01", rule=rule, sentence="it is odd").model_copy(update=changed)


def test_without_findings_a_batch_is_accepted() -> None:
    decision = judge(POLICY, HEADER, facts())

    assert (decision.outcome, decision.reasons) == ("ACCEPT", ["0 findings, 22 of 22 sessions"])


@given(st.lists(st.sampled_from(list(Rule)), min_size=1, max_size=6))
def test_one_more_finding_never_makes_the_answer_less_cautious(rules: list[Rule]) -> None:
    fewer = judge(POLICY, HEADER, facts(*(finding(rule) for rule in rules[:-1])))
    more = judge(POLICY, HEADER, facts(*(finding(rule) for rule in rules)))

    assert POLICY.caution(Outcome(more.outcome)) >= POLICY.caution(Outcome(fewer.outcome))


def test_the_weightiest_reason_comes_first() -> None:
    decision = judge(POLICY, HEADER, facts(finding(Rule.OHLC), finding(Rule.EXTREME, value=0.3), finding(Rule.GAP)))

    assert [reason[:4] for reason in decision.reasons] == ["MD19", "MD05", "MD03", "3 fi"]


@pytest.mark.parametrize(
    ("move", "outcome"), [(0.06, "ESCALATE"), (-0.24, "ESCALATE"), (0.25, "QUARANTINE_ROWS"), (-0.6, "QUARANTINE_ROWS")]
)
def test_a_spike_that_could_be_a_crash_is_left_to_a_person(move: float, outcome: str) -> None:
    assert judge(POLICY, HEADER, facts(finding(Rule.SPIKE, value=move, rows=(1,)))).outcome == outcome


@pytest.mark.parametrize(
    ("bad", "rows", "outcome"),
    [(1, 10, "QUARANTINE_ROWS"), (2, 40, "QUARANTINE_ROWS"), (2, 39, "REFETCH"), (3, 40, "REFETCH")],
)
def test_many_rows_to_set_aside_mean_the_batch_again(bad: int, rows: int, outcome: str) -> None:
    found = finding(Rule.OHLC, rows=tuple(range(bad)), count=bad)

    assert judge(POLICY, HEADER, facts(found, rows=rows)).outcome == outcome


def test_one_row_with_two_defects_counts_once() -> None:
    both = [finding(rule, rows=(3,), count=1) for rule in (Rule.SCHEMA, Rule.OHLC)]

    assert judge(POLICY, HEADER, facts(*both)).outcome == "QUARANTINE_ROWS"


def test_a_finding_with_more_rows_than_it_lists_counts_all_of_them() -> None:
    found = finding(Rule.OHLC, rows=tuple(range(50)), count=90)

    assert judge(POLICY, HEADER, facts(found, rows=1000)).outcome == "REFETCH"


@pytest.mark.parametrize(("attempt", "outcome"), [(0, "REFETCH"), (1, "REFETCH"), (2, "ESCALATE"), (3, "ESCALATE")])
def test_after_two_fetches_a_person_is_asked(attempt: int, outcome: str) -> None:
    decision = judge(POLICY, HEADER.model_copy(update={"attempt": attempt}), facts(finding(Rule.GAP)))

    assert decision.outcome == outcome


def test_findings_left_out_are_said_and_keep_the_batch_from_being_published() -> None:
    decision = judge(POLICY, HEADER, facts(omitted=7))

    assert "7 more findings" in decision.reasons[0]
    assert decision.outcome == "REFETCH"


def test_an_action_is_built_from_typed_facts_and_has_no_float() -> None:
    data = month("2009-08")
    data["bars"][9] = scaled(data["bars"][9], 100)

    action = answer(data | {"attempt": 1})[0].action
    assert action is not None
    assert (action.kind, action.target) == ("trigger_dag", "refetch_batch")
    assert {name: value for name, value in action.params.items() if name != "batch_sha256"} == {
        "symbol": "SPX", "calendar": "XNYS", "period": "2009-08", "asset_class": "index", "rows": 21,
        "outcome": "REFETCH", "attempt": 2, "rules": ["MD10"], "dates": ["2009-08-14"],
    }  # fmt: skip


def proposed(outcome: str, **changed: Any) -> Decision:
    return Decision(outcome=outcome, decided_by="model", **changed)


def test_the_guard_lets_no_proposal_be_more_lenient_than_the_policy() -> None:
    released = guard(POLICY, HEADER, facts(finding(Rule.GAP)), proposed("ACCEPT"))

    assert (released.outcome, released.decided_by) == ("REFETCH", "policy")


def test_the_guard_lets_a_proposal_be_more_cautious() -> None:
    released = guard(POLICY, HEADER, facts(), proposed("ESCALATE", reasons=["odd"]))

    assert (released.outcome, released.decided_by, released.action) == ("ESCALATE", "model", None)
    assert released.policy_hash == POLICY.digest


def test_the_guard_answers_an_unknown_outcome_by_policy_and_says_so() -> None:
    released = guard(POLICY, HEADER, facts(), proposed("PUBLISH_ANYWAY"))

    assert (released.outcome, released.degraded) == ("ACCEPT", True)


def test_the_guard_replaces_a_proposed_action_by_the_policys() -> None:
    foreign = Action(kind="trigger_dag", target="wire_money", params={})

    released = guard(POLICY, HEADER, facts(), proposed("ACCEPT", action=foreign))
    assert released.action is not None
    assert released.action.target == "publish_batch"


def test_an_outcome_without_action_in_the_policy_starts_nothing() -> None:
    silent = Policy.model_validate(POLICY.model_dump(by_alias=True) | {"actions": dict.fromkeys(POLICY.actions, None)})

    assert guard(silent, HEADER, facts(), judge(silent, HEADER, facts())).action is None
