"""The trading days of an exchange."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final  # exchange_calendars ships no types

from tradeloop.errors import EventInvalid

FIRST_YEAR: Final = 1985
"""Batches of later years share one calendar."""


@lru_cache(maxsize=1024)
def sessions(calendar: str, first: date, last: date) -> tuple[date, ...]:
    """The sessions from `first` to `last`, both included.

    The first call of a process imports exchange_calendars and takes about 1.5 s; `warm` does that ahead of time.

    Raises:
        EventInvalid: there is no such calendar, or it does not reach that far.
    """
    from exchange_calendars.errors import CalendarError

    try:
        found = _calendar(calendar, *_span(first, last))
        return tuple(moment.date() for moment in found.sessions_in_range(first.isoformat(), last.isoformat()))
    except (CalendarError, ValueError) as problem:
        text = " ".join(str(problem).split())
        raise EventInvalid(f"payload.data.calendar: {calendar!r} from {first} to {last}: {text:.200}") from problem


def warm(calendar: str = "XNYS") -> None:
    """Import what `sessions` needs, so that the first batch of a worker does not wait for it."""
    today = datetime.now(UTC).date()
    sessions(calendar, today - timedelta(days=7), today)


@lru_cache(maxsize=16)
def _calendar(name: str, first_year: int, last_year: int) -> Any:
    import exchange_calendars

    years = {"start": f"{first_year}-01-01", "end": f"{last_year}-12-31"}
    with warnings.catch_warnings():
        # The library's own use of pandas: nobody here can act on it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return exchange_calendars.get_calendar(name, **years)
        except ValueError:  # some calendars are known for a span of years only: take all of it
            return exchange_calendars.get_calendar(name)


def _span(first: date, last: date) -> tuple[int, int]:
    # One long calendar takes as long to build as one short one (0.1 s); a year on either side, because the library
    # refuses a day before the calendar's own first session.
    next_year = datetime.now(UTC).year + 1
    return min(first.year - 1, FIRST_YEAR), max(last.year + 1, next_year)
