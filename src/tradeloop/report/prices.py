"""The market-data desk's pictures: a batch's closes and ranges with its findings, the second source dashed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradeloop.errors import TradeloopError
from tradeloop.report import chart
from tradeloop.report.day import Case, Picture
from tradeloop.report.words import count, figure

if TYPE_CHECKING:
    from tradeloop.desks.marketdata.batch import Bar, Batch
    from tradeloop.desks.marketdata.table import Table

CONTEXT: Final = 2
"""So many times the batch's own bars are shown before it, for scale."""
TABLE_ROWS: Final = 45
"""Bars beside the picture; of a longer batch those that say most."""
SAID: Final = 12
"""Findings that are read out in the picture's words; all of them stand in the list."""


def price_picture(case: Case, root: Path) -> Picture:
    """The picture of one batch; without its bars, of its findings alone, and saying why."""
    from tradeloop.desks.marketdata.batch import open_batch

    if not case.data:
        return _bare(case, "The event is over its time: its bars are not kept any more.")
    try:
        batch, _ = open_batch(case.data, root)
    except TradeloopError as problem:
        return _bare(case, f"The bars cannot be read: {problem.message}")
    return _Prices(case, batch).picture()


class _Prices:
    """One batch, read; a slot of the axis is a stamp as findings spell it, which sorts by time."""

    def __init__(self, case: Case, batch: Batch) -> None:
        self._case, self._batch = case, batch
        self._bars = _read(batch.bars, batch)
        context = batch.context[-max(CONTEXT * len(batch.bars), 20) :]
        self._own = _closes(self._bars)
        self._before = _closes(_read(context, batch))
        second = batch.second_source
        self._other = _read(second.bars if second else (), batch)
        self._second = _closes(self._other)
        self._ids = _ids_by_stamp(case)
        stamps = {stamp for closes in (self._own, self._before, self._second) for stamp, _ in closes}
        self._slots = tuple(sorted({*stamps, *self._ids}))
        self._at = {stamp: slot for slot, stamp in enumerate(self._slots)}

    def picture(self) -> Picture:
        """Closes, ranges, marks and the table."""
        batch = self._batch
        series = []
        if self._second and batch.second_source:  # beneath the own line: its dashes show on both sides of it
            series.append(chart.Series(f"close, {batch.second_source.name}", self._points(self._second), "second"))
        if self._before:
            joined = [*self._before, *self._own[:1]]
            series.append(chart.Series("before the period", self._points(joined), "before"))
        series.append(chart.Series("close", self._points(self._own)))
        first, last = batch.first_day.isoformat(), batch.last_day.isoformat()
        inside = [slot for slot, stamp in enumerate(self._slots) if first <= stamp[:10] <= last]
        drawing = chart.Lines(
            title=self._case.run.subject,
            words=self._words(),
            slots=self._slots,
            series=tuple(series),
            ranges=tuple(self._ranges()),
            marks=tuple(self._marks()),
            band=(inside[0], inside[-1]) if inside else None,
            band_name=f"period {batch.period}",
        )
        return Picture(drawing, self._table(), self._case, tuple(self._remarks()))

    def _points(self, closes: list[tuple[str, float]]) -> tuple[chart.Point, ...]:
        known: dict[str, list[float]] = {}
        for stamp, close in closes:
            known.setdefault(stamp, []).append(close)
        first, last = min(known, default=""), max(known, default="")
        broken = {stamp for stamp in self._ids if first < stamp < last and stamp not in known}
        points = []
        for stamp in sorted({*known, *broken}):
            points += [chart.Point(self._at[stamp], value) for value in known.get(stamp, [None])]
        return tuple(points)

    def _ranges(self) -> Iterable[tuple[int, float, float]]:
        values = self._bars.values
        for row, low, high in zip(range(len(self._bars)), values["low"], values["high"], strict=True):
            stamp = _stamp(self._bars, row)
            if stamp and math.isfinite(low) and math.isfinite(high):
                yield self._at.get(stamp, 0), float(min(low, high)), float(max(low, high))

    def _marks(self) -> Iterable[chart.Mark]:
        values = dict(self._second) | dict(self._before) | dict(self._own)
        named: set[str] = set()
        for stamp, ids in sorted(self._ids.items()):
            for one in ids:
                yield chart.Mark("" if one in named else one, self._at[stamp], values.get(stamp))
                named.add(one)

    def _words(self) -> str:
        closes = [close for _, close in self._own]
        batch, findings = self._batch, self._case.findings
        told = f"{batch.symbol}, {batch.period}, {count(len(batch.bars), 'bar')} of {batch.frequency}"
        told += f", closes from {figure(min(closes))} to {figure(max(closes))}" if closes else ", no readable close"
        told += f". {count(len(findings), 'finding')}"
        told += "".join(f"; {one.get('id', '')} {one.get('sentence', '')}" for one in findings[:SAID])
        return f"{told}; and {len(findings) - SAID} more." if len(findings) > SAID else f"{told}."

    def _remarks(self) -> Iterable[str]:
        facts, batch = self._case.facts, self._batch
        if "sessions_expected" in facts:
            unit = "sessions" if batch.frequency == "1d" else "bars"
            present = f"{facts.get('sessions_present')} of {facts['sessions_expected']} {unit} of {batch.calendar}"
            yield f"Coverage: {present}, {count(len(batch.bars), 'row')}."
        unread = sum(day is None for day in self._bars.days)
        if unread:
            yield f"{count(unread, 'row')} without a readable date: not drawn."
        yield "Second source: dashed." if self._second else "No second source came with the batch."

    def _table(self) -> chart.Table:
        rows = list(range(len(self._bars)))
        caption = f"{self._batch.symbol}: every bar of the batch, as delivered"
        if len(rows) > TABLE_ROWS:
            rows = self._telling()
            caption = (
                f"{self._batch.symbol}: {len(rows)} of {len(self._bars):,} bars: named by findings, extremes, ends"
            )
        cells, has_second = self._bars.cells, bool(self._second)
        second = {_stamp(self._other, row): cell for row, cell in enumerate(self._other.cells["close"])}
        told = []
        for row in rows:
            stamp = _stamp(self._bars, row)
            other = (second.get(stamp) or "—",) if has_second else ()
            prices = (cells[name][row] or "—" for name in ("low", "high", "close"))
            told.append((stamp or f"row {row + 1}", *prices, *other, " ".join(self._ids.get(stamp, []))))
        stamp_of = "start (UTC)" if self._batch.is_intraday else "day"
        columns = (stamp_of, "low", "high", "close", *(("second",) if has_second else ()), "findings")
        return chart.Table(caption, columns, tuple(told), frozenset(range(1, len(columns) - 1)))

    def _telling(self) -> list[int]:
        close = self._bars.values["close"]
        rows = [row for row in range(len(close)) if math.isfinite(close[row])]
        ends = {0, len(close) - 1}
        if rows:
            ends |= {min(rows, key=lambda row: close[row]), max(rows, key=lambda row: close[row])}
        found = [row for row in range(len(close)) if _stamp(self._bars, row) in self._ids]
        return sorted({*ends, *found[: TABLE_ROWS - len(ends)]})


def _read(bars: tuple[Bar, ...], batch: Batch) -> Table:
    from tradeloop.desks.marketdata.table import Table

    return Table.read(bars, batch.frequency)


def _stamp(table: Table, row: int) -> str:
    from tradeloop.desks.marketdata.table import spelled

    day = table.days[row]
    return spelled(day) if day else ""


def _closes(table: Table) -> list[tuple[str, float]]:
    """Stamp and close of every bar that has both, in the order of time."""
    found = [(_stamp(table, row), float(close)) for row, close in enumerate(table.values["close"])]
    return sorted((one for one in found if one[0] and math.isfinite(one[1])), key=lambda one: one[0])


def _ids_by_stamp(case: Case) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in case.findings:
        dates = finding.get("dates")
        for stamp in dates if isinstance(dates, list | tuple) else ():
            found.setdefault(str(stamp)[:20], []).append(str(finding.get("id", ""))[:12])
    return found


def _bare(case: Case, why: str) -> Picture:
    marked = _ids_by_stamp(case)
    slots = tuple(sorted(marked))
    marks = [chart.Mark(one, at) for at, stamp in enumerate(slots) for one in marked[stamp]]
    rows = tuple((stamp, " ".join(marked[stamp])) for stamp in slots)
    drawing = chart.Lines(case.run.subject, why, slots, (), marks=tuple(marks))
    return Picture(drawing, chart.Table("Days that findings name", ("day", "findings"), rows), case, (why,))
