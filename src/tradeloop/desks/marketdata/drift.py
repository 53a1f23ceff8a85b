"""Whether the series is still the one it was: its clock (MD07), its instrument (MD17), its units (MD18)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np

from tradeloop.desks.marketdata.batch import Batch
from tradeloop.desks.marketdata.findings import Finding, row_finding
from tradeloop.desks.marketdata.moves import History, day_of
from tradeloop.desks.marketdata.policy import Rule, Thresholds
from tradeloop.desks.marketdata.table import Floats, Table, spelled

_NEAR_DAYS: Final = 7
"""A bar further from the period is not of another clock but of another batch (MD06)."""


def clock(table: Table, expected: Sequence[date], batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD07: many bars lie where the exchange was closed, and another clock or calendar day would explain them."""
    length = (batch.last_day - batch.first_day).days
    stamps = [
        (row, day)
        for row, day in enumerate(table.days)
        if day is not None and -_NEAR_DAYS < (day_of(day) - batch.first_day).days < _NEAR_DAYS + length
    ]
    open_at = set(expected)
    wrong = [row for row, day in stamps if day not in open_at]
    if len(wrong) < limits.shift_bars_min or len(wrong) < limits.shift_share * len(stamps):
        return []
    if batch.is_intraday:
        steps = [timedelta(minutes=minutes) for minutes in range(-14 * 60, 14 * 60 + 1, 30) if minutes]
    else:
        steps = [timedelta(days=days) for days in (-1, 1, -2, 2)]
    fit = {step: sum(day + step in open_at for _, day in stamps) for step in steps}
    best = max(steps, key=lambda step: (fit[step], -abs(step)))
    told = f"{len(wrong)} of {len(stamps)} bars lie where {batch.calendar} was closed"
    if fit[best] > len(stamps) - len(wrong):
        way = "earlier" if best < timedelta(0) else "later"
        told += f"; {_spoken(abs(best))} {way}, {fit[best]} would lie in a session"
    share = len(wrong) / len(stamps)
    return [row_finding(Rule.SHIFT, table, wrong, told, value=share, threshold=limits.shift_share)]


def _spoken(step: timedelta) -> str:
    hours = step.total_seconds() / 3600
    return f"{step.days} day{'s' if step.days > 1 else ''}" if hours >= 24 else f"{hours:g} h"


def identity(past: History, batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD17: the symbol passed to another instrument within the series, or nobody knows after a long silence."""
    judged = np.flatnonzero(past.judged).tolist()
    if not judged:
        return []
    first, last = day_of(past.days[0]), day_of(past.days[-1])
    changes = [
        (before.id, after.id, after.from_)
        for before, after in zip(batch.identities, batch.identities[1:], strict=False)
        if before.id != after.id and first < after.from_ <= last
    ]
    found = [
        Finding(
            rule=Rule.IDENTITY,
            dates=(day.isoformat(),),
            count=1,
            sentence=f"{batch.symbol} is {after} from {day} on and was {before}: the series joins two instruments",
        )
        for before, after, day in changes
    ]
    if found or _known_throughout(batch, first, last):
        return found
    for at in range(max(1, judged[0]), len(past)):
        before, after = day_of(past.days[at - 1]), day_of(past.days[at])
        # Weekdays are near enough: a holiday more or less decides nothing at sixty.
        missed = int(np.busday_count(before, after)) - 1
        if missed > limits.identity_gap_sessions:
            told = (
                f"{missed} weekdays without a bar before {spelled(past.days[at])}, and no map says who bears the symbol"
            )
            found.append(
                Finding(
                    rule=Rule.IDENTITY, dates=(spelled(past.days[at]),), count=1, value=float(missed),
                    threshold=float(limits.identity_gap_sessions), sentence=told,
                )
            )  # fmt: skip
    return found


def _known_throughout(batch: Batch, first: date, last: date) -> bool:
    return bool(batch.identities) and batch.identities[0].from_ <= first <= last


def units(past: History, batch: Batch, limits: Thresholds) -> list[Finding]:
    """MD18: volumes of another size than before, or a column that was there and is not."""
    before, now = past.columns["volume"][~past.judged], past.columns["volume"][past.judged]
    if min(len(before), len(now)) < limits.drift_bars_min or batch.is_intraday:
        return []
    was, is_ = _share_given(before), _share_given(now)
    if abs(was - is_) > limits.drift_ks:
        told = f"volume is given in {is_:.0%} of the bars and was in {was:.0%} of those before"
        return [Finding(rule=Rule.DRIFT, value=is_ - was, threshold=limits.drift_ks, sentence=told)]
    before, now = before[before > 0], now[now > 0]
    if min(len(before), len(now)) < limits.drift_bars_min:
        return []
    ratio = float(np.median(now) / np.median(before))
    distance = _ks(before, now)
    if distance < limits.drift_ks or 1 / limits.drift_volume_ratio < ratio < limits.drift_volume_ratio:
        return []
    told = f"the median volume is {ratio:.3g} times that of the bars before (KS distance {distance:.2f})"
    return [Finding(rule=Rule.DRIFT, value=ratio, threshold=limits.drift_volume_ratio, sentence=told)]


def _share_given(volumes: Floats) -> float:
    return float(np.mean(np.isfinite(volumes)))


def _ks(first: Floats, second: Floats) -> float:
    """The two-sample Kolmogorov-Smirnov statistic: the largest gap between the two empirical distributions."""
    places = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(sample), places, side="right") / len(sample) for sample in (first, second)]
    return float(np.max(np.abs(shares[0] - shares[1])))
