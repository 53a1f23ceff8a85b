"""MD07, MD11, MD13, MD14, MD16 to MD18: each fires, and does not where it must not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from desk import answer, findings, rules
from sp500 import Bars, month, scaled

from tradeloop.errors import EventInvalid


def july(**changed: Any) -> dict[str, Any]:
    return month("2009-07") | changed


def split_at(at: int, factor: float, **changed: Any) -> dict[str, Any]:
    data = july(**changed)
    data["bars"][at:] = [scaled(bar, factor) for bar in data["bars"][at:]]
    return data


@pytest.mark.parametrize("days", [-1, 1])
def test_md07_names_dates_that_are_a_day_off_and_which_way(days: int) -> None:
    data = july()
    for bar in data["bars"]:
        bar["date"] = (date.fromisoformat(bar["date"]) + timedelta(days=days)).isoformat()

    found = findings(data, "MD07")
    assert f"; 1 day {'earlier' if days > 0 else 'later'}, 22 would lie in a session" in found[0].sentence
    assert answer(data)[0].outcome == "REFETCH"


def test_md07_takes_one_stray_bar_for_no_shift() -> None:
    data = july()
    data["bars"].append(data["bars"][1] | {"date": "2009-07-03"})

    assert findings(data, "MD07") == []


@pytest.mark.parametrize("lag", [1, -1])
def test_md07_names_closes_that_are_the_second_sources_of_another_day(lag: int) -> None:
    data = july()
    data["second_source"] = {"bars": [dict(bar) for bar in data["bars"]]}
    days = [bar["date"] for bar in data["bars"]]
    bars = (
        [data["context"][-1], *data["bars"][:-1]] if lag == 1 else [*data["bars"][1:], scaled(data["bars"][-1], 1.01)]
    )
    data["bars"] = [bar | {"date": day} for day, bar in zip(days, bars, strict=True)]

    assert "dates are shifted" in findings(data, "MD07")[0].sentence
    assert findings(data, "MD13") == []


ACTION = [{"date": "2009-07-15", "factor": 0.5}]


@pytest.mark.parametrize(
    ("scale", "adjusted", "told"),
    [
        (1, False, "does not show in prices that are said to be unadjusted"),
        (0.5, True, "shows in prices that are said to be adjusted"),
        (0.25, None, "is applied twice"),
        (2, None, "is applied upside down"),
        (2, False, "is applied upside down"),
    ],
)
def test_md11_names_an_action_that_prices_contradict(scale: float, adjusted: bool | None, told: str) -> None:
    data = split_at(9, scale, corporate_actions=ACTION, adjusted=adjusted)

    found = findings(data, "MD11")
    assert [(finding.dates, told in finding.sentence) for finding in found] == [(("2009-07-15",), True)]
    assert answer(data)[0].outcome == "REFETCH"


@pytest.mark.parametrize(("scale", "adjusted"), [(0.5, False), (1, True), (0.5, None), (1, None)])
def test_md11_is_silent_when_prices_and_action_agree(scale: float, adjusted: bool | None) -> None:
    assert rules(split_at(9, scale, corporate_actions=ACTION, adjusted=adjusted)) == set()


def test_md11_lets_a_dividend_of_the_same_day_explain_that_a_consolidation_does_not_show() -> None:
    actions = [{"date": "2009-07-15", "factor": 2.0}, {"date": "2009-07-15", "factor": 0.5, "kind": "dividend"}]

    assert findings(july(corporate_actions=actions, adjusted=False), "MD11") == []


def test_md11_knows_nothing_of_an_action_outside_the_batch() -> None:
    actions = [{"date": "2009-05-04", "factor": 0.5}, {"date": "2010-01-04", "factor": 0.5}]

    assert findings(july(corporate_actions=actions, adjusted=False), "MD11") == []


def test_an_announced_factor_is_a_ratio_for_level_jumps() -> None:
    one_bar = july(corporate_actions=[{"date": "2009-07-27", "factor": 0.7}], adjusted=True)
    one_bar["bars"][9] = scaled(one_bar["bars"][9], 0.7)

    assert [finding.dates for finding in findings(one_bar, "MD10")] == [("2009-07-15",)]


def with_second(data: dict[str, Any], bars: Bars) -> dict[str, Any]:
    return data | {"second_source": {"name": "feed B", "bars": bars}}


def test_md13_catches_a_spike_too_small_for_one_series() -> None:
    data = july()
    data["bars"][9] = scaled(data["bars"][9], 1.012)

    assert rules(data) == set()
    decision, facts = answer(with_second(data, july()["bars"]))
    # That day rose by 3 % and the next by 0.9 %: which of the two sources is off, nobody can tell.
    assert [(f.rule, f.dates, f.confirmed) for f in facts.findings] == [("MD13", ("2009-07-15",), None)]
    assert decision.outcome == "ESCALATE"


def test_md13_sets_a_bar_aside_that_moves_away_and_back_alone() -> None:
    data = month("2017-07")
    data["bars"][9] = scaled(data["bars"][9], 1.02)

    assert rules(data) == set()
    decision, facts = answer(with_second(data, month("2017-07")["bars"]))
    assert [(f.rule, f.dates, f.confirmed) for f in facts.findings] == [("MD13", ("2017-07-17",), False)]
    assert decision.outcome == "QUARANTINE_ROWS"
    assert decision.action is not None
    assert decision.action.params["quarantined"] == [9]


def test_md13_leaves_a_true_day_against_which_the_other_source_is_wrong_to_a_person() -> None:
    data, other = month("2015-09"), month("2015-09")["bars"]
    other[3] = scaled(other[3], 1.0226)  # the index fell by 1.5 % and rose by 2.5 % the day after; there it did not

    decision, facts = answer(with_second(data, other))
    assert [(f.rule, f.dates, f.confirmed) for f in facts.findings] == [("MD13", ("2015-09-04",), None)]
    assert decision.outcome == "ESCALATE"


@pytest.mark.parametrize(("factor", "fires"), [(1.004, False), (1.006, True), (0.996, False), (0.994, True)])
def test_md13_fires_beyond_50_basis_points(factor: float, fires: bool) -> None:
    data = july()
    data["bars"][9] = scaled(data["bars"][9], factor)

    assert bool(findings(with_second(data, july()["bars"]), "MD13")) == fires


def test_md13_asks_a_person_when_it_is_the_other_source_that_moves() -> None:
    other = july()["bars"]
    other[9] = scaled(other[9], 1.08)

    assert answer(with_second(july(), other))[0].outcome == "ESCALATE"


def test_md13_names_another_scale_once_and_not_every_bar() -> None:
    other = [scaled(bar, 0.97) for bar in july()["bars"]]

    found = findings(with_second(july(), other), "MD13")
    assert [finding.sentence for finding in found] == ["all closes are 1.031 times those of the second source"]


def test_md13_is_silent_where_another_rule_names_the_bar_already() -> None:
    data = july()
    data["bars"][9] = scaled(data["bars"][9], 100)

    assert rules(with_second(data, july()["bars"])) == {"MD10"}


def hourly(bars: Bars) -> Bars:
    """Two bars a day that add up to it."""
    made = []
    for bar in bars:
        first = bar | {"date": f"{bar['date']}T14:30:00+00:00", "close": bar["high"], "low": bar["open"]}
        made += [first, bar | {"date": f"{bar['date']}T16:30:00+00:00", "open": bar["high"]}]
    return made


def test_md14_is_silent_when_hours_add_up_to_the_day() -> None:
    assert rules(july(other_frequency={"frequency": "1h", "bars": hourly(july()["bars"])})) == set()


def test_md14_names_the_day_whose_hours_do_not_add_up() -> None:
    data = july(other_frequency={"frequency": "1h", "bars": hourly(july()["bars"])})
    data["bars"][9]["high"] = f"{float(data['bars'][9]['high']) * 1.01:.4f}"

    assert [finding.dates for finding in findings(data, "MD14")] == [("2009-07-15",)]
    assert answer(data)[0].outcome == "QUARANTINE_ROWS"


def quoted() -> dict[str, Any]:
    data = july()
    for bar in data["bars"]:
        close = float(bar["close"])
        bar |= {"bid": f"{close - 0.05:.2f}", "ask": f"{close + 0.05:.2f}"}
    return data


def test_md16_is_silent_on_ordinary_quotes() -> None:
    assert rules(quoted()) == set()


@pytest.mark.parametrize("above", [0.0, 0.3])
def test_md16_names_a_locked_and_a_crossed_quote(above: float) -> None:
    data = quoted()
    data["bars"][9]["bid"] = f"{float(data['bars'][9]['ask']) + above:.2f}"

    assert [(f.dates, f.rows) for f in findings(data, "MD16")] == [(("2009-07-15",), (9,))]


def test_md16_names_a_spread_far_above_the_median() -> None:
    data = quoted()
    data["bars"][9]["ask"] = f"{float(data['bars'][9]['ask']) * 1.05:.2f}"

    assert "far above the median" in findings(data, "MD16")[0].sentence


def long_ago(data: dict[str, Any], days: int = 400) -> dict[str, Any]:
    for bar in data["context"]:
        bar["date"] = (date.fromisoformat(bar["date"]) - timedelta(days=days)).isoformat()
    return data


def test_md17_asks_when_a_series_goes_on_after_a_long_silence() -> None:
    found = findings(long_ago(july()), "MD17")

    assert "weekdays without a bar before 2009-07-01, and no map says" in found[0].sentence
    assert answer(long_ago(july()))[0].outcome == "ESCALATE"


def test_md17_is_silent_when_the_map_says_it_is_the_same_instrument() -> None:
    map_file = [{"from": "2005-01-01", "id": "US0000000001"}, {"from": "2009-07-06", "id": "US0000000001"}]

    assert findings(long_ago(july(identities=map_file)), "MD17") == []


def test_md17_names_another_instrument_even_without_a_gap() -> None:
    map_file = [{"from": "2005-01-01", "id": "US0000000001"}, {"from": "2009-06-29", "id": "US0000000002"}]

    found = findings(july(identities=map_file), "MD17")
    assert found[0].sentence == (
        "SPX is US0000000002 from 2009-06-29 on and was US0000000001: the series joins two instruments"
    )


def test_md17_needs_a_map_that_reaches_back_to_the_series_begin() -> None:
    assert findings(long_ago(july(identities=[{"from": "2009-06-01", "id": "US0000000002"}])), "MD17")


def test_md18_notes_volume_in_hundreds() -> None:
    data = july()
    for bar in data["bars"]:
        bar["volume"] = str(int(int(bar["volume"]) / 100))

    assert rules(data) == {"MD18"}
    assert answer(data)[0].outcome == "ACCEPT_WITH_NOTE"


def test_md18_notes_a_column_that_was_there_before() -> None:
    data = july()
    for bar in data["bars"]:
        bar["volume"] = None

    assert "given in 0% of the bars and was in 100%" in findings(data, "MD18")[0].sentence


def test_md01_names_a_row_of_another_symbol() -> None:
    data = july()
    data["bars"][9]["symbol"], data["bars"][8]["symbol"] = "NDX", "SPX"

    assert [finding.rows for finding in findings(data, "MD01")] == [(9,)]


def minutes(day: str = "2026-11-25", count: int = 390, opens: str = "14:30") -> dict[str, Any]:
    """A session of XNYS with the two hours of the day before as context."""
    start = datetime.fromisoformat(f"{day}T{opens}:00+00:00")

    def bar(at: int, stamp: datetime) -> dict[str, Any]:
        close = 100 + 0.05 * ((at * 7919) % 23 - 11)
        prices = {"open": close - 0.01, "high": close + 0.04, "low": close - 0.05, "close": close}
        return {name: f"{price:.2f}" for name, price in prices.items()} | {
            "date": stamp.isoformat(), "volume": str(1000 + at),
        }  # fmt: skip

    context = [bar(at, start - timedelta(days=1, minutes=-at)) for at in range(120)]
    bars = [bar(at, start + timedelta(minutes=at)) for at in range(count)]
    return {
        "symbol": "XYZ", "period": day, "frequency": "1min", "asset_class": "equity", "bars": bars, "context": context,
    }  # fmt: skip


def test_a_whole_session_in_minutes_is_accepted() -> None:
    assert answer(minutes())[0].outcome == "ACCEPT"


def test_an_early_close_is_no_truncation_and_a_day_cut_short_is() -> None:
    assert rules(minutes("2026-11-27", 210)) == set()
    assert rules(minutes("2026-11-25", 210)) == {"MD15"}


def test_minutes_of_summer_time_are_known() -> None:
    assert rules(minutes("2026-07-15", opens="13:30")) == set()


@pytest.mark.parametrize("hours", [-5, -1, 1])
def test_md07_names_a_clock_of_another_zone(hours: int) -> None:
    data = minutes()
    for bar in data["bars"]:
        bar["date"] = (datetime.fromisoformat(bar["date"]) + timedelta(hours=hours)).isoformat()

    way = "later" if hours < 0 else "earlier"
    assert f"; {abs(hours)} h {way}, 390 would lie in a session" in findings(data, "MD07")[0].sentence
    assert answer(data)[0].outcome == "REFETCH"


def test_an_offset_is_taken_into_account_and_a_stamp_without_one_is_not_read() -> None:
    data = minutes()
    for bar in data["bars"]:
        moved = datetime.fromisoformat(bar["date"]) - timedelta(hours=5)
        bar["date"] = moved.strftime("%Y-%m-%dT%H:%M:%S-05:00")
    assert rules(data) == set()

    data["bars"][5]["date"] = data["bars"][5]["date"][:19]
    assert [finding.rows for finding in findings(data, "MD01")] == [(5,)]


@pytest.mark.parametrize(("missing", "fires"), [(14, False), (15, True)])
def test_md05_of_minutes_needs_a_quarter_of_an_hour(missing: int, fires: bool) -> None:
    data = minutes()
    del data["bars"][100 : 100 + missing]

    assert bool(findings(data, "MD05")) == fires


def test_md05_counts_scattered_minutes_by_their_share() -> None:
    data = minutes()
    data["bars"] = [bar for at, bar in enumerate(data["bars"]) if at % 4 or at in (0, 388)]

    assert len(findings(data, "MD05")) == 1


def test_md08_of_minutes_needs_five_with_volume() -> None:
    data = minutes()
    for at in range(101, 106):
        data["bars"][at] = data["bars"][100] | {"date": data["bars"][at]["date"]}

    assert [finding.count for finding in findings(data, "MD08")] == [5]
    for at in range(100, 106):
        data["bars"][at]["volume"] = "0"
    assert findings(data, "MD08") == []


def test_md10_names_the_minute() -> None:
    data = minutes()
    data["bars"][9] = scaled(data["bars"][9], 100)

    decision, facts = answer(data)
    assert [(finding.rule, finding.dates) for finding in facts.findings] == [("MD10", ("2026-11-25T14:39Z",))]
    assert decision.action is not None
    assert decision.action.params["frequency"] == "1min"


def test_weeks_are_known_by_any_of_their_days() -> None:
    data = july(frequency="1wk", period="2009-06-29/2009-07-31", context=[])
    data["bars"] = [bar for bar in data["bars"] if bar["date"] in {"2009-07-02", "2009-07-06", "2009-07-13"}]
    data["bars"] += [bar for bar in july()["bars"] if bar["date"] in {"2009-07-20", "2009-07-31"}]

    assert not {"MD05", "MD06", "MD15"} & rules(data)
    del data["bars"][1]
    assert [finding.dates for finding in findings(data, "MD05")] == [("2009-07-06",)]


def test_an_intraday_batch_over_years_is_refused() -> None:
    with pytest.raises(EventInvalid, match="spans at most 100 days"):
        answer(minutes() | {"period": "2020-01-01/2026-11-25"})


@pytest.mark.parametrize(
    ("name", "factor", "outcome"),
    [("high", 1.03, "QUARANTINE_ROWS"), ("low", 0.97, "QUARANTINE_ROWS"), ("high", 1.015, "ACCEPT")],
)
def test_md13_compares_high_and_low_as_well(name: str, factor: float, outcome: str) -> None:
    data = july()
    data["bars"][9][name] = f"{float(data['bars'][9][name]) * factor:.4f}"

    assert answer(with_second(data, july()["bars"]))[0].outcome == outcome


def test_md13_asks_when_the_second_source_has_the_wider_range() -> None:
    other = july()["bars"]
    other[9]["high"] = f"{float(other[9]['high']) * 1.05:.4f}"

    assert answer(with_second(july(), other))[0].outcome == "ESCALATE"
