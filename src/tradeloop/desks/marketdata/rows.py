"""Checks of single rows and of the calendar: MD01 to MD06, and where the sessions are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np

from tradeloop.desks.marketdata.batch import Batch
from tradeloop.desks.marketdata.findings import Finding, listed, row_finding
from tradeloop.desks.marketdata.policy import Rule, Thresholds
from tradeloop.desks.marketdata.sessions import monday
from tradeloop.desks.marketdata.table import COLUMNS, PRICES, Table, spelled


def schema(table: Table, batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD01: a value that is needed is absent, or a value that is given cannot be read."""
    needed = {"date", *PRICES} | ({"volume"} if batch.asset_class in limits.volume_required else set())
    found = []
    for name in ("date", *COLUMNS):
        cells = table.cells[name]
        unread = [day is None for day in table.days] if name == "date" else list(np.isnan(table.values[name]))
        absent = [row for row, cell in enumerate(cells) if cell is None and name in needed]
        garbled = [row for row, cell in enumerate(cells) if cell is not None and unread[row]]
        if absent:
            where = "every row" if len(absent) == len(table) else _on(table, absent)
            found.append(row_finding(Rule.SCHEMA, table, absent, f"{name} is missing in {where}"))
        if garbled:
            kind = "no ISO date" if name == "date" else "no number"
            text = f"{name} {cells[garbled[0]]!r} is {kind} in {_on(table, garbled)}"
            found.append(row_finding(Rule.SCHEMA, table, garbled, text))
    return found


def non_positive(table: Table, batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD02: a price of zero or below, where the asset class has none."""
    if batch.asset_class in limits.non_positive_allowed:
        return []
    lowest = np.fmin.reduce([table.values[name] for name in PRICES])
    rows = np.flatnonzero(lowest <= 0).tolist()
    if not rows:
        return []
    worst = float(np.nanmin(lowest))
    text = f"price {worst:g} is not above zero in {_on(table, rows)}"
    return [row_finding(Rule.NON_POSITIVE, table, rows, text, value=worst, threshold=0.0)]


def ohlc(table: Table, limits: Thresholds) -> list[Finding]:
    """MD03: high below another price of the bar, or low above one."""
    opened, high, low, close = (table.values[name] for name in PRICES)
    over = np.maximum(np.maximum(opened, close), low) - high
    under = low - np.minimum(np.minimum(opened, close), high)
    excess = np.fmax(over, under)
    scale = np.maximum.reduce([np.abs(opened), np.abs(high), np.abs(low), np.abs(close)])
    rows = np.flatnonzero(excess > limits.ohlc_tolerance * scale).tolist()
    if not rows:
        return []
    row = max(rows, key=lambda each: float(excess[each]))
    four = ", ".join(f"{name} {table.cells[name][row]}" for name in PRICES)
    text = f"open, high, low and close contradict each other in {_on(table, rows)}: {four}"
    worst = float(excess[row] / scale[row])
    return [row_finding(Rule.OHLC, table, rows, text, value=worst, threshold=limits.ohlc_tolerance)]


def duplicates(table: Table) -> list[Finding]:
    """MD04: a day that comes twice, alike or in conflict."""
    at: defaultdict[date, list[int]] = defaultdict(list)
    for row, day in enumerate(table.days):
        if day is not None:
            at[day].append(row)
    alike: list[int] = []
    conflicting: list[int] = []
    for rows in at.values():
        if len(rows) > 1:
            contents = {tuple(_content(table, row)) for row in rows}
            (alike if len(contents) == 1 else conflicting).extend(rows[1:])
    return [
        row_finding(Rule.DUPLICATE, table, rows, f"{_on(table, rows)} {told}", value=float(len(rows)), threshold=0.0)
        for rows, told in ((alike, "comes twice, alike"), (conflicting, "comes twice, with different values"))
        if rows
    ]


def off_calendar(table: Table, expected: Sequence[date], batch: Batch) -> list[Finding]:
    """MD06: a bar outside the period, or at a time when the exchange was closed."""
    open_at, first_day, last_day = set(expected), batch.first_day, batch.last_day
    if batch.frequency == "1wk":
        first_day = monday(first_day)
    if batch.is_intraday:  # a session may begin on the day before in UTC, and end on the day after
        first_day, last_day = first_day - timedelta(days=1), last_day + timedelta(days=1)
    outside: list[int] = []
    closed: list[int] = []
    for row, day in enumerate(table.days):
        if day is None or day in open_at:
            continue
        inside = first_day <= (day.date() if isinstance(day, datetime) else day) <= last_day
        (closed if inside else outside).append(row)
    told = (
        (closed, f"{batch.calendar} had no session on {_on(table, closed)}"),
        (outside, f"{_on(table, outside)} lies outside the period {batch.period}"),
    )
    return [row_finding(Rule.OFF_CALENDAR, table, rows, text) for rows, text in told if rows]


def foreign(table: Table, batch: Batch) -> list[Finding]:
    """MD01: a row of another symbol: one event is about one instrument."""
    rows = [row for row, cell in enumerate(table.cells["symbol"]) if cell is not None and cell != batch.symbol]
    if not rows:
        return []
    return [row_finding(Rule.SCHEMA, table, rows, f"another symbol than {batch.symbol} in {_on(table, rows)}")]


def quotes(table: Table, limits: Thresholds) -> list[Finding]:
    """MD16: a bid at or above the ask, or a spread far beyond the batch's own."""
    bid, ask = table.values["bid"], table.values["ask"]
    crossed = np.flatnonzero(bid >= ask).tolist()
    found = []
    if crossed:
        row = crossed[0]
        told = f"bid {table.cells['bid'][row]} is not below ask {table.cells['ask'][row]} in {_on(table, crossed)}"
        found.append(row_finding(Rule.QUOTE, table, crossed, told, value=float(bid[row] - ask[row]), threshold=0.0))
    spread = np.where(bid < ask, (ask - bid) / ((ask + bid) / 2), np.nan)
    known = spread[np.isfinite(spread)]
    if len(known) >= limits.quote_bars_min:
        bound = limits.quote_spread_multiple * float(np.median(known))
        wide = np.flatnonzero((spread > bound) & (spread > limits.quote_spread_share)).tolist()
        if wide:
            worst = float(np.nanmax(spread))
            told = f"the spread of {worst:.2%} in {_on(table, wide)} is far above the median {np.median(known):.3%}"
            found.append(row_finding(Rule.QUOTE, table, wide, told, value=worst, threshold=bound))
    return found


def missing_sessions(table: Table, expected: Sequence[date], batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD05: a session without a bar; MD15: the last sessions are absent.

    Within a day the same of minutes, where enough of them are missing in a row: not every minute has a trade.
    """
    present = {day for day in table.days if day is not None}
    missing = [day for day in expected if day not in present]
    last = max(present & set(expected), default=None)
    inside = [day for day in missing if last is not None and day < last]
    at_end = [day for day in missing if last is None or day > last]
    if batch.is_intraday:
        inside, at_end = _long_gaps(inside, at_end, expected, batch, limits)
    found = []
    for rule, days in ((Rule.GAP, inside), (Rule.TRUNCATED, at_end)):
        if not days:
            continue
        unit = "bars" if batch.is_intraday else f"{batch.calendar} sessions"
        have = f"{len(expected) - len(missing)} of {len(expected)} {unit}"
        what = "the batch ends early" if rule is Rule.TRUNCATED else "a session has no bar"
        found.append(
            Finding(
                rule=rule,
                dates=tuple(spelled(day) for day in days),
                count=len(days),
                value=float(len(days)),
                threshold=0.0,
                sentence=f"{what}: {listed(spelled(day) for day in days)} missing, {have}",
            )
        )
    return found


def _long_gaps(
    inside: list[date], at_end: list[date], expected: Sequence[date], batch: Batch, limits: Thresholds
) -> tuple[list[date], list[date]]:
    least = limits.gap_minutes if batch.frequency == "1min" else limits.gap_hours
    place = {stamp: at for at, stamp in enumerate(expected)}
    runs: list[list[date]] = []
    for stamp in inside:
        if runs and place[stamp] == place[runs[-1][-1]] + 1:
            runs[-1].append(stamp)
        else:
            runs.append([stamp])
    if len(inside) > limits.gap_share * len(expected):
        return inside, at_end
    long = [stamp for run in runs if len(run) >= least for stamp in run]
    return long, at_end if len(at_end) >= least else []


def _on(table: Table, rows: Sequence[int]) -> str:
    return listed(table.label(row) for row in rows)


def _content(table: Table, row: int) -> list[object]:
    # The number where there is one: 1 and 1.0 are the same price.
    pairs = ((table.values[name][row], table.cells[name][row]) for name in COLUMNS)
    return [cell if np.isnan(value) else float(value) for value, cell in pairs]
