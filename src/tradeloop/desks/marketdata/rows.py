"""Checks of single rows and of the calendar: MD01 to MD06, and where the sessions are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

import numpy as np

from tradeloop.desks.marketdata.batch import Batch
from tradeloop.desks.marketdata.findings import Finding, listed, row_finding
from tradeloop.desks.marketdata.policy import Rule, Thresholds
from tradeloop.desks.marketdata.table import COLUMNS, PRICES, Table


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
    """MD06: a bar outside the period, or on a day when the exchange was closed."""
    open_days, first_day, last_day = set(expected), batch.first_day, batch.last_day
    outside: list[int] = []
    closed: list[int] = []
    for row, day in enumerate(table.days):
        if day is None or day in open_days:
            continue
        (closed if first_day <= day <= last_day else outside).append(row)
    told = (
        (closed, f"{batch.calendar} had no session on {_on(table, closed)}"),
        (outside, f"{_on(table, outside)} lies outside the period {batch.period}"),
    )
    return [row_finding(Rule.OFF_CALENDAR, table, rows, text) for rows, text in told if rows]


def missing_sessions(table: Table, expected: Sequence[date], batch: Batch) -> list[Finding]:
    """MD05: a session without a bar; MD15: the last sessions are absent."""
    present = {day for day in table.days if day is not None}
    missing = [day for day in expected if day not in present]
    last = max(present & set(expected), default=date.min)
    found = []
    for rule, days in (
        (Rule.GAP, [d for d in missing if d < last]),
        (Rule.TRUNCATED, [d for d in missing if d > last]),
    ):
        if not days:
            continue
        have = f"{len(expected) - len(missing)} of {len(expected)} {batch.calendar} sessions"
        what = "the batch ends early" if rule is Rule.TRUNCATED else "a session has no bar"
        found.append(
            Finding(
                rule=rule,
                dates=tuple(day.isoformat() for day in days),
                count=len(days),
                value=float(len(days)),
                threshold=0.0,
                sentence=f"{what}: {listed(day.isoformat() for day in days)} missing, {have}",
            )
        )
    return found


def _on(table: Table, rows: Sequence[int]) -> str:
    return listed(table.label(row) for row in rows)


def _content(table: Table, row: int) -> list[object]:
    # The number where there is one: 1 and 1.0 are the same price.
    pairs = ((table.values[name][row], table.cells[name][row]) for name in COLUMNS)
    return [cell if np.isnan(value) else float(value) for value, cell in pairs]
