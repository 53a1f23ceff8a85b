"""The batch against other evidence of the same bars: a second source (MD13), another frequency (MD14)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime
from itertools import groupby

import numpy as np

from tradeloop.desks.marketdata.batch import Batch, Frequency
from tradeloop.desks.marketdata.findings import Finding, listed, row_finding
from tradeloop.desks.marketdata.moves import History, day_of, series_finding, spread
from tradeloop.desks.marketdata.policy import Rule, Thresholds
from tradeloop.desks.marketdata.sessions import monday
from tradeloop.desks.marketdata.table import Flags, Floats, Table, spelled

_SPEAKS_OF_ONE_BAR = frozenset(
    {Rule.NON_POSITIVE, Rule.OHLC, Rule.STALE, Rule.SPIKE, Rule.LEVEL, Rule.ACTION, Rule.EXTREME}
)
"""Rules that name a bar by its own fault: that the second source differs there as well is no news."""
_FINER: tuple[Frequency, ...] = ("1min", "1h", "1d", "1wk")


def second_source(past: History, named: Iterable[Finding], limits: Thresholds) -> list[Finding]:
    """MD13: closes that the second source has otherwise; MD07: the same closes on the next or the last bar's day."""
    common = past.judged & np.isfinite(past.second)
    if not common.any():
        return []
    if shift := _shifted(past, common, limits):
        return [shift]
    found: list[Finding] = []
    ratio = _scale(past, common, limits)
    scaled = past.second * ratio
    if abs(ratio - 1) > limits.second_source_tolerance:
        told = f"all closes are {ratio:.4g} times those of the second source"
        at = np.flatnonzero(common).tolist()
        found.append(_differs(past, at, told, ratio - 1, limits))
    with np.errstate(invalid="ignore"):
        off = common & (np.abs(past.columns["close"] - scaled) > limits.second_source_tolerance * scaled)
    known = {day for finding in named if finding.rule in _SPEAKS_OF_ONE_BAR for day in finding.dates}
    for run in _runs(np.flatnonzero(off).tolist()):
        if all(spelled(past.days[at]) in known for at in run):
            continue
        found.append(_run_finding(past, run, scaled, limits))
    return [*found, *_ranges(past, off, ratio, known, limits)]


def _ranges(past: History, off: Flags, ratio: float, known: set[str], limits: Thresholds) -> list[Finding]:
    """Bars whose close agrees and whose open, high or low does not."""
    found = []
    for name in ("open", "high", "low"):
        ours, theirs = past.columns[name], past.other[name] * ratio
        with np.errstate(invalid="ignore"):
            apart = past.judged & ~off & (np.abs(ours - theirs) > limits.second_source_range * theirs)
        for at in np.flatnonzero(apart).tolist():
            if spelled(past.days[at]) in known:
                continue
            difference = float(ours[at] / theirs[at] - 1)
            told = f"the {name} of {spelled(past.days[at])} differs from the second source by {_signed(difference)}"
            finding = _differs(past, [at], told, difference, limits)
            # A print beyond the other source's range is the odd one; one that is missing may be theirs.
            is_odd = (name == "high" and difference > 0) or (name == "low" and difference < 0)
            found.append(finding.model_copy(update={"confirmed": False}) if is_odd else finding)
    return found


def _scale(past: History, common: Flags, limits: Thresholds) -> float:
    """How many times the second source's closes ours are: one may be adjusted for dividends, the other not."""
    if np.count_nonzero(common) < limits.second_source_bars_min:
        return 1.0
    return float(np.median(past.columns["close"][common] / past.second[common]))


def _shifted(past: History, common: Flags, limits: Thresholds) -> Finding | None:
    close, tolerance = past.columns["close"], limits.second_source_tolerance / 10
    if np.count_nonzero(common) < 2 * limits.second_source_bars_min:
        return None
    same = np.abs(close - past.second) <= tolerance * past.second
    if np.count_nonzero(same & common) > np.count_nonzero(common) / 2:
        return None
    for lag in (1, -1):
        other = np.roll(past.second, lag)
        both = common & np.isfinite(other)
        both[:1], both[-1:] = False, False
        alike = np.abs(close - other) <= tolerance * other
        if np.count_nonzero(alike & both) > 0.8 * max(1, int(np.count_nonzero(both))):
            way = "late" if lag > 0 else "early"
            told = f"the closes are the second source's, one bar {way}: dates are shifted"
            at = np.flatnonzero(common).tolist()
            return series_finding(Rule.SHIFT, past, at, told, value=float(lag), threshold=0.8)
    return None


def _runs(places: list[int]) -> list[list[int]]:
    return [[at for _, at in group] for _, group in groupby(enumerate(places), lambda pair: pair[1] - pair[0])]


def _run_finding(past: History, run: list[int], scaled: Floats, limits: Thresholds) -> Finding:
    first, after = run[0], run[-1] + 1
    ours = np.log(past.columns["close"])
    theirs = np.log(scaled)
    worst = run[int(np.abs(ours[run] - theirs[run]).argmax())]
    difference = float(np.expm1(ours[worst] - theirs[worst]))
    days = listed(spelled(past.days[at]) for at in run)
    told = f"closes differ from the second source in {days}, by {_signed(difference)}"
    finding = _differs(past, run, told, difference, limits)
    # Ours is the odd one where it moves away and comes back and the other source does not.
    comes_back = first > 0 and after < len(past) and math.isfinite(theirs[first - 1] + theirs[after])
    usable = np.isfinite(past.returns)
    scale = spread(past.returns, usable, first, limits)
    if comes_back and scale is not None:
        odd = limits.second_source_odd_mad * scale[1]
        away, back = ours[first] - ours[first - 1], ours[after] - ours[after - 1]
        other_away, other_back = theirs[first] - theirs[first - 1], theirs[after] - theirs[after - 1]
        # Each by itself, and the distance: a true day of ordinary size is ours too, and the other source may be wrong.
        is_large = min(abs(away), abs(back), abs(float(ours[worst] - theirs[worst]))) >= odd
        if is_large and away * back < 0 and abs(away) > abs(other_away) and abs(back) > abs(other_back):
            told += "; ours moves away and back, the other does not"
            return finding.model_copy(update={"confirmed": False, "sentence": told, "other": float(past.second[worst])})
    return finding.model_copy(update={"other": float(past.second[worst])})


def _signed(share: float) -> str:
    return f"{share:+.2%}".replace("-", "−")


def _differs(past: History, at: list[int], told: str, value: float, limits: Thresholds) -> Finding:
    return series_finding(Rule.CROSS_SOURCE, past, at, told, value=value, threshold=limits.second_source_tolerance)


def other_frequency(table: Table, batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD14: the finer bars of a day do not add up to the coarser one: first open, highest high, lowest low, last close.

    Volume is not compared: auctions are in one and not in the other.
    """
    other = batch.other_frequency
    if other is None or other.frequency == batch.frequency:
        return []
    theirs = Table.read(other.bars, other.frequency)
    batch_is_finer = _FINER.index(batch.frequency) < _FINER.index(other.frequency)
    fine, coarse = (table, theirs) if batch_is_finer else (theirs, table)
    unit = other.frequency if batch_is_finer else batch.frequency
    sums, rows = _added_up(fine, unit)
    bad: list[int] = []
    worst = 0.0
    for row in np.flatnonzero(coarse.whole).tolist():
        day = coarse.days[row]
        if day is None or day not in sums:
            continue
        given = [float(coarse.values[name][row]) for name in ("open", "high", "low", "close")]
        apart = max(abs(mine / its - 1) for mine, its in zip(given, sums[day], strict=True))
        if apart > limits.cross_frequency_tolerance:
            bad.extend(rows[day] if batch_is_finer else [row])
            worst = max(worst, apart)
    if not bad:
        return []
    days = sorted({spelled(_unit(stamp, unit)) for row in bad if (stamp := table.days[row]) is not None})
    told = f"{fine_name(batch, other.frequency)} bars do not add up on {listed(days)}, by up to {worst:.2%}"
    found = row_finding(Rule.CROSS_FREQUENCY, table, bad, told, value=worst, threshold=limits.cross_frequency_tolerance)
    return [found]


def fine_name(batch: Batch, other: Frequency) -> Frequency:
    """The finer of the two frequencies."""
    return min(batch.frequency, other, key=_FINER.index)


def _unit(stamp: date, unit: Frequency) -> date:
    if unit == "1wk":
        return monday(day_of(stamp))
    if unit == "1h" and isinstance(stamp, datetime):
        return stamp.replace(minute=0)
    return day_of(stamp) if unit == "1d" else stamp


def _added_up(
    fine: Table, unit: Frequency
) -> tuple[dict[date, tuple[float, float, float, float]], dict[date, list[int]]]:
    rows: dict[date, list[int]] = {}
    stamped = [(stamp, row) for row in np.flatnonzero(fine.whole).tolist() if (stamp := fine.days[row]) is not None]
    for stamp, row in sorted(stamped):
        rows.setdefault(_unit(stamp, unit), []).append(row)
    opened, high, low, close = (fine.values[name] for name in ("open", "high", "low", "close"))
    sums = {
        day: (float(opened[at[0]]), float(high[at].max()), float(low[at].min()), float(close[at[-1]]))
        for day, at in rows.items()
        if min(float(low[at].min()), float(opened[at[0]])) > 0
    }
    return sums, rows
