"""States of a limit, exact at their edges, and what each leads to."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limiting import POLICY, answer, event, limit, outcome, told

from tradeloop.desks.limits.states import state_of

STATES = ("OK", "WARN", "BREACH", "HARD")


@pytest.mark.parametrize(
    ("bound", "state", "expected"),
    [
        ("150000", "OK", "OK"),
        ("132125.000001", "OK", "OK"),
        ("132125", "WARN", "WARN"),
        ("105700.000000001", "WARN", "WARN"),
        ("105700", "BREACH", "REQUEST_APPROVAL"),
        ("105699.999999999", "BREACH", "REQUEST_APPROVAL"),
        ("88083.333333333334", "BREACH", "REQUEST_APPROVAL"),
        ("88083.333333333333", "HARD", "BLOCK_NEW_RISK"),
        ("1", "HARD", "BLOCK_NEW_RISK"),
    ],
)
def test_a_gross_exposure_of_105_700_against_its_limit(bound: str, state: str, expected: str) -> None:
    data = event(f"GROSS,{bound}")

    assert (limit(data)["state"], answer(data)[0].outcome) == (state, expected)


@pytest.mark.parametrize(
    ("price", "quantity", "state"),
    [("0.1", "8", "WARN"), ("0.1", "10", "BREACH"), ("0.1", "12", "HARD"), ("0.1", "7", "OK"), ("0.7", "1", "OK")],
)
def test_edges_hold_for_figures_that_no_float_can_hold(price: str, quantity: str, state: str) -> None:
    data = event(
        "GROSS,1",
        positions=f"symbol,quantity\nAAA,{quantity}\n",
        prices=f"date,AAA\n2026-01-12,{price}\n2026-01-13,{price}\n",
    )

    assert limit(data)["state"] == state


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 10**6), st.sampled_from([4, 5, 6]), st.sampled_from([-1, 0, 1]))
def test_every_edge_belongs_to_the_state_above_it(size: int, parts: int, fifths: int, nudge: int) -> None:
    bound = Fraction(size, parts)
    value = bound * fifths / 5 + nudge * Fraction(1, 10**30)
    above = {4: "WARN", 5: "BREACH", 6: "HARD"}[fifths]
    expected = above if nudge >= 0 else STATES[STATES.index(above) - 1]

    found = state_of(float(value / bound), bound, POLICY.thresholds, lambda: value)

    assert found.value == expected


def test_near_an_edge_a_figure_that_cannot_be_exact_takes_the_worse_state() -> None:
    assert state_of(1 - 1e-12, Fraction(1), POLICY.thresholds).value == "BREACH"
    assert state_of(1 - 1e-6, Fraction(1), POLICY.thresholds).value == "WARN"


@pytest.mark.parametrize(("kind", "expected"), [("soft", "BREACH_NOTIFY"), ("hard", "REQUEST_APPROVAL")])
def test_a_soft_limit_tells_and_a_hard_one_opens_a_case(kind: str, expected: str) -> None:
    assert outcome(f"GROSS,100000,,,{kind}") == expected
    assert outcome(f"GROSS,50000,,,{kind}") == "BLOCK_NEW_RISK"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("BREACH", "BLOCK_NEW_RISK"),
        ("HARD", "BLOCK_NEW_RISK"),
        ("WARN", "REQUEST_APPROVAL"),
        ("OK", "REQUEST_APPROVAL"),
    ],
)
def test_a_second_breach_in_a_row_blocks(before: str, expected: str) -> None:
    assert outcome("GROSS,100000", previous=[{"limit_id": "L1", "state": before}]) == expected
    assert outcome("GROSS,200000", previous=[{"limit_id": "L1", "state": before}]) == "OK"
    assert outcome("GROSS,100000", previous=[{"limit_id": "L9", "state": before}]) == "REQUEST_APPROVAL"


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("79.99", "OK"),
        ("80", "WARN"),
        ("99.99", "WARN"),
        ("100", "BLOCK_NEW_RISK"),
        ("149.99", "BLOCK_NEW_RISK"),
        ("150", "KILL_REQUEST"),
        ("-500", "OK"),
    ],
)
def test_a_loss_limit_that_is_reached_blocks_and_half_beyond_asks_to_stop_all(lost: str, expected: str) -> None:
    pnl = f"date,pnl\n2026-01-12,5\n2026-01-13,{-float(lost)}\n"

    assert outcome("PNL_STOP,100", pnl=pnl) == expected


def test_drawdown_is_from_the_highest_sum_so_far() -> None:
    pnl = "date,pnl\n2026-01-09,50\n2026-01-12,-20\n2026-01-13,-40\n"

    assert limit(event("DRAWDOWN,100", pnl=pnl))["value"] == 60
    assert limit(event("DRAWDOWN_NAV,50,percent", pnl=pnl, nav="940"))["value"] == pytest.approx(60 / 1000, rel=1e-12)
    assert limit(event("DRAWDOWN,100", pnl="date,pnl\n2026-01-13,-40\n"))["value"] == 40


def test_of_two_accounts_each_has_its_own_loss_and_the_scope_their_sum() -> None:
    pnl = "date,account,pnl\n2026-01-13,A1,-60\n2026-01-13,A2,-50\n"
    text = "limit_id,metric,limit,owner,version,account\nL1,PNL_STOP,100,r,1,\nL2,PNL_STOP,100,r,1,A1\n"
    data = event(pnl=pnl, limits=text)

    assert (limit(data, "L1")["value"], limit(data, "L2")["value"]) == (110, 60)


def test_a_day_without_p_and_l_is_no_all_clear() -> None:
    assert outcome("PNL_STOP,100", pnl="date,pnl\n2026-01-12,5\n") == "RECHECK_DATA"
    assert outcome("PNL_STOP,100") == "RECHECK_DATA"
    assert outcome("PNL_STOP,100", pnl="date,pnl\n2026-01-12,-200\n") == "KILL_REQUEST"


def test_returns_become_money_by_the_net_asset_value() -> None:
    assert limit(event("PNL_STOP,500", pnl="date,return\n2026-01-13,-0.0042\n"))["value"] == pytest.approx(420)
    assert limit(event("PNL_STOP,500", nav=None, pnl="date,return\n2026-01-13,-0.0042\n"))["value"] is None


def test_a_limit_of_zero_allows_nothing() -> None:
    assert outcome("GROSS,0") == "BLOCK_NEW_RISK"
    flat = "symbol,quantity\nAAA,0\n"
    assert limit(event("GROSS,0", positions=flat, fx=None))["state"] == "OK"


def test_a_net_asset_value_that_is_gone_is_beyond_every_share_of_it() -> None:
    assert outcome("LEVERAGE,10", nav="0") == "BLOCK_NEW_RISK"
    assert outcome("LEVERAGE,10", nav="-5") == "BLOCK_NEW_RISK"
    assert outcome("LEVERAGE,10", nav=None) == "RECHECK_DATA"


TEMPORARY = "limit_id,metric,limit,owner,version,temporary,temporary_until,approved_by,trader"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("150000,2026-01-31,anna;ben,tom", ""),
        ("150000,2026-01-13,anna;ben,tom", ""),
        ("150000,2026-01-12,anna;ben,tom", "it ended on 2026-01-12"),
        ("150000,,anna;ben,tom", "it has no end"),
        ("150000,2026-01-31,anna,tom", "it has 1 approvers; 2 are needed"),
        ("150000,2026-01-31,anna; ANNA ,tom", "it has 1 approvers; 2 are needed"),
        ("150000,2026-01-31,,tom", "it has 0 approvers; 2 are needed"),
        ("150000,2026-01-31,anna;ben;Tom,tom", "the trader is among its approvers"),
        ("150000,2026-01-31,anna;ben,", "the trader whom it is for is not named"),
    ],
)
def test_a_temporary_increase_needs_two_approvers_an_end_and_not_the_trader(row: str, reason: str) -> None:
    data = event(limits=f"{TEMPORARY}\nL1,GROSS,100000,risk,1,{row}\n")

    assert limit(data)["limit"] == (100_000 if reason else 150_000)
    assert answer(data)[0].outcome == ("REQUEST_APPROVAL" if reason else "OK")
    if reason:
        assert told(data, "RL11") == [f"the temporary increase of L1 is not in force: {reason}"]


def test_a_temporary_tightening_needs_nobody() -> None:
    data = event(limits=f"{TEMPORARY}\nL1,GROSS,200000,risk,1,50000,,,\n")

    assert answer(data)[0].outcome == "BLOCK_NEW_RISK"


def test_what_an_action_holds_is_figures_codes_and_identifiers() -> None:
    action = answer(event("GROSS,100000", "NET,30000", "LEVERAGE,9"))[0].action

    assert action is not None
    assert (action.kind, action.target) == ("trigger_dag", "limits_case")
    assert [one["limit_id"] for one in action.params["limits"]] == ["L1", "L2"]  # type: ignore[index, union-attr, call-overload]
    first = action.params["limits"][0]  # type: ignore[index]
    assert first == {
        "limit_id": "L1", "metric": "GROSS", "version": "v1", "owner": "risk", "state": "BREACH",
        "utilisation": "1.057000", "cause": "PASSIVE",
    }  # fmt: skip


def test_an_all_clear_does_nothing() -> None:
    assert answer(event("GROSS,1000000"))[0].action is None


def test_a_thousand_limits_and_their_breaches_fit_one_decision() -> None:
    data = event(*["GROSS,1000"] * 1000)

    decision, facts = answer(data)

    assert decision.outcome == "BLOCK_NEW_RISK"
    assert decision.action is not None
    assert (len(decision.action.params["limits"]), decision.action.params["more"]) == (50, 950)  # type: ignore[arg-type]
    assert facts["findings"][-1]["sentence"] == "800 more findings are not listed"
    assert facts["findings"][-1]["asks"] == "BLOCK_NEW_RISK"
