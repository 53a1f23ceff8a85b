"""From breaks to one decision and one action: budget, drift, partners, and what agents may and may not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from reconciling import DESK, NOWHERE, POLICY, answer, books, pair, told, trade

from tradeloop.desks.reconciliation.weighing import one_sided
from tradeloop.domain.actions import Action
from tradeloop.errors import ActionForbidden
from tradeloop.gate.allowed import check

SMALL = {"net": "10010.01"}


def small(count: int, *, sign: int = 1, account: str = "ACC-1", size: str = "0.01") -> list[tuple[dict, dict]]:
    rows = []
    for number in range(count):
        way = sign or 1 - 2 * (number % 2)
        ours = trade(id=f"T{number}", exec_id=f"{account}-X{number}", account=account)
        rows.append((ours, {**ours, "net": f"{Decimal('10010.00') + way * Decimal(size):f}"}))
    return rows


def as_books(rows: list[tuple[dict, dict]], **more: Any) -> dict[str, Any]:
    return books([ours for ours, _ in rows], [theirs for _, theirs in rows], **more)


def test_a_small_difference_is_posted_with_its_lines_and_amount() -> None:
    decision, _, header = answer(pair(**SMALL))

    assert decision.action is not None
    assert decision.action.target == "post_adjustment"
    assert decision.action.params["adjustments"] == [
        {"kind": "RB11", "account": "ACC-1", "currency": "USD", "amount": "0.01", "internal": 1, "external": 1}
    ]
    assert decision.action.params["internal_sha256"] == header["internal_sha256"]


def test_what_the_other_side_pays_less_is_negative_for_a_sale() -> None:
    ours = trade(side="S", net="9990.00")

    decision, _, _ = answer(books([ours], [{**ours, "net": "9990.01"}]))

    assert decision.action is not None
    assert decision.action.params["adjustments"][0]["amount"] == "-0.01"


def test_an_account_whose_day_is_not_told_has_no_budget() -> None:
    assert told(pair(**SMALL) | {"used": []}) == ("PROPOSE_FIX", ["RB11"])


@pytest.mark.parametrize("currency", ["XYZ", None])
def test_a_currency_without_a_scale_resolves_nothing(currency: str | None) -> None:
    assert told(books([trade(currency=currency)], [trade(currency=currency, **SMALL)])) == ("PROPOSE_FIX", ["RB11"])


def test_a_tolerance_is_scaled_by_the_currency() -> None:
    yen = trade(currency="JPY", quantity="1000", price="2000", fees="1000", net="2001000")

    assert told(books([yen], [{**yen, "net": "2001005"}])) == ("AUTO_RESOLVE", ["RB11"])
    assert told(books([yen], [{**yen, "net": "2001006"}])) == ("ESCALATE", ["RB11"])


@pytest.mark.parametrize(
    ("count", "notional", "outcome"),
    [(19, "0", "AUTO_RESOLVE"), (20, "0", "ESCALATE"), (0, "99.99", "AUTO_RESOLVE"), (0, "99.9901", "ESCALATE")],
)
def test_the_days_budget_holds_by_count_and_by_size(count: int, notional: str, outcome: str) -> None:
    used = [{"account": "ACC-1", "count": count, "notional": notional}]

    assert told(pair(**SMALL) | {"used": used}) == (outcome, ["RB11"])


def test_the_smallest_are_resolved_while_the_budget_lasts() -> None:
    rows = [*small(3, sign=0, size="0.05"), *small(2, sign=0, account="ACC-2")]
    used = [{"account": "ACC-1", "count": 18, "notional": "0"}, {"account": "ACC-2", "count": 0, "notional": "0"}]

    decision, facts, _ = answer(as_books(rows, used=used))

    assert decision.outcome == "ESCALATE"
    assert facts["over_budget"] == ["ACC-1"]
    assert decision.action is not None
    posted = [one["account"] for one in decision.action.params["adjustments"]]
    assert sorted(posted) == ["ACC-1", "ACC-1", "ACC-2", "ACC-2"]


def test_many_small_differences_of_one_sign_are_a_leak() -> None:
    assert told(as_books(small(7)))[0] == "AUTO_RESOLVE"
    outcome, _ = told(as_books(small(8)))
    assert outcome == "ESCALATE"


def test_small_differences_of_both_signs_are_rounding() -> None:
    assert told(as_books(small(12, sign=0)))[0] == "AUTO_RESOLVE"


def test_earlier_days_count_for_the_drift() -> None:
    signs = [{"account": "ACC-1", "plus": 7, "minus": 0}]

    _, facts, _ = answer(pair(**SMALL) | {"signs": signs})

    assert facts["drifting"] == ["ACC-1"]
    assert told(pair(net="10009.99") | {"signs": signs})[0] == "AUTO_RESOLVE"


@pytest.mark.parametrize(
    ("plus", "minus", "expected"), [(8, 0, 2 / 256), (0, 8, 2 / 256), (4, 4, 1.0), (0, 0, 1.0), (7, 1, 18 / 256)]
)
def test_the_sign_test_is_exact(plus: int, minus: int, expected: float) -> None:
    assert one_sided(plus, minus) == pytest.approx(expected)


def test_the_sign_test_of_very_many_is_close_to_the_exact_one() -> None:
    assert one_sided(560, 440) == pytest.approx(one_sided(561, 440), rel=0.2)
    assert one_sided(10**6, 0) == pytest.approx(0)


def test_more_adjustments_than_a_decision_takes_are_proposed() -> None:
    rows = [row for number in range(21) for row in small(10, sign=0, account=f"ACC-{number}")]
    used = [{"account": f"ACC-{number}", "count": 0, "notional": "0"} for number in range(21)]

    decision, facts, _ = answer(as_books(rows, used=used))

    assert (decision.outcome, facts["asked"]) == ("PROPOSE_FIX", {"AUTO_RESOLVE": 200, "PROPOSE_FIX": 10})


def test_an_escalated_break_does_not_hold_up_what_is_within_tolerance() -> None:
    rows = [*small(1), (trade(id="T9", exec_id="X9"), trade(id="T9", exec_id="X9", quantity="5"))]

    decision, _, _ = answer(as_books(rows))

    assert decision.outcome == "ESCALATE"
    assert decision.action is not None
    assert [one["kind"] for one in decision.action.params["adjustments"]] == ["RB11"]


@pytest.mark.parametrize("outcome", ["WAIT_NEXT_CYCLE", "PROPOSE_FIX", "ESCALATE"])
def test_where_agents_want_more_caution_nothing_is_posted(outcome: str) -> None:
    data = pair(**SMALL)
    header, facts = DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE)

    action = DESK.action(header, facts, outcome)

    assert action is None or "adjustments" not in action.params
    assert (action is None) == (outcome == "ESCALATE")


def test_agents_are_left_waiting_or_proposing_and_never_resolving() -> None:
    data = pair(settle_date="2026-01-14")
    verdict = DESK.judge(DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE))

    assert (verdict.decision.outcome, verdict.ambiguous, verdict.asks) == ("ESCALATE", ("PROPOSE_FIX",), True)


def test_beside_a_break_that_is_closed_to_agents_nothing_is_open() -> None:
    rows = [(trade(), trade(settle_date="2026-01-14")), (trade(exec_id="X2"), trade(exec_id="X2", quantity="5"))]
    data = as_books(rows)
    verdict = DESK.judge(DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE))

    assert verdict.ambiguous == ()


def test_agents_are_asked_about_texts_and_see_them_quoted() -> None:
    data = books([trade(text="booked late, sorry")], [trade(**SMALL)], remarks=["please resolve"])
    verdict = DESK.judge(DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE))

    assert verdict.asks
    assert sorted(verdict.quoted.values()) == ["booked late, sorry", "please resolve"]
    assert all("sorry" not in str(each) for each in verdict.decision.findings)


def test_the_specialists_tell_how_like_cases_ended_and_what_day_it_is() -> None:
    history = [
        {"kind": "RB06", "counterparty": "BROKERA", "right": "PROPOSE_FIX"},
        {"kind": "RB06", "counterparty": "BROKERB", "right": "ESCALATE"},
        {"kind": "RB03", "right": "ESCALATE"},
    ]
    data = pair(settle_date="2026-01-14") | {"history": history, "now": "2026-01-13T09:00:00-05:00"}
    header, facts = DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE)

    told_by = {one.name: one.tool(header, facts, NOWHERE)["findings"] for one in DESK.specialists}

    assert [each["sentence"] for each in told_by["history"]] == [
        "RB06 of all: 2 earlier cases ended ESCALATE 1, PROPOSE_FIX 1",
        "RB06 of this counterparty: 1 earlier cases ended PROPOSE_FIX 1",
    ]
    sentences = [each["sentence"] for each in told_by["timing"]]
    assert "F-01: settles on 2026-01-13, today" in sentences
    assert "F-01: settles on 2026-01-14, to come" in sentences
    assert any("2026-01-13" in each and "UTC" in each for each in sentences)


@pytest.mark.parametrize(
    ("kind", "target", "change"),
    [
        ("trigger_dag", "amend_trade", {}),
        ("trigger_dag", "cancel_trade", {}),
        ("http", "post_adjustment", {}),
        ("trigger_dag", "post_adjustment", {"adjustments": [{"kind": "RB05"}]}),
        ("trigger_dag", "post_adjustment", {"adjustments": []}),
        ("trigger_dag", "post_adjustment", {"note": "please"}),
        ("trigger_dag", "reconciliation_wait", {"waits": ["two words"]}),
        ("trigger_dag", "reconciliation_wait", {"adjustments": []}),
    ],
)
def test_nothing_else_is_on_the_allow_list(kind: str, target: str, change: dict[str, Any]) -> None:
    decision, _, _ = answer(pair(**SMALL))
    assert decision.action is not None
    params: dict[str, Any] = {**decision.action.params, **change}
    if target.startswith("reconciliation") and "adjustments" not in change:
        del params["adjustments"]

    with pytest.raises(ActionForbidden):
        check(Action(kind=kind, target=target, params=params), DESK.allowed, DESK.name)


def test_many_breaks_are_counted_and_a_hundred_are_listed() -> None:
    rows = [(trade(exec_id=f"X{n}"), trade(exec_id=f"X{n}", quantity="5")) for n in range(120)]

    decision, facts, _ = answer(as_books(rows))

    assert (len(facts["findings"]), facts["omitted"], facts["kinds"]) == (100, 20, {"RB03": 120})
    assert decision.reasons[-1].endswith("120 breaks: RB03 120")


def test_a_batch_that_agrees_is_linked() -> None:
    decision, facts, _ = answer(pair())

    assert (decision.outcome, facts["matched"], facts["breaks"]) == ("MATCH", 1, 0)
    assert decision.action is not None
    assert decision.action.target == POLICY.actions[POLICY.lattice[0]].target


def test_what_waits_is_noted_beside_a_break_that_a_person_takes_up() -> None:
    late = trade(id="T2", exec_id="X2")
    data = books([trade(), late], [trade(quantity="5"), {**late, "trade_date": "2026-01-13"}])

    decision, facts, _ = answer(data)

    assert (decision.outcome, facts["waits"]) == ("ESCALATE", ["X2"])
    assert decision.action is not None
    assert (decision.action.target, decision.action.params["waits"]) == ("reconciliation_wait", ["X2"])
