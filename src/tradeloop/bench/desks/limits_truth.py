"""What is true about a limit check: its figures computed again from the event's own text, none of it by the desk.

Exposures in fractions, without any rounding; VaR and ES day by day in plain Python with math.fsum.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import defaultdict
from fractions import Fraction
from typing import Any, Final  # Any: an event's data

ORDER: Final = ("OK", "WARN", "RECHECK_DATA", "BREACH_NOTIFY", "REQUEST_APPROVAL", "BLOCK_NEW_RISK", "KILL_REQUEST")
LOSS: Final = ("PNL_STOP", "DRAWDOWN", "DRAWDOWN_NAV")
TAIL: Final = ("VAR_99", "ES_975")
SAMPLE: Final = 500
UNITS: Final = {"percent": Fraction(1, 100), "bp": Fraction(1, 10_000)}
Row = dict[str, str]


def table(data: dict[str, Any], name: str) -> list[Row]:
    """An input's rows."""
    return list(csv.DictReader(io.StringIO(data[name]["text"]))) if name in data else []


def utilisations(data: dict[str, Any]) -> dict[str, Fraction | float]:
    """Of each limit value over limit."""
    found: dict[str, Fraction | float] = {}
    for row in table(data, "limits"):
        limit = bound(row)
        value = figure(data, row)
        found[row["limit_id"]] = value / limit if isinstance(value, Fraction) else value / float(limit)
    return found


def bound(row: Row) -> Fraction:
    """A limit as a number: money, or a share as a fraction."""
    text = row["temporary"] if row.get("label") == "raised" else row["limit"]
    return Fraction(text) * UNITS.get(row.get("unit", ""), Fraction(1))


def figure(data: dict[str, Any], limit: Row, sample: int = SAMPLE) -> Fraction | float:
    """What the limit bounds."""
    metric = limit["metric"]
    if metric in LOSS:
        return loss(data, metric)
    worth = values(data)
    if metric in TAIL:
        return tail(data, worth, metric, sample)
    shares = per_name(data, worth, metric, limit.get("key", ""))
    if metric == "GROSS":
        return sum((abs(each) for _, each in worth), Fraction(0))
    if metric == "NET":
        return abs(sum((each for _, each in worth), Fraction(0)))
    if metric == "LEVERAGE":
        return sum((abs(each) for _, each in worth), Fraction(0)) / Fraction(data["nav"])
    top = max(shares.values(), default=Fraction(0))
    return top if metric in ("POSITION", "CONCENTRATION_ADV") else top / Fraction(data["nav"])


def values(data: dict[str, Any]) -> list[tuple[str, Fraction]]:
    """Symbol and market value of each row of positions; without a price or a rate nothing."""
    last: dict[str, str] = {}
    for row in table(data, "prices"):
        last |= {name: text for name, text in row.items() if name != "date" and text}
    rates = {data.get("base_currency", "USD"): "1"}
    for row in table(data, "fx"):
        rates |= {name: text for name, text in row.items() if name != "date" and text}
    found = []
    for row in table(data, "positions"):
        price, rate = last.get(row["symbol"]), rates.get(row["currency"])
        worth = Fraction(0)
        if price is not None and rate is not None:
            worth = Fraction(row["quantity"]) * Fraction(price) * Fraction(rate)
        found.append((row["symbol"], worth))
    return found


def per_name(data: dict[str, Any], worth: list[tuple[str, Fraction]], metric: str, key: str) -> dict[str, Fraction]:
    """Exposure by instrument, issuer or sector; by volume: quantity over its average daily volume."""
    rows = {row["symbol"]: row for row in table(data, "positions")}
    net: defaultdict[str, Fraction] = defaultdict(Fraction)
    if metric == "CONCENTRATION_ADV":
        for row in table(data, "positions"):
            net[row["symbol"]] += Fraction(row["quantity"]) / Fraction(row["adv"])
    else:
        for symbol, each in worth:
            net[symbol] += each
    outer: defaultdict[str, Fraction] = defaultdict(Fraction)
    for symbol, each in net.items():
        column = {"ISSUER_NAV": "issuer", "SECTOR_NAV": "sector"}.get(metric, "symbol")
        outer[rows[symbol][column]] += abs(each)
    return {name: each for name, each in outer.items() if key in ("", "*", name)}


def tail(data: dict[str, Any], worth: list[tuple[str, Fraction]], metric: str, sample: int) -> float:
    """VaR 99 % or ES 97.5 % of the newest days, each day's P&L summed without loss of digits."""
    currency = {row["symbol"]: row["currency"] for row in table(data, "positions")}
    prices, rates = table(data, "prices"), {row["date"]: row for row in table(data, "fx")}
    reach_back = all(row["date"] in rates for row in prices)
    held = [(symbol, float(each)) for symbol, each in worth if each]
    results = []
    for before, after in itertools.pairwise(prices):
        if not all(before[symbol] and after[symbol] for symbol, _ in held):
            continue
        parts = []
        for symbol, value in held:
            move = Fraction(after[symbol]) / Fraction(before[symbol])
            code = currency[symbol]
            if reach_back and code in rates[after["date"]]:
                move *= Fraction(rates[after["date"]][code]) / Fraction(rates[before["date"]][code])
            parts.append(value * float(move - 1))
        results.append(math.fsum(parts))
    worst = sorted(results[-sample:])
    place = (len(worst) - 1) * (Fraction(1, 100) if metric == "VAR_99" else Fraction(25, 1000))
    low = math.floor(place)
    if metric == "ES_975":
        return max(0.0, -math.fsum(worst[: low + 1]) / (low + 1))
    above = worst[min(low + 1, len(worst) - 1)]
    return max(0.0, -math.fsum([worst[low], (above - worst[low]) * float(place - low)]))


def loss(data: dict[str, Any], metric: str) -> Fraction:
    """Today's loss, or how far the running sum is below its best."""
    changes = [Fraction(row["pnl"]) for row in table(data, "pnl")]
    if metric == "PNL_STOP":
        return max(Fraction(0), -changes[-1])
    level = Fraction(0) if metric == "DRAWDOWN" else Fraction(data["nav"]) - sum(changes)
    best = level
    for change in changes:
        level += change
        best = max(best, level)
    return best - level if metric == "DRAWDOWN" else (best - level) / best


def outcome(row: Row, used: Fraction | float, was: str = "OK") -> str:
    """What one limit leads to, by the standing rules: 80, 100, 120 per cent; a second day; a loss limit."""
    exact = Fraction(used)
    if row["metric"] in LOSS and exact >= 1:
        return "KILL_REQUEST" if exact >= Fraction(3, 2) else "BLOCK_NEW_RISK"
    if exact >= Fraction(6, 5) or (exact >= 1 and was in ("BREACH", "HARD")):
        return "BLOCK_NEW_RISK"
    if exact >= 1:
        return "BREACH_NOTIFY" if row.get("kind") == "soft" else "REQUEST_APPROVAL"
    return "WARN" if exact >= Fraction(4, 5) else "OK"


def expected(data: dict[str, Any]) -> str:
    """The most cautious of all limits' answers."""
    used = utilisations(data)
    before = {one["limit_id"]: one["state"] for one in data.get("previous", [])}
    asked = [outcome(row, used[row["limit_id"]], before.get(row["limit_id"], "OK")) for row in table(data, "limits")]
    return worst(*asked)


def worst(*outcomes: str) -> str:
    """The most cautious of these."""
    return max(outcomes, key=ORDER.index)
