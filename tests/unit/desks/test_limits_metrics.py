"""What limits bound: each exposure, and VaR, shortfall and backtest against definitions written down elsewhere."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limiting import answer, event, limit, told

from tradeloop.bench.desks import limits_truth as truth
from tradeloop.desks.limits.filtered import filtered_scenarios
from tradeloop.desks.limits.tails import exceptions, expected_shortfall, historical_var, rolling_var, zone_of
from tradeloop.errors import PrerequisiteMissing


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("GROSS,1", 105_700),
        ("GROSS_EXPOSURE,1", 105_700),
        ("gross,1", 105_700),
        ("NET,1", 25_300),
        ("LONG,1", 65_500),
        ("SHORT,1", 40_200),
        ("POSITION,1", 60_000),
        ("POSITION,1,,CCC", 5_500),
        ("POSITION,1,,ZZZ", 0),
        ("CONCENTRATION_NAV,1", 0.6),
        ("CONCENTRATION_NAV,1,,BBB", 0.402),
        ("ISSUER_NAV,1", 0.6),
        ("ISSUER_NAV,1,,Gamma", 0.055),
        ("SECTOR_NAV,1", 1.002),
        ("SECTOR_NAV,1,,Energy", 0.055),
        ("CONCENTRATION_ADV,1", 0.2),
        ("CONCENTRATION_ADV,1,,AAA", 0.1),
        ("LEVERAGE,1", 1.057),
    ],
)
def test_each_exposure_of_one_small_book(row: str, value: float) -> None:
    assert limit(event(row))["value"] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "bound"), [("percent", 0.25), ("bp", 0.0025), ("fraction", 25), ("times", 25), ("TIMES", 25)]
)
def test_a_share_is_told_in_its_unit(unit: str, bound: float) -> None:
    assert limit(event(f"LEVERAGE,25,{unit}"))["limit"] == pytest.approx(bound)


def test_positions_of_one_instrument_in_two_accounts_are_netted_by_instrument_alone() -> None:
    positions = "account,symbol,quantity\nA1,AAA,100\nA2,AAA,-40\n"
    text = "limit_id,metric,limit,owner,version,account\nL1,GROSS,1,r,1,\nL2,POSITION,1,r,1,\nL3,GROSS,1,r,1,A2\n"
    data = event(positions=positions, limits=text)

    assert [limit(data, name)["value"] for name in ("L1", "L2", "L3")] == [14_000, 6_000, 4_000]


def test_a_check_of_an_account_leaves_other_accounts_out() -> None:
    positions = "account,symbol,quantity\nA1,AAA,100\nA2,AAA,-40\n"

    assert limit(event("GROSS,1", positions=positions, scope={"kind": "account", "name": "A2"}))["value"] == 4_000


def test_long_and_short_of_one_sector_do_not_cancel() -> None:
    assert limit(event("SECTOR_NAV,1,,Tech"))["value"] == pytest.approx(1.002)


def test_reference_data_fills_what_the_positions_do_not_tell() -> None:
    data = event(
        "SECTOR_NAV,1", "CONCENTRATION_ADV,1", "GROSS,1",
        positions="symbol,quantity,sector\nAAA,10,Own\nBBB,5,\n",
        instruments="Symbol,Security,GICS Sector,adv,multiplier\nAAA,Alpha,Tech,100,10\nBBB,Beta,Tech,50,1\n",
    )  # fmt: skip

    assert limit(data)["value"] == pytest.approx(0.1)
    assert limit(data, "L2")["value"] == pytest.approx(0.1)
    assert limit(data, "L3")["value"] == 10 * 100 * 10 + 5 * 201


NAMES = ("AAA", "BBB", "CCC", "DDD")
PLAIN = st.decimals("0.0001", "99999", places=4).map(lambda figure: f"{figure:.4f}")


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_book_is_valued_as_the_recomputation_values_it(data: st.DataObject) -> None:
    rows = [
        f"{name},{data.draw(st.integers(-(10**7), 10**7))},{data.draw(st.sampled_from(['USD', 'EUR', 'JPY']))},"
        f"{data.draw(st.sampled_from('IJ'))},{data.draw(st.sampled_from('ST'))},{data.draw(st.integers(1, 10**6))}"
        for name in NAMES
    ]
    close = ",".join(data.draw(PLAIN) for _ in NAMES)
    metrics = [row.split(",")[0] for row in ALL]
    made = event(
        *ALL,
        positions="symbol,quantity,currency,issuer,sector,adv\n" + "\n".join(rows) + "\n",
        prices=f"date,{','.join(NAMES)}\n2026-01-12,{close}\n2026-01-13,{close}\n",
        fx=f"date,EUR,JPY\n2026-01-13,{data.draw(PLAIN)},{data.draw(PLAIN)}\n",
    )

    found = {one["limit_id"]: one["value"] for one in answer(made)[1]["limits"]}
    for number, metric in enumerate(metrics, 1):
        expected = truth.figure(made, {"metric": metric})
        assert math.isclose(found[f"L{number}"], expected, rel_tol=1e-9, abs_tol=1e-9), metric


ALL = ["GROSS,1", "NET,1", "POSITION,1", "CONCENTRATION_NAV,1", "ISSUER_NAV,1", "SECTOR_NAV,1", "LEVERAGE,1"]


def history(count: int, seed: int = 5, **more: Any) -> dict[str, Any]:
    """A check of VaR, shortfall and filtered VaR over so many returns."""
    rng = np.random.default_rng(seed)
    levels = 100 * np.exp(np.cumsum(rng.standard_t(4, size=(count + 1, 2)) * 0.01, axis=0))
    first = np.datetime64("2026-01-13") - np.arange(count, -1, -1)
    rows = [f"{day},{a:.6f},{b:.6f}" for day, (a, b) in zip(first, levels, strict=True)]
    prices = "date,AAA,BBB\n" + "\n".join(rows) + "\n"
    rows_of = {"prices": prices, "positions": "symbol,quantity,opening,currency\nAAA,600,600,USD\nBBB,-200,-200,USD\n"}
    return event("VAR_99,1000", "ES_975,1000", "VAR_99_FILTERED,1000", **(rows_of | more))


def scenarios(data: dict[str, Any]) -> np.ndarray[Any, Any]:
    rows = [line.split(",")[1:] for line in data["prices"]["text"].split()[1:]]
    closes = np.array(rows, dtype=np.float64)
    worth = closes[-1] * np.array([600, -200])
    found: np.ndarray[Any, Any] = (closes[1:] / closes[:-1] - 1) @ worth
    return found


def test_var_is_numpy_s_own_quantile_of_the_last_500_days() -> None:
    data = history(620)
    pnl = scenarios(data)[-500:]

    found = limit(data)
    assert found["observations"] == 500
    assert found["value"] == pytest.approx(-np.quantile(pnl, 0.01), rel=1e-12)
    cut = np.quantile(pnl, 0.025)
    assert limit(data, "L2")["value"] == pytest.approx(-pnl[pnl <= cut].mean(), rel=1e-12)


@pytest.mark.parametrize("count", [250, 300, 401, 500])
def test_var_and_shortfall_agree_with_plain_python(count: int) -> None:
    data = history(count, seed=count)

    for name, metric in (("L1", "VAR_99"), ("L2", "ES_975")):
        expected = truth.figure(data, {"metric": metric})
        assert limit(data, name)["value"] == pytest.approx(float(expected), rel=1e-9)


def test_fewer_than_250_observations_are_told_and_no_all_clear() -> None:
    data = history(249)

    assert told(data, "RL09")[0] == "L1 rests on 249 observations; 250 are expected"
    assert limit(data)["is_doubtful"]
    assert told(history(250), "RL09") == []


def test_a_rate_that_moves_is_part_of_the_risk_and_one_that_is_known_today_alone_is_held() -> None:
    data = history(260)
    days = [line.split(",")[0] for line in data["prices"]["text"].split()[1:]]
    rng = np.random.default_rng(3)
    moving = "date,EUR\n" + "\n".join(f"{day},{1.1 + rng.normal(0, 0.02):.6f}" for day in days) + "\n"
    positions = "symbol,quantity,currency\nAAA,600,EUR\nBBB,-200,USD\n"

    with_rates = history(260, fx=moving, positions=positions)
    held = history(260, fx=f"date,EUR\n{days[-1]},1.1\n", positions=positions)

    for made in (with_rates, held):
        expected = truth.figure(made, {"metric": "VAR_99"})
        assert limit(made)["value"] == pytest.approx(float(expected), rel=1e-9)
    assert limit(with_rates)["value"] > 1.2 * limit(held)["value"]


def test_quantiles_at_exact_places_take_the_figure_itself() -> None:
    pnl = np.array([float(each) for each in range(-200, 201)])

    assert historical_var(pnl, Fraction(975, 1000)) == 190
    assert expected_shortfall(pnl) == 195
    assert historical_var(np.array([1.0, 2.0, 3.0])) == 0
    assert expected_shortfall(np.array([1.0, 2.0, 3.0])) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=80))
def test_shortfall_is_never_below_var_of_its_level_and_both_agree_with_numpy(pnl: list[float]) -> None:
    values = np.array(pnl)

    assert historical_var(values) == pytest.approx(max(0.0, -np.quantile(values, 0.01)), abs=1e-6)
    assert expected_shortfall(values) >= historical_var(values, Fraction(975, 1000)) - 1e-6


@pytest.mark.parametrize(("count", "zone"), [(0, "GREEN"), (4, "GREEN"), (5, "YELLOW"), (9, "YELLOW"), (10, "RED")])
def test_basel_s_zones_of_250_days(count: int, zone: str) -> None:
    assert zone_of(count).value == zone


@pytest.mark.parametrize(
    ("over", "zone", "expected"),
    [(4, "GREEN", "OK"), (5, "YELLOW", "WARN"), (9, "YELLOW", "WARN"), (10, "RED", "REQUEST_APPROVAL")],
)
def test_the_reported_var_is_backtested_against_the_p_and_l_that_came(over: int, zone: str, expected: str) -> None:
    days = np.datetime64("2026-01-13") - np.arange(299, -1, -1)
    lost = [-101 if at >= 300 - over else -100 for at in range(300)]
    pnl = "date,pnl,var\n" + "\n".join(f"{day},{each},100" for day, each in zip(days, lost, strict=True)) + "\n"
    data = event("DRAWDOWN,100000000", pnl=pnl)

    decision, facts = answer(data)
    assert facts["backtests"] == [{"days": 250, "exceptions": over, "zone": zone, "is_reported": True}]
    assert decision.outcome == expected


def test_the_backtest_of_today_s_positions_is_a_note_from_500_observations_on() -> None:
    assert told(history(499), "RL10") == []
    (sentence,) = told(history(500), "RL10")
    assert sentence.startswith("the VaR of today's positions was exceeded on ")


def test_each_day_is_held_against_the_var_of_the_days_before_it() -> None:
    pnl = np.array([-1.0, -1.0, -1.0, -1.0, -5.0, -1.0])

    var = rolling_var(pnl, 4, Fraction(1, 2))

    assert var.tolist() == [1, 1, 1]
    assert exceptions(pnl[4:], var[:-1]) == 1


def test_filtered_var_follows_the_volatility_of_late() -> None:
    pytest.importorskip("arch")
    rng = np.random.default_rng(11)
    calm_then_wild = np.concatenate([rng.normal(0, 1, 400), rng.normal(0, 4, 100)])

    rising, falling = filtered_scenarios(calm_then_wild), filtered_scenarios(calm_then_wild[::-1].copy())

    assert rising is not None
    assert falling is not None
    plain = historical_var(calm_then_wild)
    assert historical_var(rising) > plain > historical_var(falling)
    assert historical_var(rising) == pytest.approx(4 * 2.33, rel=0.5)


def test_filtered_var_is_a_limit_like_any_other() -> None:
    pytest.importorskip("arch")
    found = limit(history(500), "L3")

    assert found["value"] > 0
    assert found["observations"] == 500


@pytest.mark.parametrize("pnl", [np.zeros(300), np.array([1.0] * 50), np.array([np.nan] * 300), np.zeros(0)])
def test_what_has_no_variance_has_no_filtered_var(pnl: np.ndarray[Any, Any]) -> None:
    assert filtered_scenarios(pnl) is None


def test_without_arch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arch.univariate", None)

    with pytest.raises(PrerequisiteMissing, match="arch, which is not installed") as caught:
        filtered_scenarios(np.random.default_rng(1).normal(size=200))

    assert "VAR_99" in caught.value.hint


def test_the_desk_s_start_imports_neither_arch_nor_polars() -> None:
    code = "import sys, tradeloop.desks.limits.workflow; print(sorted({'arch', 'polars', 'scipy'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
