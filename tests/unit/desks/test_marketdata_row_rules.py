"""MD01 to MD06 and MD15: each fires, and does not where it must not."""

from __future__ import annotations

from typing import Any

import pytest
from desk import answer, findings, rules
from hypothesis import given
from hypothesis import strategies as st
from sp500 import month, months


def july(**changed: Any) -> dict[str, Any]:
    return month("2009-07") | changed


def test_a_clean_month_has_no_finding() -> None:
    assert rules(july()) == set()


@pytest.mark.parametrize("column", ["date", "open", "high", "low", "close"])
def test_md01_names_an_empty_cell(column: str) -> None:
    data = july()
    data["bars"][3][column] = None

    assert [finding.rows for finding in findings(data, "MD01")] == [(3,)]


@pytest.mark.parametrize("cell", ["abc", "1,234.5", "1_000", "inf", "12.3.4", "٣", True, [1]])
def test_md01_names_a_cell_that_is_no_number(cell: object) -> None:
    data = july()
    data["bars"][3]["close"] = cell

    assert "is no number in 2009-07-07" in findings(data, "MD01")[0].sentence


@pytest.mark.parametrize("cell", ["nan", "NaN", "null", "N/A", " ", ""])
def test_md01_takes_a_vendors_word_for_nothing_as_empty(cell: str) -> None:
    data = july()
    data["bars"][3]["close"] = cell

    assert findings(data, "MD01")[0].sentence == "close is missing in 2009-07-07"


def test_md01_names_a_missing_column_once_and_asks_for_the_batch_again() -> None:
    data = july()
    for bar in data["bars"]:
        del bar["open"]

    assert [finding.sentence for finding in findings(data, "MD01")] == ["open is missing in every row"]
    assert answer(data)[0].outcome == "REFETCH"


def test_md01_needs_volume_only_where_the_asset_class_trades() -> None:
    data = july()
    for bar in data["bars"]:
        bar["volume"] = None

    assert findings(data, "MD01") == []
    assert "volume is missing in every row" in findings(data | {"asset_class": "equity"}, "MD01")[0].sentence


def test_md02_names_a_price_of_zero() -> None:
    data = july()
    data["bars"][3]["low"] = "0"

    assert [finding.rows for finding in findings(data, "MD02")] == [(3,)]


def test_md02_lets_spreads_and_rates_be_negative() -> None:
    data = july(asset_class="rate", context=[])
    for bar in data["bars"]:
        opened, high, low, close = (f"-{bar[name]}" for name in ("open", "high", "low", "close"))
        bar.update(open=opened, high=low, low=high, close=close)

    assert findings(data, "MD02") == []


def test_md03_names_a_bar_whose_high_and_low_are_swapped() -> None:
    data = july()
    bar = data["bars"][3]
    bar["high"], bar["low"] = bar["low"], bar["high"]

    assert [finding.rows for finding in findings(data, "MD03")] == [(3,)]


@pytest.mark.parametrize("column", ["open", "close"])
def test_md03_names_a_price_outside_high_and_low(column: str) -> None:
    data = july()
    data["bars"][3][column] = f"{float(data['bars'][3]['high']) * 1.001:.6f}"

    assert [finding.rows for finding in findings(data, "MD03")] == [(3,)]


def test_md03_allows_the_rounding_of_32_bit_floats() -> None:
    data = july()
    data["bars"][3]["close"] = data["bars"][3]["high"]
    data["bars"][3]["high"] = f"{float(data['bars'][3]['high']) * (1 - 1e-7):.9f}"

    assert findings(data, "MD03") == []


def test_md04_tells_like_duplicates_from_conflicting_ones() -> None:
    data = july()
    data["bars"].insert(4, dict(data["bars"][3]))
    data["bars"].append(data["bars"][9] | {"close": data["bars"][9]["low"]})

    assert [(finding.rows, finding.sentence) for finding in findings(data, "MD04")] == [
        ((4,), "2009-07-07 comes twice, alike"),
        ((23,), "2009-07-14 comes twice, with different values"),
    ]


def test_md04_compares_numbers_not_their_spelling() -> None:
    data = july()
    bar = data["bars"][3]
    data["bars"].append(bar | {"close": f"{bar['close']}000"})

    assert findings(data, "MD04")[0].sentence.endswith("alike")


def test_the_order_of_rows_does_not_matter() -> None:
    data = july()
    data["bars"].reverse()

    assert rules(data) == set()


def test_md05_names_the_missing_session_and_not_the_end() -> None:
    data = july()
    del data["bars"][3]

    assert [(finding.rule, finding.dates) for finding in answer(data)[1].findings] == [("MD05", ("2009-07-07",))]


def test_md05_knows_holidays() -> None:
    assert len(july()["bars"]) == 22  # 23 weekdays: the exchange was closed on 3 July
    assert findings(july(), "MD05") == []


def test_md15_names_the_sessions_missing_at_the_end() -> None:
    data = july()
    del data["bars"][-2:]

    assert [(finding.rule, finding.dates) for finding in answer(data)[1].findings] == [
        ("MD15", ("2009-07-30", "2009-07-31"))
    ]


def test_an_empty_batch_is_fetched_again() -> None:
    decision, facts = answer(july(bars=[]))

    assert (decision.outcome, facts.sessions_present, facts.sessions_expected) == ("REFETCH", 0, 22)


def test_md06_names_a_bar_on_a_holiday() -> None:
    data = july()
    data["bars"].append(data["bars"][1] | {"date": "2009-07-03"})

    assert findings(data, "MD06")[0].sentence == "XNYS had no session on 2009-07-03"


def test_md06_names_a_bar_outside_the_period() -> None:
    data = july()
    data["bars"].append(data["bars"][1] | {"date": "2009-08-03"})

    assert findings(data, "MD06")[0].sentence == "2009-08-03 lies outside the period 2009-07"


@given(st.sampled_from(months()), st.data())
def test_any_one_dropped_session_is_named(period: str, draw: st.DataObject) -> None:
    data = month(period)
    gone = data["bars"].pop(draw.draw(st.integers(0, len(data["bars"]) - 1)))["date"]

    named = {day for rule in ("MD05", "MD15") for finding in findings(data, rule) for day in finding.dates}
    assert named == {gone}


def test_many_bad_rows_are_listed_up_to_a_bound_and_counted_in_full() -> None:
    bars = [{"date": f"row {number}"} for number in range(500)]

    found = findings(july(bars=bars), "MD01")[0]
    assert (found.count, len(found.rows)) == (500, 50)
