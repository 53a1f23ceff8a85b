"""Bars as columns: text as delivered beside the numbers the checks compute with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.marketdata.batch import Bar

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
PRICES: Final = ("open", "high", "low", "close")
COLUMNS: Final = (*PRICES, "volume")
_ABSENT: Final = frozenset({"nan", "null", "none", "n/a", "na", "-"})
"""How vendors spell "no value" in text."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of bars in the order of delivery; NaN where a cell is absent or unreadable."""

    days: list[date | None]
    cells: dict[str, list[str | None]]
    values: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.days)

    @classmethod
    def read(cls, bars: Sequence[Bar]) -> Table:
        """Turn bars into columns once; decimal text becomes a 64-bit float here and nowhere else."""
        cells = {name: [_present(getattr(bar, name)) for bar in bars] for name in (*COLUMNS, "date")}
        values = {name: np.array([_number(cell) for cell in cells[name]], dtype=np.float64) for name in COLUMNS}
        return cls(days=[_day(cell) for cell in cells["date"]], cells=cells, values=values)

    def label(self, row: int) -> str:
        """How a sentence names the row: its day, or its place where the day cannot be read."""
        day = self.days[row]
        return day.isoformat() if day else f"row {row + 1}"

    @property
    def whole(self) -> Flags:
        """Rows with a readable day and four readable prices."""
        dated: Flags = np.array([day is not None for day in self.days], dtype=np.bool_)
        for name in PRICES:
            dated &= np.isfinite(self.values[name])
        return dated


def _present(cell: str | None) -> str | None:
    return None if cell is None or cell.lower() in _ABSENT else cell


def _number(cell: str | None) -> float:
    # float() also takes 1_000, infinity and digits of other scripts: none of them is a vendor's price.
    if cell is None or not cell.isascii() or "_" in cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _day(cell: str | None) -> date | None:
    try:
        return date.fromisoformat(cell) if cell is not None and len(cell) == 10 else None
    except ValueError:
        return None
