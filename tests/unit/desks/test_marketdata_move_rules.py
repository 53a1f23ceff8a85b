"""MD00, MD08 to MD12 and MD19: each fires, and does not where it must not."""

from __future__ import annotations

from typing import Any

import pytest
from desk import answer, findings, rules
from sp500 import month, scaled


def july(**changed: Any) -> dict[str, Any]:
    return month("2009-07") | changed


def spoiled(at: int, factor: float, until: int | None = None) -> dict[str, Any]:
    data = july()
    for place in range(at, (at + 1) if until is None else until):
        data["bars"][place] = scaled(data["bars"][place], factor)
    return data


def test_md00_notes_a_history_too_short_to_judge_by() -> None:
    data = july()
    data["context"] = data["context"][-60:]

    assert rules(data) == {"MD00"}
    assert answer(data)[0].outcome == "ACCEPT_WITH_NOTE"


def test_md00_is_silent_with_one_bar_more() -> None:
    data = july()
    data["context"] = data["context"][-61:]

    assert rules(data) == set()


def test_md08_names_a_bar_that_repeats_the_one_before() -> None:
    data = july()
    data["bars"][7] = data["bars"][6] | {"date": data["bars"][7]["date"]}

    assert [finding.dates for finding in findings(data, "MD08")] == [("2009-07-13",)]


def test_md08_sees_that_the_first_bar_repeats_the_context() -> None:
    data = july()
    data["bars"][0] = data["context"][-1] | {"date": data["bars"][0]["date"]}

    assert [finding.dates for finding in findings(data, "MD08")] == [("2009-07-01",)]


def test_md08_names_equal_prices_of_a_wide_range_whatever_the_volume() -> None:
    data = july()
    data["bars"][7] = data["bars"][6] | {"date": data["bars"][7]["date"], "volume": "1"}

    assert [finding.dates for finding in findings(data, "MD08")] == [("2009-07-13",)]


def test_md08_takes_another_volume_for_another_bar_where_prices_have_few_ticks() -> None:
    data = july()
    for bar in (*data["context"], *data["bars"]):
        bar |= {name: f"{round(float(bar[name]), -1):.0f}" for name in ("open", "high", "low", "close")}
    data["bars"][7] = data["bars"][6] | {"date": data["bars"][7]["date"], "volume": "1"}

    assert findings(data, "MD08") == []


def test_md08_bears_with_flat_bars_for_three_days_and_not_for_four() -> None:
    def flat(days: int) -> dict[str, Any]:
        data = july()
        for place in range(5, 5 + days):
            price = dict.fromkeys(("open", "high", "low", "close"), data["bars"][5]["close"])
            data["bars"][place] |= price | {"volume": None}
        return data

    assert findings(flat(3), "MD08") == []
    assert [finding.count for finding in findings(flat(4), "MD08")] == [3]


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 7, 10, 20, 100, 1 / 2, 1 / 5, 1 / 100])
def test_md10_names_one_bar_off_by_a_known_ratio_and_no_other_rule_does(factor: float) -> None:
    data = spoiled(9, factor)

    assert rules(data) == {"MD10"}
    assert [finding.dates for finding in findings(data, "MD10")] == [("2009-07-15",)]


@pytest.mark.parametrize("factor", [2, 100, 1 / 4])
def test_md10_names_a_level_that_shifts_to_the_end(factor: float) -> None:
    found = findings(spoiled(9, factor, until=22), "MD10")

    assert [(finding.count, finding.dates[0]) for finding in found] == [(13, "2009-07-15")]


def test_md10_names_a_batch_that_is_off_as_a_whole() -> None:
    assert [finding.count for finding in findings(spoiled(0, 100, until=22), "MD10")] == [22]


def test_md10_names_some_bars_in_between() -> None:
    found = findings(spoiled(5, 100, until=8), "MD10")

    assert [finding.dates for finding in found] == [("2009-07-09", "2009-07-10", "2009-07-13")]


@pytest.mark.parametrize("at", [0, 21])
def test_md10_sees_the_first_and_the_last_bar(at: int) -> None:
    assert [finding.rows for finding in findings(spoiled(at, 100), "MD10")] == [(at,)]


def test_md10_leaves_a_fall_of_half_that_was_traded_to_the_outlier_rule() -> None:
    data = july()
    data["bars"][9:] = [scaled(bar, 0.5) for bar in data["bars"][9:]]
    before = data["bars"][8]["close"]
    data["bars"][9] |= {"open": before, "high": before}  # it opened where the day before had closed

    assert rules(data) == {"MD19"}


def test_md10_is_explained_by_a_known_split() -> None:
    split = spoiled(9, 1 / 2, until=22)
    split["corporate_actions"] = [{"date": "2009-07-15", "factor": 0.5}]

    assert rules(split) == set()


def test_a_known_split_in_an_adjusted_series_makes_no_jump() -> None:
    assert rules(july(corporate_actions=[{"date": "2009-07-15", "factor": 0.5}])) == set()


def test_md10_says_nothing_of_a_level_that_shifted_in_the_context() -> None:
    data = july()
    data["context"][:60] = [scaled(bar, 2) for bar in data["context"][:60]]

    assert rules(data) == set()


def test_md09_names_a_spike_and_its_reversal_once() -> None:
    found = findings(spoiled(9, 1.3), "MD09")

    assert [(finding.dates, finding.rule) for finding in found] == [(("2009-07-15",), "MD09")]
    assert rules(spoiled(9, 1.3)) == {"MD09"}


def test_md09_sees_a_smaller_move_when_the_whole_bar_lies_apart() -> None:
    whole, close_only = month("2017-07"), month("2017-07")
    bar = whole["bars"][9] = scaled(whole["bars"][9], 1.035)
    close_only["bars"][9] |= {"close": bar["close"], "high": bar["high"]}

    assert (rules(whole), rules(close_only)) == ({"MD09"}, set())


def test_md09_leaves_one_and_a_half_percent_alone() -> None:
    assert rules(spoiled(9, 1.015)) == set()


def test_md19_names_a_move_that_stays() -> None:
    data = july()
    data["bars"][9:] = [scaled(bar, 0.85) for bar in data["bars"][9:]]

    assert rules(data) == {"MD19"}


def test_md19_names_a_move_of_the_last_bar_because_no_reversal_can_be_seen() -> None:
    found = findings(spoiled(21, 0.85), "MD19")

    assert "no bar after it to show a reversal" in found[0].sentence


def test_a_wild_market_raises_the_bar_for_outliers() -> None:
    # 21 November 2008 was +6.3 %: an alarm in July 2009, not in that month.
    assert rules(month("2008-11")) == set()


def with_second_source(data: dict[str, Any], bars: list[dict[str, Any]]) -> dict[str, Any]:
    return data | {"second_source": {"name": "feed B", "bars": bars}}


def test_a_second_source_that_agrees_turns_escalation_into_a_note() -> None:
    crash = month("2008-10")

    decision, facts = answer(with_second_source(crash, crash["bars"]))
    assert (decision.outcome, {finding.confirmed for finding in facts.findings}) == ("ACCEPT_WITH_NOTE", {True})


def test_a_second_source_that_contradicts_sets_the_bar_aside() -> None:
    decision, _ = answer(with_second_source(spoiled(9, 1.15), july()["bars"]))

    assert decision.outcome == "QUARANTINE_ROWS"


def test_a_second_source_without_that_day_changes_nothing() -> None:
    crash = month("2008-10")

    assert answer(with_second_source(crash, july()["bars"]))[0].outcome == "ESCALATE"


def test_md12_names_zero_volume_only_where_the_asset_class_trades() -> None:
    data = july()
    data["bars"][3]["volume"] = "0"

    assert rules(data) == set()
    assert rules(data | {"asset_class": "etf"}) == {"MD12"}


def test_md12_names_negative_volume_everywhere() -> None:
    data = july()
    data["bars"][3]["volume"] = "-5"

    assert [finding.rows for finding in findings(data, "MD12")] == [(3,)]


@pytest.mark.parametrize(("factor", "outcome"), [(10, "ACCEPT"), (40, "ACCEPT_WITH_NOTE"), (1000, "QUARANTINE_ROWS")])
def test_md12_notes_a_block_trade_and_sets_a_unit_error_aside(factor: int, outcome: str) -> None:
    data = july()
    data["bars"][3]["volume"] = str(int(data["bars"][3]["volume"]) * factor)

    assert answer(data)[0].outcome == outcome


def test_a_spoiled_row_never_hides_the_others() -> None:
    data = spoiled(9, 100)
    data["bars"][3]["close"] = "abc"
    del data["bars"][15]

    assert rules(data) == {"MD01", "MD05", "MD10"}


def test_the_same_batch_gives_the_same_facts() -> None:
    assert answer(spoiled(9, 100))[1] == answer(spoiled(9, 100))[1]


@pytest.mark.parametrize(("name", "factor"), [("high", 1.3), ("low", 0.7)])
def test_md09_names_a_high_or_low_far_from_open_and_close(name: str, factor: float) -> None:
    data = july()
    data["bars"][9][name] = f"{float(data['bars'][9][name]) * factor:.4f}"

    found = findings(data, "MD09")
    assert [(f.dates, f.sentence.split(" of ")[0]) for f in found] == [(("2009-07-15",), f"the {name}")]
    assert answer(data)[0].outcome == "QUARANTINE_ROWS"


def test_md09_leaves_a_wick_of_five_percent_alone() -> None:
    data = july()
    data["bars"][9]["high"] = f"{float(data['bars'][9]['close']) * 1.05:.4f}"

    assert rules(data) == set()


def test_a_wick_that_the_second_source_has_too_is_accepted_with_a_note() -> None:
    data = july()
    data["bars"][9]["low"] = f"{float(data['bars'][9]['low']) * 0.7:.4f}"

    assert answer(data)[0].outcome == "QUARANTINE_ROWS"
    assert answer(with_second_source(data, data["bars"]))[0].outcome == "ACCEPT_WITH_NOTE"
    assert answer(with_second_source(data, july()["bars"]))[0].outcome == "QUARANTINE_ROWS"


def test_a_return_over_missing_bars_is_measured_against_as_many_sessions() -> None:
    data = month("2009-07")
    del data["bars"][10:14]
    data["bars"][10:] = [scaled(bar, 1.04) for bar in data["bars"][10:]]  # +10 % over five sessions

    assert rules(data) == {"MD05"}
