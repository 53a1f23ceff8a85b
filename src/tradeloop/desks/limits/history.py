"""Closing prices and rates by day, as matrices: what positions are worth, and what they would have made before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.limits.case import Case, Source, name_of
from tradeloop.desks.limits.columns import FX, PRICES, Spec, read_table
from tradeloop.desks.limits.refusal import InputInvalid

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A matrix of figures by day and name; NaN where there is none."""

    days: tuple[date, ...]
    names: tuple[str, ...]
    values: Floats
    """Days by names."""
    texts: dict[tuple[int, int], str]
    """Of the last figures of each name, as delivered."""

    def at(self, name: str) -> int | None:
        """The column of a name."""
        try:
            return self.names.index(name)
        except ValueError:
            return None

    def last(self, column: int) -> int | None:
        """The last day that has a figure."""
        found = np.flatnonzero(~np.isnan(self.values[:, column]))
        return int(found[-1]) if len(found) else None


EMPTY: Final = Series((), (), np.zeros((0, 0)), {})
TEXTS: Final = 2
"""Exact text is kept of so many last figures of each name."""


def prices_of(case: Case, root: Path) -> Series:
    """Closing prices up to the day of the check.

    Raises:
        InputInvalid: a price is not positive, or two differ for one day.
    """
    return _series(PRICES, case.prices, case.as_of, root, "symbol", "close")


def rates_of(case: Case, root: Path) -> Series:
    """Exchange rates up to the day of the check."""
    return _series(FX, case.fx, case.as_of, root, "currency", "rate")


def _series(spec: Spec, source: Source | None, as_of: date, root: Path, name: str, cell: str) -> Series:
    if source is None:
        return EMPTY
    import polars as pl

    file = name_of(source, spec.table)
    frame = read_table(spec, source, root)
    bad = frame.filter(pl.col(cell) <= 0)
    if len(bad):
        row = bad.row(0, named=True)
        told = f"{row[f'{cell}_text']:.40} is not above zero"
        raise InputInvalid(told, file=file, line=row["line"], field=cell)
    known = frame.filter(pl.col("date") <= as_of).unique(["date", name, cell], keep="first", maintain_order=True)
    twice = known.filter(pl.struct("date", name).is_duplicated())
    if len(twice):
        row = twice.sort("line").row(1, named=True)
        told = f"two figures for {row[name]} on {row['date']}"
        raise InputInvalid(told, file=file, line=row["line"], field=cell)
    return _matrix(known, name, cell)


def _matrix(known: pl.DataFrame, name: str, cell: str) -> Series:
    days = sorted(known["date"].unique().to_list())
    names = sorted(known[name].unique().to_list())
    day_at, name_at = {day: at for at, day in enumerate(days)}, {each: at for at, each in enumerate(names)}
    rows = np.array([day_at[day] for day in known["date"].to_list()], dtype=np.int64)
    columns = np.array([name_at[each] for each in known[name].to_list()], dtype=np.int64)
    values = np.full((len(days), len(names)), np.nan)
    values[rows, columns] = known[cell].to_numpy()
    texts = known[f"{cell}_text"].to_list()
    newest = np.lexsort((-rows, columns))
    kept: dict[tuple[int, int], str] = {}
    rank, before = 0, -1
    for at in newest:
        rank = rank + 1 if columns[at] == before else 0
        before = columns[at]
        if rank < TEXTS:
            kept[int(rows[at]), int(columns[at])] = texts[at]
    return Series(tuple(days), tuple(names), values, kept)
