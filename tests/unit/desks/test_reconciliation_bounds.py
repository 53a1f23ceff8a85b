"""Books made to be searched for hours: every search has an end, and what it leaves is a person's."""

from __future__ import annotations

from typing import Any

import pytest
from reconciling import DESK, POLICY, answer, books, told, trade

from tradeloop.desks.reconciliation import assignment, breaks, fix, grouping
from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.desks.reconciliation.workflow import workflow


def part(name: str, quantity: int | str, **changes: Any) -> dict[str, Any]:
    return trade(exec_id=name, id=name, quantity=str(quantity), fees=None, net=None, **changes)


def test_two_books_of_nothing_in_common_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaks, "SEARCHED_MAX", 3)
    ours, theirs = (
        [part(f"A{n}", 100 + n) for n in range(4)],
        [part(f"B{n}", 100 + n, price="10.0001") for n in range(4)],
    )

    assert told(books(ours, theirs))[1] == ["RB01"] * 4 + ["RB02"] * 4
    assert told(books(ours, [*ours, ours[0]]))[1] == ["RB08"]
    assert told(books([*ours, ours[0], *[part(f"C{n}", 7) for n in range(4)]], ours))[1].count("RB01") >= 4


def test_a_sum_that_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    data = books([part("A", 1000)], [part("B", 400), part("C", 600)])
    assert told(data) == ("MATCH", ["RB14"])

    monkeypatch.setattr(grouping, "_STEPS", 2)
    assert told(data)[0] == "ESCALATE"


def test_all_sums_of_a_batch_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping._Budget, "__init__", lambda self: setattr(self, "steps", 2))

    assert told(books([part("A", 1000)], [part("B", 400), part("C", 600)]))[0] == "ESCALATE"


def test_a_block_of_too_many_candidates_is_not_summed() -> None:
    many = [part(f"B{n}", 10 + 7 * n) for n in range(POLICY.search.group_candidates + 1)]

    assert "RB14" not in told(books([part("A", 10 + 17)], many))[1]


def test_a_large_security_is_paired_day_by_day(monkeypatch: pytest.MonkeyPatch) -> None:
    search = POLICY.search.model_copy(update={"block_rows": 2})
    monkeypatch.setattr(POLICY, "__dict__", {**POLICY.__dict__, "search": search})
    days = ["2026-01-12", "2026-01-12", "2026-01-09", "2026-01-08", "2026-01-08", "2026-01-08"]
    ours = [part(f"A{n}", 1000 + 100 * n, trade_date=day) for n, day in enumerate(days)]
    theirs = [{**row, "exec_id": f"B{n}", "price": "10.0001"} for n, row in enumerate(ours)]

    kinds = told(books(ours, theirs))[1]

    assert kinds == ["RB01"] * 3 + ["RB02"] * 3 + ["RB04"] * 3


def test_pairs_that_are_weighed_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = books([part("A", 1000)], [part("B", 1000, price="10.0001")])
    assert told(data)[1] == ["RB04"]

    monkeypatch.setattr(assignment, "_ALL_CELLS", 0)
    assert told(data)[1] == ["RB01", "RB02"]


def test_one_execution_id_for_everything_is_sorted_out() -> None:
    ours = [part("X", 10), part("X", 20), part("X", 30)]
    theirs = [part("X", 10), part("X", 25), part("X", 31), part("X", 99, price="55")]

    outcome, kinds = told(books(ours, theirs))

    assert outcome == "ESCALATE"
    assert len(kinds) >= 3


def test_rows_of_one_execution_that_fit_nothing_are_unknown() -> None:
    ours, theirs = [part("X", 10)], [part("X", 10), part("X", 7)]

    assert told(books(ours, theirs)) == ("ESCALATE", ["RB02"])
    assert told(books(theirs, ours)) == ("ESCALATE", ["RB01"])


def test_one_against_two_unequal_ones_that_do_not_add_up_is_a_persons() -> None:
    outcome, kinds = told(books([part("X", 1000)], [part("X", 400), part("X", 500)]))

    assert outcome == "ESCALATE"
    assert kinds


def test_a_log_of_too_many_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fix, "MAX_MESSAGES", 1)
    side = {"format": "fix", "text": "8=FIX.4.4|\n8=FIX.4.4|"}

    with pytest.raises(RecordInvalid, match="more than 1 messages"):
        answer({"today": "2026-01-13", "internal": side, "external": side})


def test_empty_books_agree_and_one_empty_book_does_not() -> None:
    assert told(books([], [])) == ("MATCH", [])
    assert told(books([trade()], []))[0] == "ESCALATE"


def test_the_desk_warms_and_is_a_workflow() -> None:
    assert DESK.warm is not None
    DESK.warm()
    assert (workflow.event_type, workflow.desk) == ("reconciliation.batch.loaded", "reconciliation")
