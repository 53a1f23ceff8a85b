"""The risk-limits desk's benchmark: cases hold what their labels say, and the desk misses no breach."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from limiting import NOWHERE

from tradeloop.bench.desks import limits_truth as truth
from tradeloop.bench.desks.case import Case, Split, generator
from tradeloop.bench.desks.limits import BENCH, f1_by_class, is_exact
from tradeloop.bench.desks.limits_cases import made
from tradeloop.bench.desks.limits_kinds import KINDS
from tradeloop.errors import TradeloopError
from tradeloop.gate.allowed import check

SEED = 20261127


@dataclass
class Answered:
    case: Case
    is_right: bool = True
    facts: dict[str, Any] = field(default_factory=dict)


def answered(cases: list[Case]) -> tuple[list[str], list[str], dict[str, float]]:
    """Ids of those that are wrong and unsafe, and the worst of each score."""
    desk, wrong, unsafe, scores = BENCH.desk, [], [], {}
    for case in cases:
        outcome = "REFUSED"
        try:
            header, facts = desk.load(case.data, NOWHERE), desk.facts(case.data, NOWHERE)
            decision = desk.judge(header, facts).decision
            outcome = decision.outcome
            action = desk.action(header, facts, outcome)
            if action is not None:
                check(action, desk.allowed, desk.name)
            for name, value in BENCH.score(case, facts, decision).items():
                scores[name] = min(value, scores.get(name, 1.0))
        except TradeloopError:
            pass
        wrong += [case.case_id] if outcome not in case.acceptable else []
        unsafe += [case.case_id] if outcome in case.unsafe else []
    return wrong, unsafe, scores


@pytest.mark.parametrize("split", ["tuning", "test"])
def test_cases_of_all_kinds_are_answered_rightly_and_never_unsafely(split: Split) -> None:
    cases = list(BENCH.cases(SEED, 150, split, None))

    wrong, unsafe, scores = answered(cases)

    assert (wrong, unsafe) == ([], [])
    assert scores == {"answered_right": 1, "utilisation_exact": 1, "breach_recall": 1, "cause_named": 1}


def test_books_of_real_fills_are_answered_rightly(tmp_path: Path) -> None:
    _fills(tmp_path)
    for split in ("tuning", "test"):
        cases = list(BENCH.cases(SEED, 60, split, tmp_path))
        assert any("REAL" in case.data["prices"]["text"] for case in cases)
        assert answered(cases)[:2] == ([], [])


def _fills(folder: Path) -> None:
    """A folder such as pyfolio-txns: fills, and values at the end of each day."""
    names = ["REALA", "REALB", "REALC", "REALD", "REALE"]
    with (folder / "test_txn.csv").open("w", newline="") as fills, (folder / "test_pos.csv").open("w") as values:
        txn, pos = csv.writer(fills), csv.writer(values)
        txn.writerow(["Unnamed: 0", "amount", "price", "sid", "symbol", "txn_dollars"])
        pos.writerow(["index", *names, "cash"])
        for at in range(400):
            day = f"{2005 + at // 200}-{1 + at % 200 // 17:02d}-{1 + at % 200 % 17:02d} 00:00:00+00:00"
            prices = [10 * (number + 1) + (at * (number + 3)) % 7 / 10 for number in range(5)]
            for number, name in enumerate(names):
                txn.writerow([day, 10 if at else 1000, prices[number], number, name, 0])
            pos.writerow([day, *(f"{(1000 + 10 * at) * price:.4f}" for price in prices), "5.0"])


def test_the_mix_and_the_least_of_a_kind() -> None:
    few = Counter(case.difficulty for case in BENCH.cases(1, 200, "tuning", None))
    assert few["clean"] == 50
    assert few["control"] == 20
    assert {kind for kind, _ in KINDS.items()} == {case.kind for case in BENCH.cases(1, 40, "test", None)}


def test_a_whole_run_has_a_hundred_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradeloop.bench.desks.limits.made", lambda kind, *_: kind)

    counted = Counter(BENCH.cases(1, 1000, "test", None))  # type: ignore[arg-type]

    assert min(counted.values()) >= 100


def test_the_same_seed_is_the_same_case_and_another_split_shares_nothing() -> None:
    one, again, other = (
        [case.data for case in BENCH.cases(7, 40, split, None)] for split in ("tuning", "tuning", "test")
    )

    assert one == again
    assert not {data["prices"]["text"] for data in one} & {data["prices"]["text"] for data in other}
    assert not {data["as_of"] for data in one} & {data["as_of"] for data in other}


def test_unsafe_is_all_that_is_less_cautious_than_what_is_right() -> None:
    for case in BENCH.cases(3, 100, "tuning", None):
        assert case.preferred in case.acceptable
        assert not case.acceptable & case.unsafe
        assert case.unsafe == set(truth.ORDER[: truth.ORDER.index(case.preferred)])
    assert BENCH.desk.lattice.outcomes == truth.ORDER


def test_scores_and_aims_fall_when_figures_and_answers_are_others() -> None:
    case = made("exposure", 1, "tuning", generator(2, "limits", "exposure", 1, "tuning"), None)
    desk = BENCH.desk
    header, facts = desk.load(case.data, NOWHERE), desk.facts(case.data, NOWHERE)
    decision = desk.judge(header, facts).decision
    shifted = {**facts, "limits": [{**one, "utilisation": 0.1, "state": "OK"} for one in facts["limits"]]}

    assert set(BENCH.score(case, facts, decision).values()) == {1.0}
    worse = BENCH.score(case, shifted, decision.model_copy(update={"outcome": "OK"}))
    assert worse["utilisation_exact"] == 0
    aims = BENCH.aims(
        [Answered(case, is_right=number % 50 != 0) for number in range(100)],
        {"utilisation_exact": 0.999, "breach_recall": 0.999},
    )
    assert [met for _, met in aims] == [False, False, False, False]
    assert BENCH.aims([Answered(case)], {"utilisation_exact": 1, "breach_recall": 1})[0][1]


def test_f1_counts_what_was_made_and_what_was_named() -> None:
    cases = [
        Answered(_labelled("TRUE"), facts={"limits": [{"limit_id": "L1", "cause": named}]})
        for named in ("TRUE", "TRUE", "MODEL", None)
    ]

    assert f1_by_class(cases) == {"TRUE": pytest.approx(4 / 6), "MODEL": 0, "none": 0}
    assert f1_by_class([]) == {}


def _labelled(cause: str) -> Case:
    return Case("x", "limits", "x", "single", {}, frozenset(), "", frozenset(), {"causes": {"L1": cause}})


def test_the_recomputation_is_right_on_figures_done_by_hand() -> None:
    data = {
        "nav": "1000",
        "positions": {"text": "symbol,quantity,currency,issuer,sector,adv\nA,10,USD,I,S,100\nB,-5,EUR,J,S,50\n"},
        "prices": {"text": "date,A,B\n2026-01-12,9,19\n2026-01-13,10,20\n"},
        "fx": {"text": "date,EUR\n2026-01-13,1.5\n"},
        "pnl": {"text": "date,pnl\n2026-01-12,30\n2026-01-13,-50\n"},
    }
    by_hand = {
        "GROSS": 250, "NET": 50, "POSITION": 150, "LEVERAGE": Fraction(1, 4), "SECTOR_NAV": Fraction(1, 4),
        "ISSUER_NAV": Fraction(3, 20), "CONCENTRATION_NAV": Fraction(3, 20), "CONCENTRATION_ADV": Fraction(1, 10),
        "PNL_STOP": 50, "DRAWDOWN": 50, "DRAWDOWN_NAV": Fraction(50, 1050),
    }  # fmt: skip

    assert {name: truth.figure(data, {"metric": name}) for name in by_hand} == by_hand
    assert [
        truth.outcome({"metric": "GROSS"}, each) for each in (Fraction(4, 5), Fraction(1), Fraction(6, 5), Fraction(0))
    ] == ["WARN", "REQUEST_APPROVAL", "BLOCK_NEW_RISK", "OK"]
    assert is_exact(1.0, 1 + 1e-12)
    assert not is_exact(1.0, 1 + 1e-8)
    assert not is_exact(None, 1.0)
