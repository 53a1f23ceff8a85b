"""Books that limit cases are made of: real fills where a folder has them, else drawn from the seed."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from tradeloop.bench.desks.case import Split

FILLS: Final = "test_txn.csv"
VALUES: Final = "test_pos.csv"
CUT: Final = "2006-01-01"
"""Cases of the tuning split lie before it, those of the test split behind it."""
HISTORY: Final = 502
REAL_HISTORY: Final = 300
"""Of a real book: more would leave few days to choose from."""
LEAST: Final = 40
"""Days that a book needs before the day of a case."""


@dataclass(frozen=True)
class Made:
    """Prices and end-of-day quantities of some instruments over consecutive business days, the last the case's."""

    days: tuple[str, ...]
    symbols: tuple[str, ...]
    closes: tuple[tuple[str, ...], ...]
    """By day and symbol, as text."""
    quantity: tuple[int, ...]
    realised: tuple[Decimal, ...]
    """Gross market value of the days before, where the book is real; to choose limits of."""


def synthetic(rng: np.random.Generator, split: Split, days: int = HISTORY) -> Made:
    """A drawn book: fat-tailed returns with one common factor."""
    count = int(rng.integers(4, 8))
    letters = "ABCDEFGHJK" if split == "tuning" else "PQRSTUVWXY"
    symbols = tuple(f"{letters[at]}{letters[(at * 3 + 1) % 10]}{letters[(at * 7 + 2) % 10]}" for at in range(count))
    common = rng.standard_t(5, size=days) * 0.006
    own = rng.standard_t(5, size=(days, count)) * rng.uniform(0.004, 0.012, size=count)
    moves = np.clip(common[:, None] + own, -0.12, 0.12)
    levels = rng.uniform(12, 400, size=count) * np.exp(np.cumsum(moves, axis=0))
    closes = tuple(tuple(f"{max(price, 0.5):.4f}" for price in row) for row in levels)
    quantity = tuple(int(rng.integers(200, 9000)) * (-1 if rng.random() < 0.25 else 1) for _ in symbols)
    last = date(2024, 6, 3) if split == "tuning" else date(2026, 3, 2)
    return Made(_business_days(last + timedelta(days=int(rng.integers(0, 120))), days), symbols, closes, quantity, ())


def drawn(rng: np.random.Generator, split: Split, data: Path | None, days: int = HISTORY) -> Made:
    """A book of the folder's fills, where it holds them; else a drawn one."""
    folder = _folder(data)
    if folder is None:
        return synthetic(rng, split, days)
    found = _real(folder)
    cut = next(at for at, day in enumerate(found.days) if day >= CUT)
    low, high = (LEAST, cut) if split == "tuning" else (cut, len(found.days))
    days = min(days, REAL_HISTORY, high - 1)
    low = max(low, days)
    for _ in range(50):
        at = int(rng.integers(low, high))
        if (made := _window(found, at, min(days, at))) is not None:
            return made
    return synthetic(rng, split, days)


@dataclass(frozen=True)
class _Real:
    days: tuple[str, ...]
    symbols: tuple[str, ...]
    closes: tuple[tuple[str, ...], ...]
    quantity: tuple[tuple[int, ...], ...]
    gross: tuple[Decimal, ...]


def _folder(data: Path | None) -> Path | None:
    for folder in (data, data / "pyfolio-txns") if data is not None else ():
        if (folder / FILLS).is_file() and (folder / VALUES).is_file():
            return folder
    return None


@lru_cache(maxsize=2)
def _real(folder: Path) -> _Real:
    fills: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    with (folder / FILLS).open(newline="") as source:
        for row in csv.DictReader(source):
            fills[row["Unnamed: 0"][:10]][row["symbol"]] += int(row["amount"])
    with (folder / VALUES).open(newline="") as source:
        values = {row["index"][:10]: row for row in csv.DictReader(source)}
    symbols = tuple(name for name in next(iter(values.values())) if name not in ("index", "cash"))
    held, price = dict.fromkeys(symbols, 0), dict.fromkeys(symbols, "")
    days, closes, quantities, gross = [], [], [], []
    for day in sorted(values):
        for name in symbols:
            held[name] += fills[day][name]
            value = Decimal(values[day][name] or 0)
            if held[name] and value:
                price[name] = f"{abs(value / held[name]):.6f}"
        days.append(day)
        closes.append(tuple(price[name] for name in symbols))
        quantities.append(tuple(held[name] for name in symbols))
        gross.append(sum((abs(Decimal(values[day][name] or 0)) for name in symbols), Decimal(0)))
    return _Real(tuple(days), symbols, tuple(closes), tuple(quantities), tuple(gross))


def _window(found: _Real, at: int, days: int) -> Made | None:
    """The days up to one, with the instruments that are held, priced throughout, and moved of late."""
    rows = found.closes[at - days + 1 : at + 1]
    chosen = [
        column
        for column in range(len(found.symbols))
        if found.quantity[at][column] != 0
        and all(row[column] for row in rows)
        and len({row[column] for row in rows[-4:]}) > 1
    ]
    if len(chosen) < 4:
        return None
    return Made(
        found.days[at - days + 1 : at + 1],
        tuple(found.symbols[column] for column in chosen),
        tuple(tuple(row[column] for column in chosen) for row in rows),
        tuple(found.quantity[at][column] for column in chosen),
        found.gross[max(0, at - 120) : at],
    )


def _business_days(last: date, count: int) -> tuple[str, ...]:
    end = np.busday_offset(np.datetime64(last), 0, roll="backward")
    return tuple(str(np.busday_offset(end, -back)) for back in range(count - 1, -1, -1))
