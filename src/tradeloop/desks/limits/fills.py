"""The day's fills against the positions: what was counted twice, too early, or not yet."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tradeloop.desks.limits.book import Book
from tradeloop.desks.limits.case import Case
from tradeloop.desks.limits.columns import FILLS, read_table
from tradeloop.desks.limits.findings import Finding, Rule
from tradeloop.desks.limits.policy import Outcome

PENDING: Final = frozenset({"PENDING", "ALLEGED", "UNCONFIRMED", "UNALLOCATED"})
"""States of a fill that the positions do not hold yet."""
CLOSE: Final = 1e-9
"""Quantities that differ by less of their size are equal: they were decimal text."""


@dataclass
class Flow:
    """What was filled in one position."""

    booked: float = 0.0
    """Of the day, each fill once."""
    again: float = 0.0
    """What stands in the file a second time."""
    pending: float = 0.0
    later: float = 0.0
    """Of days after that of the check."""


@dataclass(frozen=True)
class Rolled:
    """Positions as the fills make them."""

    findings: tuple[Finding, ...] = ()
    checked: Mapping[int, float] = field(default_factory=dict)
    """Quantity by position, where the delivered one is doubtful."""
    settled: Mapping[int, float] = field(default_factory=dict)
    """Quantity by position once pending fills are in and those of later days out."""


def flows_of(case: Case, root: Path) -> dict[tuple[str, str], Flow]:
    """The day's fills by account and symbol."""
    if case.fills is None:
        return {}
    rows = read_table(FILLS, case.fills, root)
    found: defaultdict[tuple[str, str], Flow] = defaultdict(Flow)
    seen: set[tuple[str, str, str]] = set()
    for row in rows.iter_rows(named=True):
        day = row["date"] or case.as_of
        if day < case.as_of:
            continue
        flow, quantity = found[row["account"] or "", row["symbol"]], float(row["quantity"])
        identity = (row["account"] or "", row["symbol"], row["fill_id"] or "")
        if row["fill_id"] and identity in seen:
            flow.again += quantity
            continue
        seen.add(identity)
        if day > case.as_of:
            flow.later += quantity
        elif (row["status"] or "").upper() in PENDING:
            flow.pending += quantity
        else:
            flow.booked += quantity
    return dict(found)


def rolled(book: Book, flows: Mapping[tuple[str, str], Flow], unit_ratio: float, ask: Outcome) -> Rolled:
    """Hold each position against its opening and its fills."""
    if not flows:
        return Rolled()
    findings: list[Finding] = []
    checked: dict[int, float] = {}
    settled: dict[int, float] = {}
    for at, symbol in enumerate(book.symbol):
        flow = flows.get((book.account[at], symbol)) or flows.get(("", symbol)) or Flow()
        quantity, opening = float(book.figures["quantity"][at]), float(book.figures["opening"][at])
        if flow.pending:
            settled[at] = quantity + flow.pending
        if math.isnan(opening):
            if flow.again:
                findings.append(_asking(Rule.DOUBLED, f"a fill of {symbol} was counted twice", symbol, ask))
                checked[at] = quantity - flow.again
            continue
        right = opening + flow.booked
        if _is_close(right, quantity):
            continue
        if flow.later and _is_close(right + flow.later, quantity):
            settled[at] = right + flow.pending
            findings.append(Finding(rule=Rule.DOUBLED, sentence=f"{symbol} holds fills of a later day", symbol=symbol))
            continue
        checked[at] = right
        findings.append(_asking(*_told(symbol, right, quantity, flow, unit_ratio), symbol, ask))
    return Rolled(tuple(findings), checked, settled)


def _told(symbol: str, right: float, quantity: float, flow: Flow, unit_ratio: float) -> tuple[Rule, str]:
    if flow.again and _is_close(right + flow.again, quantity):
        return Rule.DOUBLED, f"a fill of {symbol} was counted twice: {quantity:.12g} in place of {right:.12g}"
    size = abs(quantity / right) if right else math.inf
    if size >= unit_ratio or size * unit_ratio <= 1:
        return Rule.UNIT, f"{symbol} has a quantity of another unit: {quantity:.12g} in place of {right:.12g}"
    return Rule.DOUBLED, f"opening and fills of {symbol} make {right:.12g}, the position is {quantity:.12g}"


def _asking(rule: Rule, sentence: str, symbol: str, ask: Outcome) -> Finding:
    return Finding(rule=rule, sentence=sentence, symbol=symbol, asks=ask)


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
