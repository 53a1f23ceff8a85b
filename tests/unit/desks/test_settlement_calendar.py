"""Settlement cycles, business days and deadlines."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from settling import POLICY, answer, event, failing, sentences, told

from tradeloop.desks.settlement.calendar import business_days, days_after, deadline, following, intended
from tradeloop.desks.settlement.refusal import MessageInvalid


@pytest.mark.parametrize(
    ("market", "calendar", "trade_date", "settles"),
    [
        ("US", "XNYS", "2024-05-24", ("2024-05-29", 2)),  # Friday before Memorial Day, the last of T+2
        ("US", "XNYS", "2024-05-28", ("2024-05-29", 1)),
        ("US", "XNYS", "2025-11-26", ("2025-11-28", 1)),  # over Thanksgiving to the half day
        ("US", "XNYS", "2017-09-01", ("2017-09-07", 3)),
        ("EU", "XETR", "2026-01-08", ("2026-01-12", 2)),
        ("EU", "XETR", "2027-10-08", ("2027-10-12", 2)),
        ("EU", "XETR", "2027-10-11", ("2027-10-12", 1)),
        ("UK", "XLON", "2027-10-11", ("2027-10-12", 1)),
        ("CH", "XSWX", "2027-10-11", ("2027-10-12", 1)),
        ("CA", "XTSE", "2024-05-27", ("2024-05-28", 1)),
    ],
)
def test_the_cycle_is_that_of_the_trade_day(
    market: str, calendar: str, trade_date: str, settles: tuple[str, int]
) -> None:
    found = intended(POLICY, market, calendar, date.fromisoformat(trade_date))

    assert found == (date.fromisoformat(settles[0]), settles[1])


def test_a_market_or_a_time_without_a_known_cycle_has_none() -> None:
    assert intended(POLICY, "ZZ", "XETR", date(2026, 1, 8)) is None
    assert intended(POLICY, "US", "XNYS", date(1990, 1, 8)) is None


def test_age_counts_business_days_alone() -> None:
    assert days_after("XETR", date(2026, 4, 2), date(2026, 4, 7)) == 1  # Good Friday, a weekend, Easter Monday
    assert days_after("XETR", date(2026, 4, 2), date(2026, 4, 2)) == 0
    assert days_after("XETR", date(2026, 4, 2), date(2026, 3, 1)) == 0


def test_the_following_day_of_a_holiday_is_the_next_open_one() -> None:
    assert following("XETR", date(2026, 4, 3), 0) == date(2026, 4, 7)
    assert following("XETR", date(2026, 4, 2), 1) == date(2026, 4, 7)


@pytest.mark.parametrize(
    ("day", "paid", "at"),
    [
        ("2026-01-13", True, datetime(2026, 1, 13, 14, 45, tzinfo=UTC)),
        ("2026-07-13", True, datetime(2026, 7, 13, 13, 45, tzinfo=UTC)),  # summer time
        ("2026-01-13", False, datetime(2026, 1, 13, 16, 45, tzinfo=UTC)),
    ],
)
def test_a_deadline_is_local_time(day: str, paid: bool, at: datetime) -> None:
    assert deadline(POLICY, "EU", date.fromisoformat(day), against_payment=paid) == at
    assert deadline(POLICY, "ZZ", date.fromisoformat(day), against_payment=paid) is None


@pytest.mark.parametrize(("now", "told_by"), [("13:00", "is to come"), ("15:00", "is past")])
def test_the_deadline_of_today_is_told(now: str, told_by: str) -> None:
    _, facts, _ = answer(event(failing("LACK"), now=f"2026-01-13T{now}:00+00:00"))

    assert sentences(facts, "SS13") == [f"the market's deadline 2026-01-13 14:45 UTC {told_by}"]


def test_a_settlement_date_beside_the_cycle_is_noted() -> None:
    _, facts, _ = answer(event(told(("MTCH", "NMAT", ("DDAT",)), isd=date(2026, 1, 13))))

    assert sentences(facts, "SS14") == ["settles on 2026-01-13; T+2 of 2026-01-08 is 2026-01-12"]
    assert facts["intended"] == "2026-01-12"


@pytest.mark.parametrize(
    ("changes", "told_by"),
    [
        ({"calendar": "XXXX"}, "field payload.data.calendar: 'XXXX'"),
        ({"today": "2046-01-13"}, "field payload.data.today: .* more than 3660 days"),
    ],
)
def test_a_calendar_that_is_none_is_refused_by_field(changes: dict[str, str], told_by: str) -> None:
    with pytest.raises(MessageInvalid, match=told_by):
        answer(event(failing("LACK"), **changes))


def test_no_days_lie_between_a_day_and_one_before() -> None:
    assert business_days("XETR", date(2026, 1, 13), date(2026, 1, 12)) == ()
