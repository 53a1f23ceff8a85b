"""A limit case in the making: plain tables that kinds change, and that become an event's CSV text."""

from __future__ import annotations

import csv
import io
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeVar  # Any: an event's data

import numpy as np

from tradeloop.bench.desks import limits_truth as truth
from tradeloop.bench.desks.case import Split
from tradeloop.bench.desks.limits_books import HISTORY, Made, drawn

SHORT: Final = 130
"""Days of prices where nothing but today's is needed."""
SHOWN: Final = 12
"""Of those the event holds so many."""
LINEAR: Final = (
    "GROSS", "NET", "POSITION", "CONCENTRATION_NAV", "CONCENTRATION_ADV", "ISSUER_NAV", "SECTOR_NAV", "LEVERAGE",
)  # fmt: skip
SHARES: Final = ("CONCENTRATION_NAV", "CONCENTRATION_ADV", "ISSUER_NAV", "SECTOR_NAV")
SECTORS: Final = ("Technology", "Health Care", "Energy & Utilities", "Financials")
CURRENCIES: Final = {"EUR": "1.08", "GBP": "1.27", "JPY": "0.0067", "CHF": "1.12"}
T = TypeVar("T")


@dataclass
class Draft:
    """What kinds work on."""

    rng: np.random.Generator
    split: Split
    made: Made
    positions: list[dict[str, str]]
    prices: list[dict[str, str]]
    fx: list[dict[str, str]]
    fills: list[dict[str, str]]
    limits: list[dict[str, str]] = field(default_factory=list)
    pnl: list[dict[str, str]] = field(default_factory=list)
    previous: list[dict[str, str]] = field(default_factory=list)
    suspects: list[dict[str, str]] = field(default_factory=list)
    nav: str = "0"
    is_doubtful: bool = False
    """Whether an input is doubtful: an all-clear is not to be given."""
    mended: dict[str, Any] | None = None
    """The event as it would be with the last good inputs."""
    causes: dict[str, str] = field(default_factory=dict)
    """The cause of a breach by limit, where it is known."""
    floor: str = "OK"
    """What the answer may not be below, beside what limits and doubt ask for."""
    plain: dict[str, Any] | None = None
    """The event before words were put into it that it may be refused for."""

    def odds(self, share: float) -> bool:
        """True in so many of one."""
        return bool(self.rng.random() < share)

    def one(self, *choices: T) -> T:
        """One of these."""
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: float, high: float) -> float:
        """A figure in between, log-uniform."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def data(self) -> dict[str, Any]:
        """The event's data."""
        found: dict[str, Any] = {
            "scope": {"kind": "book", "name": "BOOK-1"},
            "as_of": self.made.days[-1],
            "base_currency": "USD",
            "nav": self.nav,
        }
        tables = {
            "limits": self.limits,
            "positions": self.positions,
            "prices": self.prices,
            "fx": self.fx,
            "fills": self.fills,
            "pnl": self.pnl,
        }
        found |= {name: {"text": csv_text(rows)} for name, rows in tables.items() if rows}
        if self.previous:
            found["previous"] = deepcopy(self.previous)
        if self.suspects:
            found["suspects"] = deepcopy(self.suspects)
        return found

    def value_of(self, metric: str, key: str = "") -> Fraction:
        """What a metric is now."""
        return Fraction(truth.figure(self.data(), {"metric": metric, "key": key}))

    def bound(self, metric: str, used: float, *, key: str = "", **more: str) -> str:
        """Add a limit that is used to about so much of it; its id."""
        number = len(self.limits) + 1
        limit = self.value_of(metric, key) / Fraction(max(used, 1e-6))
        row = {
            "limit_id": f"L{number}-{metric}", "metric": metric, "key": key, "unit": "", "limit": "",
            "owner": f"risk.{self.one('a', 'b', 'c')}", "version": f"2026.{number}", "kind": "hard", "note": "",
            "temporary": "", "temporary_until": "", "approved_by": "", "trader": "",
        }  # fmt: skip
        if metric in SHARES:
            row["unit"], limit = "percent", limit * 100
        self.limits.append(row | {"limit": plain(limit)} | more)
        return row["limit_id"]

    def changed(self, at: int, **cells: str) -> None:
        """Change a position."""
        self.positions[at] |= cells


def started(rng: np.random.Generator, split: Split, data: Path | None, *, history: bool = False) -> Draft:
    """A book whose inputs are right."""
    made = drawn(rng, split, data, HISTORY if history else SHORT)
    draft = Draft(rng, split, made, [], [], [], [])
    shown = made.closes if history else made.closes[-SHOWN:]
    days = made.days[-len(shown) :]
    draft.prices = [
        {"date": day, **dict(zip(made.symbols, row, strict=True))} for day, row in zip(days, shown, strict=True)
    ]
    foreign = [str(each) for each in rng.permutation(list(CURRENCIES))[:2]]
    for at, (symbol, quantity) in enumerate(zip(made.symbols, made.quantity, strict=True)):
        opening = int(quantity * rng.uniform(0.55, 0.8))
        draft.positions.append(
            {
                "symbol": symbol,
                "quantity": str(quantity),
                "opening": str(opening),
                "currency": str(rng.choice(["USD", "USD", "USD", *foreign])),
                "issuer": f"{symbol} Holdings",
                "sector": SECTORS[at % len(SECTORS)],
                "adv": str(int(abs(quantity) * rng.uniform(4, 40)) + 1),
            }
        )
        if quantity != opening:
            draft.fills.append(fill(at, symbol, quantity - opening, made))
    used = sorted({row["currency"] for row in draft.positions} - {"USD"})
    if used:
        levels = {code: Decimal(CURRENCIES[code]) for code in used}
        for day in days if history and draft.odds(0.4) else days[-2:]:
            levels = {code: level * Decimal(1 + float(rng.normal(0, 0.004))) for code, level in levels.items()}
            draft.fx.append({"date": day, **{code: f"{level:.6f}" for code, level in levels.items()}})
    draft.nav = str(int(draft.value_of("GROSS") * Fraction(float(rng.uniform(0.8, 2.5)))) + 1)
    return draft


def fill(number: int, symbol: str, quantity: int, made: Made, **more: str) -> dict[str, str]:
    """A fill of the day."""
    return {
        "fill_id": f"X{number:04d}", "symbol": symbol, "quantity": str(quantity),
        "price": made.closes[-1][made.symbols.index(symbol)], "date": made.days[-1], "status": "BOOKED",
    } | more  # fmt: skip


def plain(figure: Fraction) -> str:
    """A figure as decimal text of twelve significant digits; exact where so many are enough."""
    if figure.denominator == 1:
        return str(figure.numerator)
    context = Decimal(figure.numerator) / Decimal(figure.denominator)
    return f"{context:.{max(0, 12 - context.adjusted())}f}"


def csv_text(rows: list[dict[str, str]]) -> str:
    """Rows as CSV."""
    target = io.StringIO()
    writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return target.getvalue()
