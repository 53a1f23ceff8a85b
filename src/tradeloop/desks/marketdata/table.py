"""Bars as columns: text as delivered beside the numbers the checks compute with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.marketdata.batch import Bar, Frequency

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
PRICES: Final = ("open", "high", "low", "close")
COLUMNS: Final = (*PRICES, "volume")
QUOTES: Final = ("bid", "ask")
_LEAST: Final = 1e-18
"""No price or volume is smaller, and none larger than its inverse: ratios and logarithms stay within floats."""
_ABSENT: Final = frozenset({"nan", "null", "none", "n/a", "na", "-"})
"""How vendors spell "no value" in text."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of bars in the order of delivery; NaN where a cell is absent or unreadable."""

    days: list[date | None]
    """When each bar is of: a day, the Monday of a week, or the start of a minute or hour in UTC."""
    cells: dict[str, list[str | None]]
    values: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.days)

    @classmethod
    def read(cls, bars: Sequence[Bar], frequency: Frequency = "1d") -> Table:
        """Turn bars into columns once; decimal text becomes a 64-bit float here and nowhere else."""
        cells = {name: [_present(getattr(bar, name)) for bar in bars] for name in (*COLUMNS, *QUOTES, "date", "symbol")}
        values = {
            name: np.array([_number(cell) for cell in cells[name]], dtype=np.float64) for name in (*COLUMNS, *QUOTES)
        }
        stamp = _STAMPS[frequency]
        return cls(days=[stamp(cell) for cell in cells["date"]], cells=cells, values=values)

    def label(self, row: int) -> str:
        """How a sentence names the row: its day, or its place where the day cannot be read."""
        day = self.days[row]
        return spelled(day) if day else f"row {row + 1}"

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
    return value if value == 0 or _LEAST <= abs(value) <= 1 / _LEAST else math.nan


def spelled(day: date) -> str:
    """The stamp as findings write it: `2009-07-14`, or `2009-07-14T13:30Z` within a day."""
    return f"{day:%Y-%m-%dT%H:%MZ}" if isinstance(day, datetime) else day.isoformat()


def _day(cell: str | None) -> date | None:
    try:
        return date.fromisoformat(cell) if cell is not None and len(cell) == 10 else None
    except ValueError:
        return None


def _week(cell: str | None) -> date | None:
    day = _day(cell)
    return None if day is None else day - timedelta(days=day.weekday())


def _minute(cell: str | None) -> date | None:
    # A stamp without an offset could be of any zone: it is not read.
    try:
        moment = datetime.fromisoformat(cell) if cell is not None and len(cell) >= len("2009-07-14T13:30Z") else None
        return (
            None if moment is None or moment.tzinfo is None else moment.astimezone(UTC).replace(second=0, microsecond=0)
        )
    except (ValueError, OverflowError):
        return None


def _hour(cell: str | None) -> date | None:
    moment = _minute(cell)
    return moment.replace(minute=0) if isinstance(moment, datetime) else None


_STAMPS: Final[dict[Frequency, Callable[[str | None], date | None]]] = {
    "1min": _minute, "1h": _hour, "1d": _day, "1wk": _week,
}  # fmt: skip
