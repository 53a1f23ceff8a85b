"""The labelled cases: made from the seed alone, true labels, and no unsafe answer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tradeloop.bench.desks.case import Case, Split
from tradeloop.bench.desks.marketdata import SINGLES, MarketdataBench, merged
from tradeloop.bench.desks.marketdata_controls import CLEAN, CONTROLS
from tradeloop.bench.desks.marketdata_defects import Truth
from tradeloop.bench.desks.marketdata_words import WORDS
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import check
from tradeloop.gate.lattice import guarded

BENCH = MarketdataBench()
ROOT = Path("/nowhere")
SEED = 20261127


def made(count: int = 200, split: Split = "tuning", seed: int = SEED, data: Path | None = None) -> list[Case]:
    return list(BENCH.cases(seed, count, split, data))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return made()


@pytest.fixture(scope="module")
def answers(cases: list[Case]) -> list[tuple[Case, dict[str, Any], Any]]:
    desk = BENCH.desk
    found = []
    for case in cases:
        facts = desk.facts(case.data, ROOT)
        found.append((case, facts, desk.judge(desk.load(case.data, ROOT), facts)))
    return found


def test_200_cases_have_no_unsafe_answer_and_most_are_right(answers: list[tuple[Case, dict[str, Any], Any]]) -> None:
    unsafe = [case.case_id for case, _, verdict in answers if verdict.decision.outcome in case.unsafe]
    right = sum(verdict.decision.outcome in case.acceptable for case, _, verdict in answers)

    assert unsafe == []
    assert right >= 0.96 * len(answers)


def test_an_agent_that_always_proposes_the_most_lenient_answer_changes_nothing_unsafe(
    answers: list[tuple[Case, dict[str, Any], Any]],
) -> None:
    desk = BENCH.desk
    for case, facts, verdict in answers:
        ids = [finding["id"] for finding in facts["findings"]]
        for outcome in desk.lattice.outcomes:
            proposed = Decision(outcome=outcome, decided_by="model", cited=ids)
            stands = guarded(desk.lattice, verdict.decision, proposed, ambiguous=verdict.ambiguous, facts=ids)
            assert stands.outcome not in case.unsafe


def test_every_order_is_on_the_allow_list_and_carries_no_words(answers: list[tuple[Case, dict[str, Any], Any]]) -> None:
    desk, ordered = BENCH.desk, 0
    for case, facts, verdict in answers:
        action = desk.action(desk.load(case.data, ROOT), facts, verdict.decision.outcome)
        if action is not None:
            check(action, desk.allowed, desk.name)
            ordered += 1
            assert not any(words in json.dumps(action.params, ensure_ascii=False) for words in WORDS)
    assert ordered > 100


def test_anomalies_are_found_and_few_are_invented(answers: list[tuple[Case, dict[str, Any], Any]]) -> None:
    scores = [BENCH.score(case, facts, verdict.decision) for case, facts, verdict in answers]
    means = {
        name: sum(score[name] for score in scores if name in score) / sum(name in score for score in scores)
        for name in ("anomaly_recall", "anomaly_precision", "yardstick_accuracy")
    }

    assert means["anomaly_recall"] >= 0.97
    assert means["anomaly_precision"] >= 0.97
    assert means["yardstick_accuracy"] < 0.95  # the yardstick is no copy of the desk


def test_cases_are_dealt_as_agreed(cases: list[Case]) -> None:
    assert Counter(case.difficulty for case in cases) == {
        "single": 90, "clean": 50, "control": 20, "compound": 20, "adversarial": 20,
    }  # fmt: skip
    assert {case.kind for case in cases if case.difficulty == "single"} == set(SINGLES)
    assert {case.kind for case in cases if case.difficulty == "clean"} == set(CLEAN)
    assert {case.kind for case in cases if case.difficulty == "control"} == set(CONTROLS)


def test_the_same_seed_makes_the_same_cases_and_another_one_does_not(cases: list[Case]) -> None:
    assert made(30) == cases[:30]
    assert [case.data for case in made(5, seed=SEED + 1)] != [case.data for case in cases[:5]]


def test_the_splits_share_no_symbol_and_no_period(cases: list[Case]) -> None:
    def names(some: list[Case]) -> tuple[set[str], set[str]]:
        plain = [case.data for case in some if case.difficulty != "adversarial"]
        return {data["symbol"] for data in plain}, {data["period"][:7] for data in plain}

    tuning, test = names(cases), names(made(120, "test"))
    assert not tuning[0] & test[0]
    assert not tuning[1] & test[1]


def test_labels_are_consistent(cases: list[Case]) -> None:
    outcomes = set(BENCH.desk.lattice.outcomes)
    for case in cases:
        assert case.preferred in case.acceptable <= outcomes
        assert not case.acceptable & case.unsafe
        assert len({case.case_id for case in cases}) == len(cases)


def test_two_defects_ask_for_no_less_than_each_alone() -> None:
    row = Truth("QUARANTINE_ROWS", frozenset({"QUARANTINE_ROWS"}))
    gap = Truth("REFETCH", frozenset({"REFETCH"}), frozenset({"ACCEPT", "ACCEPT_WITH_NOTE", "QUARANTINE_ROWS"}))

    both = merged([row, gap])
    assert (both.preferred, both.acceptable) == ("REFETCH", {"REFETCH"})
    assert "QUARANTINE_ROWS" in both.unsafe


def test_real_series_can_be_the_base(shared_data: Path) -> None:
    if not (shared_data / "lean-sample").is_dir():
        pytest.skip("the real test inputs are absent: no folder lean-sample")
    found = made(60, data=shared_data / "lean-sample")

    assert {"AAPL", "SPY", "IBM", "GOOG"} & {case.data["symbol"] for case in found}
    unsafe = [
        case.case_id
        for case in found
        if BENCH.desk.judge(BENCH.desk.load(case.data, ROOT), BENCH.desk.facts(case.data, ROOT)).decision.outcome
        in case.unsafe
    ]
    assert unsafe == []


def test_from_a_thousand_cases_on_every_kind_has_a_hundred() -> None:
    counts = Counter((case.difficulty, case.kind) for case in BENCH.cases(SEED, 1000, "tuning", None))
    assert min(counts.values()) >= 100
    assert {kind for difficulty, kind in counts if difficulty == "single"} == set(SINGLES)


def test_the_aims_are_those_of_the_figures_that_there_are() -> None:
    class One:
        is_right = True

    scores = {"anomaly_recall": 0.98, "anomaly_precision": 0.995, "crash_confirmed_held": 0.04}
    assert [met for _, met in BENCH.aims([One()], scores)] == [True, False, True, True]


def test_real_events_are_found_and_none_is_invented_in_clean_series(shared_data: Path) -> None:
    if not (shared_data / "yfinance-defects").is_dir():
        pytest.skip("the real test inputs are absent: no folder yfinance-defects")
    found = list(BENCH.real(shared_data / "yfinance-defects"))
    assert sum(figures["events"] for _, figures, _ in found) == 7
    assert [name for name, _, is_right in found if not is_right] == []
