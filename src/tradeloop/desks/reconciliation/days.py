"""Business days between two dates, for whole columns at once."""

from __future__ import annotations

import warnings
from datetime import date
from functools import lru_cache
from typing import Any, Final  # Any: exchange_calendars ships no types

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tradeloop.desks.reconciliation.refusal import RecordInvalid

Days = NDArray[np.datetime64]
YEARS_BACK: Final = 12
YEARS_ON: Final = 2
"""Holidays are known around the day that is decided for; days outside are told by weekday alone."""


def check_calendar(name: str) -> None:
    """Refuse a calendar that nobody knows.

    Raises:
        RecordInvalid: exchange_calendars has no such calendar.
    """
    import exchange_calendars

    if name not in exchange_calendars.get_calendar_names(include_aliases=True):
        told = f"{name!r} is no calendar; a market code such as XNYS is expected"
        raise RecordInvalid(told, file="payload.data", field="calendar")


def between(first: pl.Series, last: pl.Series, calendar: str, today: date) -> pl.Series:
    """Business days from each first to each last day, negative where it lies before; null where either is null."""
    known = (first.is_not_null() & last.is_not_null()).to_numpy()
    start, end = (_days(side)[known] for side in (first, last))
    found = np.zeros(first.len(), dtype=np.int64)
    found[known] = np.busday_count(start, end, holidays=_holidays(calendar, today.year))
    return pl.Series(found).set(pl.Series(~known), None)


def is_open(days: pl.Series, calendar: str, today: date) -> pl.Series:
    """Whether each day is a business day; null where it is null."""
    known = days.is_not_null().to_numpy()
    found = np.zeros(days.len(), dtype=np.bool_)
    found[known] = np.is_busday(_days(days)[known], holidays=_holidays(calendar, today.year))
    return pl.Series(found).set(pl.Series(~known), None)


def _days(days: pl.Series) -> Days:
    return days.to_numpy().astype("datetime64[D]")


@lru_cache(maxsize=32)
def _holidays(name: str, year: int) -> Days:
    calendar = _calendar(name, max(1990, year - YEARS_BACK), year + YEARS_ON)
    sessions = calendar.sessions.values.astype("datetime64[D]")
    span = np.arange(sessions[0], sessions[-1], dtype="datetime64[D]")
    return np.setdiff1d(span[np.is_busday(span)], sessions)


def _calendar(name: str, first_year: int, last_year: int) -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        # The library's own use of pandas: nobody here can act on it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return exchange_calendars.get_calendar(name, start=f"{first_year}-01-01", end=f"{last_year}-12-31")
        except ValueError:  # some calendars are known for a span of years only: take all of it
            return exchange_calendars.get_calendar(name)
