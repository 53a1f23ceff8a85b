"""The trading days and minutes of an exchange."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final  # exchange_calendars ships no types

from tradeloop.desks.marketdata.batch import Batch, Frequency
from tradeloop.errors import EventInvalid

FIRST_YEAR: Final = 1985
"""Batches of later years share one calendar."""


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day: its date, and when it opens and closes in UTC; early closes and breaks are in it."""

    day: date
    opens_at: datetime
    closes_at: datetime
    break_from: datetime | None = None
    break_to: datetime | None = None

    def minutes(self) -> Iterator[datetime]:
        """The start of every minute of trading."""
        at = self.opens_at
        while at < self.closes_at:
            if self.break_from is None or self.break_to is None or not self.break_from <= at < self.break_to:
                yield at
            at += timedelta(minutes=1)


@lru_cache(maxsize=1024)
def sessions(calendar: str, first: date, last: date) -> tuple[date, ...]:
    """The sessions from `first` to `last`, both included.

    The first call of a process imports exchange_calendars and takes about 1.5 s; `warm` does that ahead of time.

    Raises:
        EventInvalid: there is no such calendar, or it does not reach that far.
    """
    with _told(calendar, first, last):
        found = _calendar(calendar, *_span(first, last))
        return tuple(moment.date() for moment in found.sessions_in_range(first.isoformat(), last.isoformat()))


@lru_cache(maxsize=256)
def timed_sessions(calendar: str, first: date, last: date) -> tuple[Session, ...]:
    """The sessions with their hours.

    Raises:
        EventInvalid: as `sessions`.
    """
    with _told(calendar, first, last):
        found = _calendar(calendar, *_span(first, last))
        rows = found.schedule.loc[first.isoformat() : last.isoformat()].itertuples()
        return tuple(
            Session(row.Index.date(), _utc(row.open), _utc(row.close), _known(row.break_start), _known(row.break_end))
            for row in rows
        )


def expected_stamps(batch: Batch) -> tuple[date, ...]:
    """Every stamp that a whole batch of this calendar, period and frequency has, in order.

    Days; the Mondays of weeks with a session; minutes and hours as the start of the bar in UTC.
    """
    first, last = batch.first_day, batch.last_day
    if batch.is_intraday:
        return _intraday(batch.calendar, first, last, batch.frequency)
    days = sessions(batch.calendar, first, last)
    return tuple(sorted({monday(day) for day in days})) if batch.frequency == "1wk" else days


@lru_cache(maxsize=64)
def _intraday(calendar: str, first: date, last: date, frequency: Frequency) -> tuple[date, ...]:
    found = timed_sessions(calendar, first, last)
    minutes = (minute for session in found for minute in session.minutes())
    if frequency == "1min":
        return tuple(minutes)
    return tuple(sorted({minute.replace(minute=0) for minute in minutes}))


def monday(day: date) -> date:
    """The Monday of the day's week."""
    return day - timedelta(days=day.weekday())


def warm(calendar: str = "XNYS") -> None:
    """Import what `sessions` needs, so that the first batch of a worker does not wait for it."""
    today = datetime.now(UTC).date()
    sessions(calendar, today - timedelta(days=7), today)


@contextmanager
def _told(calendar: str, first: date, last: date) -> Iterator[None]:
    from exchange_calendars.errors import CalendarError

    try:
        yield
    except (CalendarError, ValueError, OverflowError) as problem:
        text = " ".join(str(problem).split())
        raise EventInvalid(f"payload.data.calendar: {calendar!r} from {first} to {last}: {text:.200}") from problem


def _utc(moment: Any) -> datetime:
    made: datetime = moment.to_pydatetime().astimezone(UTC)
    return made


def _known(moment: Any) -> datetime | None:
    import pandas

    return None if pandas.isna(moment) else _utc(moment)


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
