"""The gate of input quality: which figures are doubtful, and what they would be with the last good ones.

Doubt holds back an all-clear. It never takes back a breach: a limit's state is the worse of both readings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.limits.book import Book, Delivered
from tradeloop.desks.limits.case import Case
from tradeloop.desks.limits.fills import Rolled
from tradeloop.desks.limits.findings import Finding, Rule
from tradeloop.desks.limits.history import Series
from tradeloop.desks.limits.policy import Outcome, Thresholds
from tradeloop.desks.limits.scenarios import Scenarios

TAKEN: Final = frozenset({"ACCEPT", "ACCEPT_WITH_NOTE"})
PLAUSIBLE: Final = 2.0
"""Standard deviations that a stale price may have moved since: what else is a breach for certain."""
USUAL_MOVE: Final = 0.02
"""A day's standard deviation where a position has no history."""


@dataclass
class Gate:
    """What the gate found."""

    findings: list[Finding] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)
    """Positions whose value is doubtful."""
    doubtful_past: set[int] = field(default_factory=set)
    """Positions whose history is: VaR and ES alone."""
    is_whole: bool = False
    """Whether every position is doubtful."""
    prices: dict[int, tuple[float, str | None]] = field(default_factory=dict)
    """The last good price, by position."""
    rates: dict[int, tuple[float, str | None]] = field(default_factory=dict)
    stale: dict[int, int] = field(default_factory=dict)
    """Sessions that a position's price is old."""
    gone: set[int] = field(default_factory=set)
    """Positions that repeat another."""
    quantities: dict[int, tuple[float, str | None]] = field(default_factory=dict)

    def checked(self, book: Book) -> Book:
        """The book with doubtful figures replaced by the last good ones."""
        found = book.but("price", self.prices).but("rate", self.rates).but("quantity", self.quantities)
        return found.without(self.gone)

    def eased(self, book: Book, scenarios: Scenarios) -> Book:
        """The same with stale prices as much nearer to zero as they may plausibly have moved."""
        found = self.checked(book)
        changes: dict[int, tuple[float, str | None]] = {}
        for at, sessions in self.stale.items():
            past = scenarios.returns[:, at] if len(scenarios.returns) else np.zeros(0)
            known = past[~np.isnan(past)]
            spread = float(np.std(known)) if len(known) > 20 else USUAL_MOVE
            move = min(0.95, PLAUSIBLE * spread * sqrt(max(1, sessions)))
            changes[at] = float(found.figures["price"][at]) * (1 - move), None
        return found.but("price", changes)


def gate_of(
    case: Case,
    delivered: Delivered,
    prices: Series,
    rates: Series,
    rolled: Rolled,
    thresholds: Thresholds,
    ask: Outcome,
) -> Gate:
    """Look at every input of every position that is held."""
    gate, book = Gate(), delivered.book
    held = [at for at in range(len(book)) if book.figures["quantity"][at] != 0]
    _positions(gate, delivered, case, ask)
    _rates(gate, book, held, rates, case, thresholds, ask)
    suspects = {one.symbol for one in case.suspects if one.outcome not in TAKEN}
    for symbol, places in _by_symbol(book, held):
        if symbol in suspects:
            told = f"the market-data desk holds prices of {symbol} back"
            _tell(gate, Rule.UPSTREAM, told, symbol, places, ask)
        if all(np.isnan(book.figures["price"][at]) for at in places):
            _tell(gate, Rule.MISSING, f"{symbol} has no price", symbol, places, ask)
        if (column := prices.at(symbol)) is not None:
            _stale(gate, prices, column, places, case, thresholds, ask)
            _units(gate, prices, column, places, thresholds, ask)
        elif prices.names and any(book.figures["price"][at] != 1 for at in places):
            gate.findings.append(_finding(Rule.STALE, f"{symbol} is not among the prices", symbol, ask))
            gate.doubtful |= set(places)
    gate.findings += rolled.findings
    for at, quantity in rolled.checked.items():
        gate.doubtful.add(at)
        gate.quantities[at] = quantity, None
    return gate


def jumps(scenarios: Scenarios, unit_ratio: float) -> NDArray[np.bool_]:
    """Returns, by day and position, that only another unit (or a split nobody applied) makes."""
    ratio = scenarios.returns + 1.0
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (ratio >= unit_ratio) | (ratio <= 1 / unit_ratio)
    return found


def _positions(gate: Gate, delivered: Delivered, case: Case, ask: Outcome) -> None:
    book = delivered.book
    if not len(book):
        gate.is_whole = True
        gate.findings.append(_finding(Rule.MISSING, "there is no position at all", "", ask))
    if case.scope.kind == "account" and any(book.account) and case.scope.name not in book.account:
        gate.is_whole = True
        gate.findings.append(_finding(Rule.MISSING, "no position is of the account that is checked", "", ask))
    if delivered.day_told:
        gate.is_whole = True
        gate.findings.append(_finding(Rule.STALE, f"the positions are of {delivered.day_told}", "", ask))
    for at in delivered.doubled:
        symbol = book.symbol[at]
        gate.findings.append(_finding(Rule.DOUBLED, f"the position in {symbol} is there twice", symbol, ask))
        gate.doubtful.add(at)
        gate.gone.add(at)


def _rates(
    gate: Gate, book: Book, held: list[int], rates: Series, case: Case, thresholds: Thresholds, ask: Outcome
) -> None:
    for currency in sorted({book.currency[at] for at in held} - {case.base_currency}):
        places = [at for at in held if book.currency[at] == currency]
        column = rates.at(currency)
        last = rates.last(column) if column is not None else None
        if column is None or last is None:
            _tell(gate, Rule.FX, f"there is no rate for {currency}", "", places, ask)
            continue
        if rates.days[last] < case.as_of:
            _tell(gate, Rule.FX, f"the rate for {currency} is of {rates.days[last]}", "", places, ask)
        known = np.flatnonzero(~np.isnan(rates.values[:, column]))
        if len(known) > 1 and _is_jump(rates.values[known[-1], column] / rates.values[known[-2], column], thresholds):
            before = int(known[-2])
            times = rates.values[last, column] / rates.values[before, column]
            told = f"the rate for {currency} is {times:.4g} times that before"
            _tell(gate, Rule.UNIT, told, "", places, ask)
            good = float(rates.values[before, column]), rates.texts.get((before, column))
            gate.rates |= dict.fromkeys(places, good)


def _stale(
    gate: Gate, prices: Series, column: int, places: list[int], case: Case, thresholds: Thresholds, ask: Outcome
) -> None:
    last = prices.last(column)
    if last is None:
        return
    symbol = prices.names[column]
    old = len(prices.days) - 1 - last + (prices.days[-1] < case.as_of)
    if old > thresholds.stale_sessions:
        told = f"the price of {symbol} is of {prices.days[last]}, {old} sessions old"
        _tell(gate, Rule.STALE, told, symbol, places, ask)
        gate.stale |= dict.fromkeys(places, int(old))
        return
    count = thresholds.unchanged_sessions
    recent = prices.values[-count:]
    if len(recent) == count and np.all(recent[:, column] == recent[0, column]):
        others = np.delete(recent, column, axis=1)
        with np.errstate(invalid="ignore"):
            moved = bool(np.any(np.nanmax(others, axis=0, initial=-np.inf) > np.nanmin(others, axis=0, initial=np.inf)))
        if moved:
            same = prices.values[: last + 1, column][::-1]
            run = int(np.argmax(same != same[0])) or len(same)
            told = f"the price of {symbol} has not changed for {run} sessions, while others moved"
            _tell(gate, Rule.STALE, told, symbol, places, ask)
            gate.stale |= dict.fromkeys(places, run - 1)


def _units(gate: Gate, prices: Series, column: int, places: list[int], thresholds: Thresholds, ask: Outcome) -> None:
    symbol = prices.names[column]
    known = np.flatnonzero(~np.isnan(prices.values[:, column]))
    closes = prices.values[known, column]
    if len(closes) < 2:
        return
    ratios = closes[1:] / closes[:-1]
    odd = np.flatnonzero([_is_jump(ratio, thresholds) for ratio in ratios[-thresholds.unchanged_sessions :]])
    first = max(0, len(ratios) - thresholds.unchanged_sessions)
    for jump in (first + int(each) for each in odd):
        if _is_jump(closes[-1] / closes[jump], thresholds):
            told = f"the price of {symbol} is {closes[-1] / closes[jump]:.4g} times that of {prices.days[known[jump]]}"
            _tell(gate, Rule.UNIT, told, symbol, places, ask)
            good = float(closes[jump]), prices.texts.get((int(known[jump]), column))
            gate.prices |= dict.fromkeys(places, good)
            break


def _is_jump(ratio: float, thresholds: Thresholds) -> bool:
    most = float(thresholds.unit_ratio)
    return bool(ratio >= most or ratio * most <= 1)


def _by_symbol(book: Book, held: list[int]) -> Iterator[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for at in held:
        groups.setdefault(book.symbol[at], []).append(at)
    yield from groups.items()


def _tell(gate: Gate, rule: Rule, told: str, symbol: str, places: list[int], ask: Outcome) -> None:
    gate.findings.append(_finding(rule, told, symbol, ask))
    gate.doubtful |= set(places)


def _finding(rule: Rule, sentence: str, symbol: str, ask: Outcome) -> Finding:
    return Finding(rule=rule, sentence=sentence, symbol=symbol, asks=ask)
