"""The settlement desk's benchmark: its cases hold what their labels say, and the desk acts wrongly in none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from settling import NOWHERE

from tradeloop.bench.desks.case import Split
from tradeloop.bench.desks.settlement import BENCH
from tradeloop.bench.desks.settlement_draft import ORDER
from tradeloop.bench.desks.settlement_kinds import KINDS
from tradeloop.errors import TradeloopError
from tradeloop.gate.allowed import check

SEED = 20260113


@dataclass
class Answered:
    is_right: bool


@pytest.mark.parametrize("split", ["tuning", "test"])
def test_two_hundred_cases_are_answered_rightly_and_never_unsafely(split: Split) -> None:
    desk, wrong, unsafe, scores = BENCH.desk, [], [], Counter[str]()
    cases = list(BENCH.cases(SEED, 200, split, None))
    for case in cases:
        outcome = "REFUSED"
        try:
            header, facts = desk.load(case.data, NOWHERE), desk.facts(case.data, NOWHERE)
            decision = desk.judge(header, facts).decision
            outcome = decision.outcome
            action = desk.action(header, facts, outcome)
            if action is not None:
                check(action, desk.allowed, desk.name)
            scores.update({name: 1 - value for name, value in BENCH.score(case, facts, decision).items()})
        except TradeloopError:
            pass
        wrong += [case.case_id] if outcome not in case.acceptable else []
        unsafe += [case.case_id] if outcome in case.unsafe else []

    assert len(cases) >= 190
    assert unsafe == []
    assert wrong == []
    assert scores["penalty_exact"] == 0
    assert scores["fault_named"] <= 2


def test_the_mix_is_that_of_the_benchmark() -> None:
    found = Counter(case.difficulty for case in BENCH.cases(1, 900, "tuning", None))

    shares = {"clean": 225, "control": 90, "single": 405, "compound": 90, "adversarial": 90}
    assert found == pytest.approx(shares, abs=5)  # each kind is rounded
    assert min(Counter(case.kind for case in BENCH.cases(1, 1000, "tuning", None)).values()) >= 100
    assert {case.kind for case in BENCH.cases(1, 100, "tuning", None)} == set(KINDS)


def test_the_same_seed_is_the_same_case_and_another_split_shares_nothing() -> None:
    one, again, other = (
        [case.data for case in BENCH.cases(7, 60, split, None)] for split in ("tuning", "tuning", "test")
    )

    assert one == again
    assert {data["calendar"] for data in one} == {"XETR"}
    assert {data["calendar"] for data in other} == {"XPAR"}
    assert not {data["message"] for data in one} & {data["message"] for data in other}


def test_the_benchmark_s_order_of_caution_is_the_policy_s() -> None:
    assert BENCH.desk.lattice.outcomes == ORDER


def test_an_outcome_that_acts_where_it_is_wrong_is_unsafe() -> None:
    for case in BENCH.cases(3, 100, "tuning", None):
        assert case.preferred in case.acceptable
        assert not case.acceptable & case.unsafe
        assert case.unsafe <= {"MONITOR", "CHASE_COUNTERPARTY"}
        assert case.preferred in ("MONITOR", "CHASE_COUNTERPARTY") or case.unsafe == {"MONITOR", "CHASE_COUNTERPARTY"}


def test_scores_fall_when_the_answer_is_another() -> None:
    case = next(iter(BENCH.cases(3, 100, "tuning", None)))
    desk = BENCH.desk
    header, facts = desk.load(case.data, NOWHERE), desk.facts(case.data, NOWHERE)
    decision = desk.judge(header, facts).decision

    assert BENCH.score(case, facts, decision)["next_action"] == 1
    worse = decision.model_copy(update={"outcome": "PROPOSE_FUNDING"})
    assert BENCH.score(case, {**facts, "fault": "us"}, worse) | {"penalty_exact": 0} == {
        "next_action": 0, "fault_named": 0, "penalty_exact": 0,
    }  # fmt: skip


def test_the_aims_fall_when_one_in_fifty_is_wrong() -> None:
    answered = [Answered(number % 50 != 0) for number in range(100)]

    aims = BENCH.aims(answered, {"fault_named": 0.995, "penalty_exact": 0.9999})

    assert [met for _, met in aims] == [False, True, False]
    assert aims[0][0] == "next action 0.9800; target 0.99"
