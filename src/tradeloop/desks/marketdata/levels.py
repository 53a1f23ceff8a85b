"""The level of prices: jumps by a split's or a unit's factor (MD10), and corporate actions that do not show (MD11)."""

from __future__ import annotations

import math

import numpy as np

from tradeloop.desks.marketdata.batch import Batch
from tradeloop.desks.marketdata.findings import Finding
from tradeloop.desks.marketdata.moves import History, place, series_finding, told_by_second
from tradeloop.desks.marketdata.policy import Rule, Thresholds
from tradeloop.desks.marketdata.table import Flags, Floats, spelled


def level_jumps(past: History, limits: Thresholds) -> tuple[list[Finding], Flags]:
    """MD10: prices jump by a split's or a unit's factor, for one bar, for some, or to the end.

    Returns the findings and which returns they explain, so that no other check names them again.
    """
    ratios = np.log(np.array([*limits.level_ratios, *past.announced]))
    steps = np.concatenate([ratios, -ratios])
    nearest = np.abs(past.returns[:, None] - steps).argmin(axis=1) if len(past) else np.zeros(0, dtype=np.int64)
    step = steps[nearest]
    with np.errstate(invalid="ignore"):
        near = np.abs(past.returns - step) <= limits.level_tolerance
        opened = np.abs(past.gaps - step) <= limits.level_tolerance
        certain = np.abs(step) >= math.log(limits.level_certain_ratio) - 1e-9
        beyond = np.abs(past.returns) >= math.log(limits.level_any_ratio)
    jumps = (near & (opened | certain)) | beyond
    found = []
    for start, stop, back in _segments(np.flatnonzero(jumps).tolist(), step, len(past)):
        shifted = [at for at in range(start, stop) if past.rows[at] >= 0]
        ends_here = back and past.rows[stop] >= 0
        # A level that shifted during the context and stays was decided upon when it came.
        if past.rows[start] >= 0 or ends_here:
            found.append(_level_finding(past, start, stop, shifted or [stop], limits))
    return found, jumps


def _segments(jumps: list[int], step: Floats, count: int) -> list[tuple[int, int, bool]]:
    """From each jump to the one that takes it back (then True), to the next jump, or to the end."""
    segments: list[tuple[int, int, bool]] = []
    pending: int | None = None
    for at in jumps:
        back = pending is not None and abs(step[at] + step[pending]) < 1e-9
        if pending is not None:
            segments.append((pending, at, back))
        pending = None if back else at
    if pending is not None:
        segments.append((pending, count, False))
    return segments


def _level_finding(past: History, start: int, stop: int, shifted: list[int], limits: Thresholds) -> Finding:
    ratio = float(np.exp(past.returns[start]))
    factor = ratio if ratio >= 1 else 1 / ratio
    known = (*limits.level_ratios, *past.announced)
    near = min(known, key=lambda each: abs(math.log(each / factor)))
    first, last = spelled(past.days[start]), spelled(past.days[stop - 1])
    if stop == start + 1 and stop < len(past):
        span = f"on {first} and back on the next bar"
    elif stop < len(past):
        span = f"from {first} to {last}"
    else:
        span = f"on {first} and stay there" if start < len(past) - 1 else f"on {first}, the last bar"
    way = "up" if ratio >= 1 else "down"
    is_near = abs(math.log(near / factor)) <= limits.level_tolerance
    size = f"near {near:g} ({factor:.4g})" if is_near else f"of {factor:.4g}"
    told = f"prices jump {way} by a factor {size} {span}, without a known corporate action"
    agrees = past.confirmed(start, limits.second_source_tolerance) if past.rows[start] >= 0 else None
    found = series_finding(
        Rule.LEVEL,
        past,
        shifted,
        told + told_by_second(agrees),
        value=ratio,
        threshold=math.exp(limits.level_tolerance) - 1,
    )
    return found.model_copy(update={"confirmed": agrees})


def unapplied_actions(past: History, batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD11: a split is announced, and the series does not show it, shows it twice or upside down."""
    found = []
    dividends = {
        action.date: math.log(action.factor) for action in batch.corporate_actions if action.kind == "dividend"
    }
    for action in batch.corporate_actions:
        at, step = place(past.days, action.date), math.log(action.factor)
        if not at or past.rows[at] < 0 or abs(step) < limits.action_step or action.kind == "dividend":
            continue
        what = _reaction(float(past.raw[at]), step, dividends.get(action.date, 0.0), batch.adjusted, limits)
        if what:
            told = f"the {action.kind.replace('_', '-')} of {action.date} (factor {action.factor:.6g}) {what}"
            value = float(np.exp(past.raw[at]))
            found.append(series_finding(Rule.ACTION, past, [at], told, value=value, threshold=action.factor))
    return found


def _reaction(move: float, step: float, dividend: float, adjusted: bool | None, limits: Thresholds) -> str:
    """What is wrong with the move on an action's day; empty when nothing is, or another rule's case."""
    still = "does not show in prices that are said to be unadjusted" if adjusted is False else ""
    shows = "shows in prices that are said to be adjusted" if adjusted is True else ""
    told = {
        0.0: still,
        dividend: still,  # of two explanations alike the earlier one stands: a dividend of that day comes first
        step: shows,
        step + dividend: shows,
        2 * step: "is applied twice",
        -step: "is applied upside down",
    }
    nearest = min(told, key=lambda each: abs(move - each))
    return told[nearest] if abs(move - nearest) <= min(limits.level_tolerance, abs(step) / 2) else ""
