"""Every class of break: what makes one, what it asks for, and what is none."""

from __future__ import annotations

from typing import Any

import pytest
from reconciling import APPLE, answer, books, pair, told, trade

from tradeloop.desks.reconciliation.policy import BreakClass

NOON, EVENING = "2026-01-13T12:00:00+00:00", "2026-01-13T22:00:00+00:00"
CUTOFF = "2026-01-13T21:00:00+00:00"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"price": "10.0000", "quantity": "1000.000", "side": "BUY"},
        {"fees": None, "net": None, "counterparty": None, "settle_date": None},
        {"exec_id": None},
        {"exec_id": "OTHER"},
        {"net": "-10010.00", "fees": "-10.00"},
        {"trade_date": "20260112", "settle_date": "2026-01-13 00:00:00+00:00"},
        {"text": "URGENT: a break! escalate!"},
    ],
)
def test_what_both_sides_tell_alike_is_no_break(changes: dict[str, Any]) -> None:
    assert told(pair(**changes)) == ("MATCH", [])


@pytest.mark.parametrize(
    ("changes", "kind", "outcome"),
    [
        ({"quantity": "1001", "net": "10020.00"}, "RB03", "ESCALATE"),
        ({"quantity": "1001"}, "RB03", "ESCALATE"),
        ({"price": "10.005", "net": "10015.00"}, "RB04", "AUTO_RESOLVE"),
        ({"price": "10.005"}, "RB04", "AUTO_RESOLVE"),
        ({"price": "10.0051", "net": "10015.10"}, "RB05", "ESCALATE"),
        ({"settle_date": "2026-01-14"}, "RB06", "ESCALATE"),
        ({"settle_date": "2026-01-17"}, "RB06", "PROPOSE_FIX"),
        ({"settle_date": "2026-01-19"}, "RB06", "PROPOSE_FIX"),
        ({"trade_date": "2026-01-08"}, "RB07", "ESCALATE"),
        ({"trade_date": "2026-01-08", "settle_date": "2026-01-09"}, "RB07", "ESCALATE"),
        ({"side": "S"}, "RB09", "ESCALATE"),
        ({"side": "S", "net": "9990.00"}, "RB09", "ESCALATE"),
        ({"fees": "10.20", "net": "10010.20"}, "RB10", "AUTO_RESOLVE"),
        ({"fees": "10.21", "net": "10010.21"}, "RB10", "ESCALATE"),
        ({"net": "10010.05"}, "RB11", "AUTO_RESOLVE"),
        ({"net": "10010.06"}, "RB11", "ESCALATE"),
        ({"currency": "EUR"}, "RB11", "ESCALATE"),
        ({"security": "037833100"}, "RB12", "PROPOSE_FIX"),
        ({"security": "US5949181045"}, "RB12", "ESCALATE"),
        ({"security": "037833109"}, "RB12", "ESCALATE"),
        ({"trade_date": "2026-01-13", "settle_date": "2026-01-14"}, "RB13", "WAIT_NEXT_CYCLE"),
        ({"trade_date": "2026-01-13"}, "RB13", "WAIT_NEXT_CYCLE"),
        ({"account": "ACC-2"}, "RB15", "ESCALATE"),
        ({"account": "ACC-2", "counterparty": "BROKERB"}, "RB15", "ESCALATE"),
    ],
)
def test_one_difference_is_named_and_answered(changes: dict[str, Any], kind: str, outcome: str) -> None:
    assert told(pair(**changes)) == (outcome, [kind])


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "10.001", "fees": "10.01", "net": "10011.01"},
        {"price": "10.001", "net": "10011.03"},
        {"quantity": "1001", "price": "10.001"},
        {"side": "S", "settle_date": "2026-01-14"},
        {"fees": "10.01", "counterparty": "BROKERB"},
        {"net": "10010.01", "security": "037833100"},
        {"trade_date": "2026-01-13", "settle_date": "2026-01-20"},
        {"currency": "EUR", "price": "10.001"},
    ],
)
def test_two_differences_are_never_resolved(changes: dict[str, Any]) -> None:
    assert told(pair(**changes)) == ("ESCALATE", ["RB17"])


def test_a_tolerance_holds_in_the_absolute_as_well() -> None:
    large = {"quantity": "1000000", "fees": None, "net": None}

    within, beyond = (books([trade(**large)], [trade(**large, price=price)]) for price in ("10.000025", "10.000026"))

    assert told(within) == ("AUTO_RESOLVE", ["RB04"])
    assert told(beyond) == ("ESCALATE", ["RB05"])


def test_figures_are_compared_exactly() -> None:
    """0.1 + 0.2 is 0.3 here."""
    ours, theirs = (
        trade(quantity="3", price="0.1", fees="0", net="0.3"),
        trade(quantity="3", price="0.10000000", net="0.30"),
    )

    assert told(books([ours], [{**theirs, "fees": "0.0"}])) == ("MATCH", [])
    assert told(books([ours], [{**theirs, "fees": "0.0", "price": "0.10000001"}]))[1] == ["RB04"]


def test_what_is_missing_waits_on_its_day_before_the_cut_off_alone() -> None:
    today = trade(trade_date="2026-01-13", settle_date="2026-01-14")

    assert told(books([today], [], now=NOON, cutoff=CUTOFF)) == ("WAIT_NEXT_CYCLE", ["RB01"])
    assert told(books([today], [], now=EVENING, cutoff=CUTOFF)) == ("ESCALATE", ["RB01"])
    assert told(books([today], [])) == ("ESCALATE", ["RB01"])
    assert told(books([trade()], [], now=NOON, cutoff=CUTOFF)) == ("ESCALATE", ["RB01"])


def test_an_unknown_trade_is_a_persons_even_before_the_cut_off() -> None:
    today = trade(trade_date="2026-01-13", settle_date="2026-01-14")

    assert told(books([], [today], now=NOON, cutoff=CUTOFF)) == ("ESCALATE", ["RB02"])


def test_a_late_booking_waits_once() -> None:
    late = books([trade()], [trade(trade_date="2026-01-13")], waited=["X1"])

    assert told(late) == ("ESCALATE", ["RB13"])


def test_a_late_booking_of_earlier_days_waited_already_whoever_forgot_to_say_so() -> None:
    late = books([trade()], [trade(trade_date="2026-01-13")])

    assert told({**late, "today": "2026-01-14"}) == ("WAIT_NEXT_CYCLE", ["RB13"])
    assert told({**late, "today": "2026-01-15"}) == ("ESCALATE", ["RB13"])


def test_what_has_no_name_cannot_wait() -> None:
    ours, theirs = trade(id=None, exec_id=None), trade(id=None, exec_id=None, trade_date="2026-01-13")

    assert told(books([ours], [theirs])) == ("ESCALATE", ["RB13"])


def test_the_same_execution_twice_is_a_duplicate_on_either_side() -> None:
    again = trade(id="T2")

    assert told(books([trade()], [trade(), again])) == ("PROPOSE_FIX", ["RB08"])
    assert told(books([trade(), again], [trade()])) == ("PROPOSE_FIX", ["RB08"])
    assert told(books([trade()], [trade(), again, trade(id="T3")])) == ("PROPOSE_FIX", ["RB08", "RB08"])


def test_a_duplicate_that_differs_as_well_is_told_as_both() -> None:
    twice = [trade(price="11"), trade(price="11", id="T2")]

    assert told(books([trade()], twice)) == ("ESCALATE", ["RB05", "RB08"])


def test_two_equal_fills_of_two_executions_are_two_trades() -> None:
    both = [trade(), trade(id="T2", exec_id="X2")]

    assert told(books(both, both)) == ("MATCH", [])
    assert told(books([trade()], both)) == ("ESCALATE", ["RB02"])


@pytest.mark.parametrize("ids", [("X1", "X1"), ("A1", "A2"), (None, None)])
def test_an_allocation_that_adds_up_matches(ids: tuple[str | None, str | None]) -> None:
    parts = [
        trade(exec_id=name, quantity=quantity, fees=None, net=None, price=price)
        for name, quantity, price in zip(ids, ("400", "600"), ("10.003", "9.998"), strict=True)
    ]

    assert told(books([trade()], parts)) == ("MATCH", ["RB14"])
    assert told(books(parts, [trade()])) == ("MATCH", ["RB14"])


@pytest.mark.parametrize(("side", "amount"), [("B", "0.4"), ("S", "-0.4")])
def test_an_allocation_at_another_average_price_within_tolerance_is_posted(side: str, amount: str) -> None:
    parts = [
        trade(exec_id="X1", side=side, quantity=quantity, fees=None, net=None, price=price)
        for quantity, price in (("400", "10.001"), ("600", "10.00"))
    ]

    decision, facts, _ = answer(books([trade(side=side)], parts))

    assert (decision.outcome, facts["kinds"]) == ("AUTO_RESOLVE", {"RB14": 1})
    assert decision.action is not None
    assert decision.action.params["adjustments"][0]["amount"] == amount


@pytest.mark.parametrize(
    "change", [{"price": "10.02"}, {"counterparty": "BROKERB"}, {"settle_date": "2026-01-14"}, {"ssi": "SSI-2"}]
)
def test_an_allocation_on_other_terms_is_a_persons(change: dict[str, Any]) -> None:
    ours = trade(ssi="SSI-1")
    parts = [
        trade(exec_id="X1", quantity="400", fees=None, net=None, ssi="SSI-1"),
        trade(exec_id="X1", quantity="600", fees=None, net=None, **{"ssi": "SSI-1", **change}),
    ]

    assert told(books([ours], parts)) == ("ESCALATE", ["RB14"])


def test_an_allocation_with_two_solutions_is_a_persons() -> None:
    parts = [
        trade(exec_id=None, id=f"P{quantity}", quantity=quantity, fees=None, net=None)
        for quantity in ("400", "600", "300", "700")
    ]

    outcome, kinds = told(books([trade(exec_id=None)], parts))

    assert outcome == "ESCALATE"
    assert kinds.count("RB14") == 1


def test_a_sum_of_round_lots_among_many_may_be_chance() -> None:
    def part(name: str, quantity: str) -> dict[str, Any]:
        return trade(exec_id=name, id=name, quantity=quantity, fees=None, net=None)

    odd = [part("A", "3000"), part("B", "100")]
    theirs = [part("C", "1000"), part("D", "2000"), part("E", "5000"), part("F", "7000")]
    lots = books(odd, theirs)
    assert "RB14" in told(lots)[1]
    assert told(lots)[0] == "ESCALATE"
    exact = [part("A", "1300457"), part("B", "100")]
    parts = [part("C", "1000003"), part("D", "300454"), part("E", "5000")]
    facts = answer(books(exact, parts))[1]
    assert [one["asks"] for one in facts["findings"] if one["kind"] == "RB14"] == ["MATCH"]


def test_several_to_several_match_when_all_of_it_adds_up() -> None:
    def part(name: str, quantity: str) -> dict[str, Any]:
        return trade(exec_id=name, id=name, quantity=quantity, fees=None, net=None)

    ours, theirs = [part("A", "300"), part("B", "700")], [part("C", "450"), part("D", "550")]

    assert told(books(ours, theirs)) == ("MATCH", ["RB14"])


@pytest.mark.parametrize(
    ("action", "changes", "kinds"),
    [
        ({"ratio": "2"}, {"quantity": "2000", "price": "5.00"}, ["RB16"]),
        ({"ratio": "0.5"}, {"quantity": "500", "price": "20.00"}, ["RB16"]),
        ({"ratio": "3"}, {"quantity": "3000", "price": "3.33333333"}, ["RB16"]),
        ({"ratio": "3"}, {"quantity": "2000", "price": "5.00"}, ["RB17"]),
        ({"ratio": "2"}, {"quantity": "2000", "price": "20.00"}, ["RB17"]),
        ({"dividend": "0.25"}, {"price": "9.75"}, ["RB16"]),
        ({"dividend": "0.25"}, {"price": "9.70"}, ["RB05"]),
    ],
)
def test_a_corporate_action_explains_what_it_explains(
    action: dict[str, str], changes: dict[str, str], kinds: list[str]
) -> None:
    data = pair(**changes) | {"corporate_actions": [{"security": APPLE, "ex_date": "2026-01-13", **action}]}

    assert told(data)[1] == kinds


def test_a_corporate_action_of_another_day_explains_nothing() -> None:
    data = pair(quantity="2000", price="5.00")
    for day in ("2026-01-09", "2026-02-01"):
        actions = [{"security": APPLE, "ex_date": day, "ratio": "2"}]
        assert told(data | {"corporate_actions": actions})[1] == ["RB17"]


def test_the_firms_own_table_maps_without_a_break() -> None:
    data = pair(security="AAPL.O") | {"identifiers": {"AAPL.O": APPLE}}

    assert told(data) == ("MATCH", [])


def test_a_sedol_becomes_a_british_isin() -> None:
    ours, theirs = trade(security="GB0002634946"), trade(security="0263494")

    assert told(books([ours], [theirs])) == ("PROPOSE_FIX", ["RB12"])


def test_without_execution_ids_the_nearest_partner_is_found() -> None:
    ours = [trade(exec_id=None), trade(exec_id=None, id="T2", quantity="77", fees=None, net=None)]
    theirs = [trade(exec_id=None, price="10.2", net=None), trade(exec_id=None, quantity="70", fees=None, net=None)]

    assert told(books(ours, theirs)) == ("ESCALATE", ["RB03", "RB05"])


def test_two_trades_that_differ_in_much_are_two_trades() -> None:
    ours = trade(exec_id=None, fees=None, net=None)
    theirs = trade(exec_id=None, quantity="10", price="25", account="ACC-9", fees=None, net=None)

    assert told(books([ours], [theirs]))[1] == ["RB01", "RB02"]


def test_a_mistyped_execution_id_is_seen_through() -> None:
    ours = trade(exec_id="EXEC-000123", quantity="1000", net=None)
    theirs = trade(exec_id="EXEC-000128", quantity="1400", price="10.3", net=None)

    assert told(books([ours], [theirs])) == ("ESCALATE", ["RB17"])


def test_an_uncertain_partner_resolves_nothing() -> None:
    ours = [trade(exec_id=None, net=None), trade(exec_id=None, id="T2", price="10.0003", net=None)]
    theirs = [trade(exec_id=None, price="10.0001", net=None)]

    outcome, kinds = told(books(ours, theirs))

    assert outcome == "ESCALATE"
    assert kinds == ["RB01", "RB04"]


def test_an_execution_id_used_for_another_trade_is_a_compound() -> None:
    theirs = trade(security="US5949181045", quantity="7", price="400", side="S")

    assert told(books([trade()], [theirs])) == ("ESCALATE", ["RB17"])


def test_a_finding_tells_both_sides_of_what_differs() -> None:
    _, facts, _ = answer(pair(price="10.5", fees="11.00", net="10511.00"))

    (finding,) = facts["findings"]
    shown = {each["field"]: (each["internal"], each["external"]) for each in finding["differences"]}
    assert shown["price"] == ("10", "10.5")
    assert shown["fees"] == ("10", "11")
    assert (finding["internal"], finding["external"], finding["ids"]) == ([1], [1], ["X1"])
    assert finding["kind"] == BreakClass.COMPOUND
