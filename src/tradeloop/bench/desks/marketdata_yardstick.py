"""A plain set of rules as yardstick: what a competent afternoon's work decides about the same events.

No second source but for extreme moves, no corporate actions but for jumps, no look at what the desk found.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np

from tradeloop.bench.desks.marketdata_series import PRICES, hours_of, sessions_of

_RATIOS: Final = np.log([2, 3, 4, 5, 7, 10, 20, 100])
_ORDER: Final = ("ACCEPT", "ACCEPT_WITH_NOTE", "QUARANTINE_ROWS", "REFETCH", "ESCALATE")


def decide(data: dict[str, Any]) -> str:
    """The rules' answer to an event's data."""
    bars, expected = data["bars"], _expected(data)
    stamps = [_stamp(bar["date"]) for bar in bars]
    prices = np.array([[_number(bar.get(name)) for name in PRICES] for bar in bars]).reshape(len(bars), 4)
    outcomes, bad = ["ACCEPT"], set(_bad_rows(data, stamps, prices, expected))
    present = {stamp for stamp in stamps if stamp is not None}
    if len(set(expected) - present) > 0.02 * len(expected):
        outcomes.append("REFETCH")
    good = [at for at in range(len(bars)) if at not in bad and stamps[at] is not None]
    closes = np.array([_number(bar["close"]) for bar in data["context"]] + [prices[at, 3] for at in good])
    opens = np.array([_number(bar["open"]) for bar in data["context"]] + [prices[at, 0] for at in good])
    if len(closes) > 2:
        outcomes += _along(data, closes, opens, len(data["context"]), [bars[at]["date"] for at in good])
    same = [
        all(bars[at].get(name) == bars[at - 1].get(name) for name in (*PRICES, "volume")) for at in range(1, len(bars))
    ]
    if data["asset_class"] not in ("index", "fund") and any(same):
        outcomes.append("REFETCH")
    if bad:
        outcomes.append("REFETCH" if len(bad) > max(1, 0.05 * len(bars)) else "QUARANTINE_ROWS")
    chosen = max(outcomes, key=_ORDER.index)
    return "ESCALATE" if chosen == "REFETCH" and data.get("attempt", 0) >= 2 else chosen


def _bad_rows(data: dict[str, Any], stamps: list[Any], prices: Any, expected: list[Any]) -> list[int]:
    bad, seen, open_at = [], set(), set(expected)
    typical = np.median([_number(bar["volume"]) for bar in data["context"]] or [math.nan])
    for at, bar in enumerate(data["bars"]):
        opened, high, low, close = prices[at]
        volume = _number(bar.get("volume"))
        wrong = not np.isfinite(prices[at]).all() or min(prices[at]) <= 0
        wrong = wrong or high < max(opened, close, low) or low > min(opened, close) or stamps[at] in seen
        wrong = wrong or (stamps[at] is not None and stamps[at] not in open_at) or volume < 0
        if data["asset_class"] in ("equity", "etf") and data.get("frequency", "1d") == "1d":
            wrong = wrong or volume == 0 or volume > 20 * typical
        wrong = wrong or _number(bar.get("bid")) >= _number(bar.get("ask"))
        seen.add(stamps[at])
        if wrong:
            bad.append(at)
    return bad


def _along(data: dict[str, Any], closes: Any, opens: Any, before: int, days: list[str]) -> list[str]:
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.diff(np.log(closes), prepend=np.nan)
        gaps = np.log(opens) - np.concatenate([[np.nan], np.log(closes[:-1])])
    known = {action["date"]: math.log(float(action["factor"])) for action in data.get("corporate_actions", [])}
    second = {bar["date"]: float(bar["close"]) for bar in (data.get("second_source") or {}).get("bars", [])}
    outcomes = []
    for at in range(max(1, before), len(moves)):
        day, move = days[at - before], moves[at]
        if day in known and abs(move - known[day]) < abs(move):
            continue
        if abs(abs(move) - _RATIOS).min() < 0.12 and (abs(move) > 2.2 or abs(gaps[at]) > abs(move) - 0.12):
            outcomes.append("REFETCH")
            continue
        if abs(move) < 0.05:
            continue
        past = moves[max(1, at - 120) : at]
        spread = max(float(np.median(np.abs(past - np.median(past)))), 1e-4) if len(past) > 10 else 1.0
        if abs(move) < 8 * spread:
            continue
        if at + 1 < len(moves) and -moves[at + 1] / move >= 0.65:
            outcomes.append("QUARANTINE_ROWS")
        else:
            agrees = day in second and abs(closes[at] / second[day] - 1) < 0.005
            outcomes.append("ACCEPT_WITH_NOTE" if agrees else "ESCALATE")
    return outcomes


def _expected(data: dict[str, Any]) -> list[Any]:
    period = data["period"]
    first = date.fromisoformat(period[:10] if len(period) > 7 else f"{period}-01")
    last = date.fromisoformat(period[11:] or period) if len(period) > 7 else (first + timedelta(days=31)).replace(day=1)
    days = sessions_of(data["calendar"], first, last if len(period) > 7 else last - timedelta(days=1))
    if data.get("frequency") == "1wk":
        return sorted({day - timedelta(days=day.weekday()) for day in days})
    if data.get("frequency") != "1min":
        return list(days)
    opens, closes = hours_of(data["calendar"], days[0])
    return [opens + timedelta(minutes=at) for at in range(int((closes - opens).total_seconds() // 60))]


def _stamp(text: Any) -> Any:
    try:
        return datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan
