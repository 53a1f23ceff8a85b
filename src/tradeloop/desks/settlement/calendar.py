"""Business days of a place of settlement, settlement cycles and deadlines."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final  # Any: exchange_calendars ships no types
from zoneinfo import ZoneInfo

from tradeloop.desks.settlement.policy import Policy
from tradeloop.desks.settlement.refusal import MessageInvalid

MAX_SPAN_DAYS: Final = 3_660
"""A fail of ten years is a wrong date; counting its days would only take time."""
YEARS: Final = (1990, 2100)
"""Before and after lies no settlement; calendars end, and days added to the last one overflow."""
FIRST_YEAR: Final = 2020
"""Cases of later years share one calendar, which takes 0.1 s to build."""


def business_days(calendar: str, first: date, last: date) -> tuple[date, ...]:
    """The business days from `first` to `last`, both included; none when `last` is before `first`.

    Raises:
        MessageInvalid: there is no such calendar, or it does not reach that far.
    """
    if last < first:
        return ()
    _within(first, last)
    if (last - first).days > MAX_SPAN_DAYS:
        told = f"{first} to {last} is more than {MAX_SPAN_DAYS} days; a date is wrong"
        raise MessageInvalid(told, field="payload.data.today")
    return _sessions(calendar, first, last)


def following(calendar: str, day: date, count: int) -> date:
    """The business day `count` after `day`; 0: `day` itself, or the next one when it is none."""
    _within(day, day)
    found = business_days(calendar, day + timedelta(days=1) if count else day, day + timedelta(days=21 + 2 * count))
    if len(found) < max(count, 1):
        raise MessageInvalid(f"{calendar!r} knows too few business days after {day}", field="payload.data.calendar")
    return found[max(count, 1) - 1]


def days_after(calendar: str, day: date, today: date) -> int:
    """Business days after `day` up to `today`; 0 when it is not past."""
    _within(day, today)
    return len(business_days(calendar, day + timedelta(days=1), today))


def intended(policy: Policy, market: str, calendar: str, trade_date: date) -> tuple[date, int] | None:
    """The settlement date that the market's cycle gives a trade day, and the cycle's days; None: no cycle is known."""
    held = [cycle for cycle in policy.cycles.get(market, ()) if cycle.from_ <= trade_date]
    return (following(calendar, trade_date, held[-1].days), held[-1].days) if held else None


def deadline(policy: Policy, market: str, day: date, *, against_payment: bool) -> datetime | None:
    """The market's last moment on a settlement day, in UTC; None: none is known."""
    held = policy.deadlines.get(market)
    if held is None:
        return None
    clock = held.payment if against_payment else held.free
    return datetime.combine(day, clock, ZoneInfo(held.zone)).astimezone(UTC)


def _within(first: date, last: date) -> None:
    if not all(YEARS[0] <= day.year <= YEARS[1] for day in (first, last)):
        told = f"{first} to {last} lies outside of {YEARS[0]} to {YEARS[1]}; a date is wrong"
        raise MessageInvalid(told, field="payload.data.today")


@lru_cache(maxsize=4096)
def _sessions(calendar: str, first: date, last: date) -> tuple[date, ...]:
    from exchange_calendars.errors import CalendarError

    try:
        found = _calendar(calendar, min(first.year - 1, FIRST_YEAR), _later(last.year + 1))
        return tuple(moment.date() for moment in found.sessions_in_range(first.isoformat(), last.isoformat()))
    except (CalendarError, ValueError, OverflowError) as problem:
        text = " ".join(str(problem).split())
        told = f"{calendar!r} from {first} to {last}: {text:.200}"
        raise MessageInvalid(told, field="payload.data.calendar") from problem


def _later(year: int) -> int:
    # Ten years at a time: most cases share one calendar, and no clock is asked.
    return max(year // 10 * 10 + 9, year)


@lru_cache(maxsize=16)
def _calendar(name: str, first_year: int, last_year: int) -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        # The library's own use of pandas: nobody here can act on it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return exchange_calendars.get_calendar(name, start=f"{first_year}-01-01", end=f"{last_year}-12-31")
        except ValueError:  # some calendars are known for a span of years only: take all of it
            return exchange_calendars.get_calendar(name)
