"""Two equal books to inject breaks into: drawn, or of real fills."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final  # Any: an event's data

import numpy as np
from stdnum import cusip, isin

from tradeloop.bench.desks.case import Split

CENT: Final = Decimal("0.01")
_PLACES: Final[dict[Split, dict[str, Any]]] = {
    "tuning": {"calendar": "XNYS", "from": date(2024, 6, 3), "days": 400, "letters": "03", "desk": "TUNE"},
    "test": {"calendar": "XNYS", "from": date(2026, 1, 5), "days": 250, "letters": "59", "desk": "TEST"},
}
_FILLS: Final = "test_txn.csv"
HOLIDAYS: Final = """2024-06-19 2024-07-04 2024-09-02 2024-11-28 2024-12-25 2025-01-01 2025-01-09 2025-01-20 2025-02-17
2025-04-18 2025-05-26 2025-06-19 2025-07-04 2025-09-01 2025-11-27 2025-12-25 2026-01-01 2026-01-19 2026-02-16 2026-04-03
2026-05-25 2026-06-19 2026-07-03 2026-09-07 2026-11-26 2026-12-25 2027-01-01 2027-01-18"""
"""Of the New York Stock Exchange, by its own notices: a table of the benchmark's own, not the desk's calendar."""
Row = dict[str, str]


@dataclass
class Draft:
    """A case in the making."""

    rng: np.random.Generator
    split: Split
    today: date
    calendar: str
    internal: list[Row]
    external: list[Row]
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the event."""
    kinds: list[str] = field(default_factory=list)
    """The classes that are there."""
    outcome: str = "MATCH"
    also: set[str] = field(default_factory=set)
    """Further outcomes that are right."""
    is_cash: bool = False

    def one(self, *choices: Any) -> Any:
        """One of these."""
        return choices[int(self.rng.integers(len(choices)))]

    def odds(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included, log-uniform: small ones are as many as large ones."""
        return round(float(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def at(self, exclude: Sequence[int] = ()) -> int:
        """A row to break."""
        return int(self.rng.choice([row for row in range(len(self.external)) if row not in exclude]))

    def day(self, day: date, business_days: int) -> date:
        """So many business days on."""
        return business_day(day, business_days)

    def data(self) -> dict[str, Any]:
        """The event's data."""
        sides: dict[str, Any] = {"internal": {"rows": self.internal}, "external": {"rows": self.external}}
        accounts = sorted({row["account"] for row in self.internal + self.external if "account" in row})
        base: dict[str, Any] = {
            "remarks": [],
            "today": self.today.isoformat(),
            "calendar": self.calendar,
            "used": [{"account": name, "count": 0, "notional": "0"} for name in accounts],
        }
        if self.is_cash:
            sides = {}
        return {**base, **sides, **self.more}


def business_day(near: date, count: int) -> date:
    """The business day `count` after `near` (or the next one, when it is none)."""
    moved: date = np.busday_offset(np.datetime64(near), count, roll="forward", holidays=HOLIDAYS.split()).astype(object)
    return moved


def started(rng: np.random.Generator, split: Split, data: Path | None) -> Draft:
    """Two books of 4 to 24 trades that agree."""
    place = _PLACES[split]
    today = business_day(place["from"] + timedelta(days=int(rng.integers(place["days"]))), 0)
    draft = Draft(rng, split, today, place["calendar"], [], [])
    fills = _fills(data, split) if data is not None else ()
    count = int(rng.integers(4, 25))
    start = int(rng.integers(max(1, len(fills) - count)))
    for number in range(count):
        symbol, quantity, price = fills[start + number] if fills else _drawn(draft, place["letters"])
        draft.internal.append(_trade(draft, number, symbol, quantity, price, place["desk"]))
    draft.external = [dict(row) for row in draft.internal]
    return draft


def priced(row: Row) -> Row:
    """The row with the net amount that quantity, price and fee give."""
    gross = Decimal(row["quantity"]) * Decimal(row["price"])
    fee = Decimal(row["fees"])
    net = gross + fee if row["side"] == "B" else gross - fee
    row["net"] = f"{net.quantize(CENT, ROUND_HALF_UP):f}"
    return row


def isin_of(country: str, letter: str, number: int) -> str:
    """A US ISIN around a CUSIP with right check digits."""
    body = f"{letter}{number:07d}"
    nine = body + cusip.calc_check_digit(body)
    return f"{country}{nine}{isin.calc_check_digit(country + nine)}"


def _trade(draft: Draft, number: int, symbol: str, quantity: Decimal, price: Decimal, desk: str) -> Row:
    traded = draft.day(draft.today, -int(draft.rng.integers(0, 3)))
    fee = (abs(quantity) * Decimal("0.01") + Decimal(draft.number(100, 2_000)) / 100).quantize(CENT)
    row = {
        "id": f"T{number:05d}",
        "exec_id": f"{desk}-{int(draft.rng.integers(10**12)):012d}",
        "account": f"ACC-{draft.one('ALPHA', 'BETA', 'GAMMA')}",
        "counterparty": draft.one("BROKERA", "BROKERB", "BROKERC"),
        "security": symbol,
        "side": "B" if quantity > 0 else "S",
        "quantity": f"{abs(quantity):f}",
        "price": f"{price:f}",
        "currency": "USD",
        "trade_date": traded.isoformat(),
        "settle_date": draft.day(traded, 1).isoformat(),
        "fees": f"{fee:f}",
    }
    return priced(row)


def _drawn(draft: Draft, letters: str) -> tuple[str, Decimal, Decimal]:
    symbol = isin_of("US", letters[int(draft.rng.integers(2))], int(draft.rng.integers(10**7)))
    quantity = Decimal(draft.number(30, 20_000)) * (1 if draft.odds(0.5) else -1)
    return symbol, quantity, Decimal(draft.number(20_000, 9_000_000)) / 10_000


@lru_cache(maxsize=4)
def _fills(folder: Path, split: Split) -> tuple[tuple[str, Decimal, Decimal], ...]:
    """Real fills: symbols of one half of the alphabet for tuning, of the other for the test."""
    path = next((found for found in sorted(folder.rglob(_FILLS))), None)
    if path is None:
        return ()
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            quantity, price = Decimal(row["amount"]), Decimal(row["price"]).quantize(Decimal("0.0001"))
            is_ours = (row["symbol"] < "E") == (split == "tuning")
            if is_ours and quantity and price > 0 and abs(quantity) >= 30:
                found.append((row["symbol"], quantity, price))
    return tuple(found)
