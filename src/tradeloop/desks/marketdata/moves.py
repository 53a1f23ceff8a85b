"""Checks along the series, against the bars before: stale bars, outliers, volume (MD00, MD08, MD09, MD12, MD19)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.marketdata.batch import Batch, CorporateAction
from tradeloop.desks.marketdata.findings import Finding, listed, row_finding
from tradeloop.desks.marketdata.policy import Rule, Thresholds
from tradeloop.desks.marketdata.table import COLUMNS, PRICES, Flags, Floats, Table, spelled

_MAD_FLOOR: Final = 1e-4
"""One basis point: a pegged or flat series has a MAD of 0, and every tick would be infinitely far out."""
_SCALE_BARS: Final = 10
"""With fewer returns than this in all there is no scale, and every large move counts as extreme."""

_FLOAT_STEP: Final = 1e-6
"""Of the price: a smaller step is the rounding of a vendor's 32-bit floats and no tick."""
_LEAST_RATIO: Final = 1.2
"""A smaller announced factor is no level: many true moves are as large."""


@dataclass(frozen=True, slots=True)
class History:
    """Usable bars in order of days: the context, then the batch."""

    days: list[date]
    rows: NDArray[np.int64]
    """Place in the batch; -1 for a context bar."""
    columns: dict[str, Floats]
    returns: Floats
    """Difference of the closes' logarithms, known corporate actions taken out; NaN at 0."""
    gaps: Floats
    """Logarithm of the open over the close before; NaN at 0."""
    raw: Floats
    """As `returns`, with the actions still in."""
    other: dict[str, Floats]
    """The second source's prices; NaN where it has none."""
    spans: Floats
    """How many expected stamps each return spans: more than 1 where bars before it are missing or repeat others."""
    is_intraday: bool = False
    announced: tuple[float, ...] = ()
    """Factors, 1.2 or more, of known corporate actions, each way up."""

    def __len__(self) -> int:
        return len(self.days)

    @property
    def second(self) -> Floats:
        """The second source's close."""
        return self.other["close"]

    @property
    def judged(self) -> Flags:
        """Bars of the batch."""
        return self.rows >= 0

    def confirmed(self, at: int, tolerance: float) -> bool | None:
        """Whether the second source has the same close on that day; None when it has no bar."""
        other, ours = float(self.second[at]), float(self.columns["close"][at])
        return None if math.isnan(other) else abs(ours - other) <= tolerance * abs(other)


def history(batch: Batch, table: Table, expected: Sequence[date]) -> History:
    """Join context and batch; rows that cannot be read, come twice or have no session are left out."""
    context = Table.read(batch.context, batch.frequency)
    open_at = set(expected)
    begins = expected[0] if expected else None if batch.is_intraday else batch.first_day
    picked: dict[date, tuple[Table, int]] = {}
    for source, whole in ((context, context.whole), (table, table.whole)):
        for row in np.flatnonzero(whole).tolist():
            day = source.days[row]
            if day is None or source.values["close"][row] <= 0 or source.values["open"][row] <= 0:
                continue
            if day in open_at if source is table else begins is not None and day < begins:
                picked.setdefault(day, (source, row))
    days = sorted(picked)
    columns = {
        name: np.array([picked[day][0].values[name][picked[day][1]] for day in days], dtype=np.float64)
        for name in COLUMNS
    }
    rows = np.array([picked[day][1] if picked[day][0] is table else -1 for day in days], dtype=np.int64)
    closes = np.log(columns["close"])
    returns, gaps = np.full(len(days), np.nan), np.full(len(days), np.nan)
    returns[1:] = np.diff(closes)
    gaps[1:] = np.log(columns["open"][1:]) - closes[:-1]
    dividends = [action for action in batch.corporate_actions if action.kind == "dividend"]
    splits = [action for action in batch.corporate_actions if action.kind != "dividend"]
    raw = returns.copy()
    _take_out(dividends, days, returns, gaps)
    if not batch.adjusted:
        _take_out(splits, days, returns, gaps)
    return History(
        days=days,
        rows=rows,
        columns=columns,
        returns=returns,
        gaps=gaps,
        raw=raw,
        other=_second_prices(batch, days),
        spans=_spans(days, expected, columns),
        is_intraday=batch.is_intraday,
        announced=_ratios(splits),
    )


def _ratios(actions: Sequence[CorporateAction]) -> tuple[float, ...]:
    ratios = (max(action.factor, 1 / action.factor) for action in actions)
    return tuple(ratio for ratio in ratios if ratio >= _LEAST_RATIO)


def place(days: Sequence[date], day: date) -> int | None:
    """Where the first bar on or after a day stands."""
    return next((at for at, stamp in enumerate(days) if day_of(stamp) >= day), None)


def day_of(stamp: date) -> date:
    """The stamp's day in UTC."""
    return stamp.date() if isinstance(stamp, datetime) else stamp


def _take_out(actions: Sequence[CorporateAction], days: list[date], returns: Floats, gaps: Floats) -> None:
    for action in actions:
        at = place(days, action.date)
        step = math.log(action.factor)
        # A series that is already adjusted does not jump: then there is nothing to take out.
        if at and abs(returns[at] - step) < abs(returns[at]):
            returns[at] -= step
            gaps[at] -= step


def _spans(days: Sequence[date], expected: Sequence[date], columns: dict[str, Floats]) -> Floats:
    place_of = {stamp: at for at, stamp in enumerate(expected)}
    places = [place_of.get(day, -1) for day in days]
    repeats = np.zeros(len(days), dtype=np.bool_)
    repeats[1:] = np.logical_and.reduce([_equal(columns[name]) for name in PRICES])
    spans = np.ones(len(days), dtype=np.float64)
    waited = 0.0
    for at in range(1, len(days)):
        stepped = max(1, places[at] - places[at - 1]) if places[at] >= 0 else 1
        spans[at] = stepped + waited
        waited = waited + stepped if repeats[at] else 0.0
    return spans


def _second_prices(batch: Batch, days: list[date]) -> dict[str, Floats]:
    bars = batch.second_source.bars if batch.second_source is not None else ()
    other = Table.read(bars, batch.frequency)
    place_of = {day: row for row, day in enumerate(other.days) if day is not None}
    found = {}
    for name in PRICES:
        values = other.values[name]
        picked = [values[place_of[day]] if day in place_of else math.nan for day in days]
        prices = np.array(picked, dtype=np.float64)
        found[name] = np.where(prices > 0, prices, np.nan)
    return found


def stale(past: History, limits: Thresholds) -> list[Finding]:
    """MD08: the same bar again and again."""
    count = len(past)
    same = np.zeros(count, dtype=np.bool_)
    if count > 1:
        prices = np.logical_and.reduce([_equal(past.columns[name]) for name in PRICES])
        same[1:] = prices & (_equal(past.columns["volume"]) | _wide(past, limits)[1:])
    flat = _flat(past)
    if past.is_intraday:
        flat = flat | ~(past.columns["volume"] > 0)
    often, seldom = limits.stale_bars, limits.stale_flat_bars
    if past.is_intraday:
        often, seldom = limits.stale_minutes, limits.stale_quiet_minutes
    found, start = [], 0
    for at in range(1, count + 1):
        if at < count and same[at]:
            continue
        length, need = at - start, seldom if flat[start] else often
        repeated = [each for each in range(start + 1, at) if past.rows[each] >= 0]
        if length >= need and repeated:
            told = (
                f"{length} bars in a row are the same, from {spelled(past.days[start])} to {spelled(past.days[at - 1])}"
            )
            found.append(series_finding(Rule.STALE, past, repeated, told, value=float(length), threshold=float(need)))
        start = at
    return found


def _wide(past: History, limits: Thresholds) -> Flags:
    """Bars whose range is of so many ticks that four equal prices are no chance, whatever the volume.

    A tick is the smallest step between two prices of the series.
    """
    steps = np.diff(np.unique(np.concatenate([past.columns[name] for name in PRICES])))
    if past.is_intraday or not len(steps):
        return np.zeros(len(past), dtype=np.bool_)
    tick = max(float(steps.min()), _FLOAT_STEP * float(past.columns["close"].max()))
    # A quoted stock without trades stands between the same bid and ask for days, and opens where it closes.
    wide: Flags = past.columns["open"] != past.columns["close"]
    wide &= past.columns["high"] - past.columns["low"] >= limits.stale_range_ticks * tick
    return wide


def outliers(past: History, explained: Flags, limits: Thresholds) -> list[Finding]:
    """MD09 and MD19: a return far outside the bars before it, taken back by the next bar or not."""
    moves = np.expm1(past.returns)
    smallest = min(limits.outlier_move, limits.displaced_move)
    large = past.judged & ~explained & (np.abs(moves) >= smallest)
    usable = ~explained & np.isfinite(past.returns)
    found, reversed_at = [], -1
    for at in np.flatnonzero(large).tolist():
        if at == reversed_at:
            continue
        share = 0.0
        if at + 1 < len(past) and not explained[at + 1]:
            share = -float(past.returns[at + 1] / past.returns[at])
        # A return of many times the move is no reversal of it: the next bar is the odd one.
        is_spike = limits.reversal_share <= share <= 1 / limits.reversal_share
        is_displaced = is_spike and _displaced(past, at, limits)
        # Over several sessions a true move is larger by the root of their number.
        root = math.sqrt(past.spans[at])
        score = _score(past.returns, usable, at, limits) / root
        enough, least = (
            (limits.displaced_mad, limits.displaced_move) if is_displaced else (limits.outlier_mad, limits.outlier_move)
        )
        if score <= enough or abs(moves[at]) < least * root:
            continue
        reversed_at = at + 1 if is_spike else -1
        seen = _Outlier(at, float(moves[at]), least, score, share if is_spike else None, is_displaced)
        found.append(_outlier_finding(past, seen, limits))
    return found


def wicks(past: History, named: Flags, limits: Thresholds) -> list[Finding]:
    """MD09 within a bar: a high or low far from open and close, where neither bar nor neighbours went."""
    opened, high, low, close = (past.columns[name] for name in PRICES)
    with np.errstate(invalid="ignore", divide="ignore"):
        up = np.log(high / np.maximum(opened, close))
        down = np.log(low / np.minimum(opened, close))
    reach = np.where(up > -down, up, down)
    usable, sound = np.isfinite(past.returns), low > 0
    found = []
    for at in np.flatnonzero(past.judged & sound & ~named & (np.abs(np.expm1(reach)) >= limits.wick_move)).tolist():
        size = float(np.expm1(reach[at]))
        scale = spread(past.returns, usable, at, limits)
        if scale is None or abs(float(reach[at])) <= limits.outlier_mad * scale[1]:
            continue
        name = "high" if size > 0 else "low"
        theirs = float(past.other[name][at])
        agrees = None
        if math.isfinite(theirs):
            agrees = abs(float(past.columns[name][at]) - theirs) <= limits.second_source_range * theirs
        away = f"{size:+.1%}".replace("-", "−")
        told = f"the {name} of {spelled(past.days[at])} lies {away} from open and close"
        finding = series_finding(
            Rule.SPIKE, past, [at], told + told_by_second(agrees), value=size, threshold=limits.wick_move
        )
        found.append(finding.model_copy(update={"confirmed": agrees, "other": None if agrees is None else theirs}))
    return found


def _displaced(past: History, at: int, limits: Thresholds) -> bool:
    """Whether the bar opened away from the one before and the next one opened back: nobody traded the way."""
    if _flat(past)[at]:  # one price a day (a fund's net asset value): its open says nothing of its own
        return False
    move = past.returns[at]
    there, back = float(past.gaps[at] / move), -float(past.gaps[at + 1] / move)
    return min(there, back) >= limits.reversal_share


def _score(returns: Floats, usable: Flags, at: int, limits: Thresholds) -> float:
    scale = spread(returns, usable, at, limits)
    return math.inf if scale is None else abs(float(returns[at]) - scale[0]) / scale[1]


def spread(returns: Floats, usable: Flags, at: int, limits: Thresholds) -> tuple[float, float] | None:
    """Median and MAD of the returns before; None with too few of them."""
    before = np.flatnonzero(usable[:at])[-limits.history_bars :]
    if len(before) < limits.history_bars_min:  # the best scale there is: all other bars
        before = np.flatnonzero(usable & (np.arange(len(usable)) != at))
    if len(before) < _SCALE_BARS:
        return None
    median = float(np.median(returns[before]))
    return median, max(float(np.median(np.abs(returns[before] - median))), _MAD_FLOOR)


@dataclass(frozen=True, slots=True)
class _Outlier:
    at: int
    move: float
    least: float
    score: float
    reversed_share: float | None
    is_displaced: bool


def _outlier_finding(past: History, seen: _Outlier, limits: Thresholds) -> Finding:
    agrees = past.confirmed(seen.at, limits.second_source_tolerance)
    known = math.isfinite(seen.score)
    distance = f"{seen.score:.1f} MAD from the median" if known else "with no history to compare"
    if seen.reversed_share is not None:
        turn = f"{seen.reversed_share:.0%} of it taken back by the next bar"
    else:
        turn = "no reversal" if seen.at + 1 < len(past) else "no bar after it to show a reversal"
    if seen.is_displaced:
        turn += ", the whole bar apart from both neighbours"
    size = f"{seen.move:+.1%}".replace("-", "−")
    told = f"{size} on {spelled(past.days[seen.at])}, {distance}, {turn}{told_by_second(agrees)}"
    rule = Rule.EXTREME if seen.reversed_share is None else Rule.SPIKE
    found = series_finding(rule, past, [seen.at], told, value=seen.move, threshold=seen.least)
    other = None if agrees is None else float(past.second[seen.at])
    return found.model_copy(
        update={"confirmed": agrees, "other": other, "score": round(seen.score, 2) if known else None}
    )


def volume(past: History, batch: Batch, table: Table, limits: Thresholds) -> list[Finding]:
    """MD12: volume below zero, zero where the asset class trades, or far above the bars before."""
    found = []
    given = table.values["volume"]
    needed = batch.asset_class in limits.volume_required and not batch.is_intraday
    for rows, told in (
        (np.flatnonzero(given < 0).tolist(), "volume is negative"),
        (np.flatnonzero(given == 0).tolist() if needed else [], "volume is zero"),
    ):
        if rows:
            found.append(row_finding(Rule.VOLUME, table, rows, f"{told} on {listed(map(table.label, rows))}"))
    if past.is_intraday:  # an auction's minute has a hundred times the volume of a quiet one
        return found
    traded = past.columns["volume"]
    # No median is below the smallest volume: few bars need theirs computed.
    least = float(np.min(traded[traded > 0], initial=math.inf))
    for at in np.flatnonzero(past.judged & (traded > limits.volume_multiple * least)).tolist():
        before = traded[max(0, at - limits.history_bars) : at]
        before = before[before > 0]
        if len(before) < limits.history_bars_min:
            continue
        multiple = float(traded[at] / np.median(before))
        if multiple > limits.volume_multiple:
            day = spelled(past.days[at])
            told = f"volume on {day} is {multiple:.1f} times the median of the {len(before)} bars before"
            found.append(
                series_finding(Rule.VOLUME, past, [at], told, value=multiple, threshold=limits.volume_multiple)
            )
    return found


def short_history(past: History, limits: Thresholds) -> list[Finding]:
    """MD00: too few bars before the batch to say what an ordinary move is."""
    before = int(np.count_nonzero(past.rows < 0))
    if before > limits.history_bars_min:
        return []
    told = f"only {before} usable bars before the period; {limits.history_bars_min + 1} are needed to judge moves"
    return [Finding(rule=Rule.HISTORY, value=float(before), threshold=float(limits.history_bars_min), sentence=told)]


def _equal(column: Floats) -> Flags:
    # Volume may be absent in both: then the prices alone tell.
    same: Flags = (column[1:] == column[:-1]) | (np.isnan(column[1:]) & np.isnan(column[:-1]))
    return same


def _flat(past: History) -> Flags:
    same: Flags = np.ones(len(past), dtype=np.bool_)
    for name in PRICES:
        same &= past.columns[name] == past.columns["close"]
    return same


def told_by_second(agrees: bool | None) -> str:
    """What a sentence adds about the second source."""
    if agrees is None:
        return ", no second source"
    return ", confirmed by the second source" if agrees else ", contradicted by the second source"


def series_finding(
    rule: Rule, past: History, at: list[int], sentence: str, *, value: float, threshold: float
) -> Finding:
    """A finding about bars of a series, by their places in it."""
    return Finding(
        rule=rule,
        dates=tuple(spelled(past.days[each]) for each in at),
        rows=tuple(int(past.rows[each]) for each in at if past.rows[each] >= 0),
        count=len(at),
        value=value,
        threshold=threshold,
        sentence=sentence,
    )
