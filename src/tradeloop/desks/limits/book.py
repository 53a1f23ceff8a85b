"""The positions of a check as arrays, one entry a position, joined with prices, rates and reference data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final  # Any: Fraction objects in an array

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.limits.case import Case, name_of
from tradeloop.desks.limits.columns import INSTRUMENTS, POSITIONS, read_table
from tradeloop.desks.limits.history import Floats, Series
from tradeloop.desks.limits.refusal import InputInvalid

if TYPE_CHECKING:
    import polars as pl

FIGURES: Final = ("quantity", "multiplier", "price", "rate")
"""What a position's value is the product of."""


@dataclass(frozen=True)
class Book:
    """Positions; NaN where a figure is not known."""

    symbol: tuple[str, ...]
    account: tuple[str, ...]
    issuer: tuple[str, ...]
    sector: tuple[str, ...]
    currency: tuple[str, ...]
    figures: Mapping[str, Floats]
    """quantity, multiplier, price, rate, opening, adv."""
    texts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    """The same as delivered; None: what the float says."""

    def __len__(self) -> int:
        return len(self.symbol)

    @property
    def values(self) -> Floats:
        """Market values in the base currency; NaN: cannot be told."""
        found = np.ones(len(self))
        for name in FIGURES:
            found = found * self.figures[name]
        return found

    def exact(self, name: str) -> NDArray[Any]:
        """A figure as Fractions, as delivered; unknown ones are zero."""
        texts = self.texts.get(name) or (None,) * len(self)
        pairs = zip(texts, self.figures[name].tolist(), strict=True)
        found = np.empty(len(self), dtype=object)
        found[:] = [
            Fraction(text) if text is not None else Fraction(0 if np.isnan(figure) else figure)
            for text, figure in pairs
        ]
        return found

    @property
    def exact_values(self) -> NDArray[Any]:
        """Market values as Fractions."""
        found = self.exact(FIGURES[0])
        for name in FIGURES[1:]:
            found = found * self.exact(name)
        return found

    def but(self, name: str, changes: Mapping[int, tuple[float, str | None]]) -> Book:
        """The same with some figures changed: position to figure and its text."""
        if not changes:
            return self
        figures = self.figures[name].copy()
        texts = list(self.texts.get(name) or (None,) * len(self))
        for at, (figure, text) in changes.items():
            figures[at], texts[at] = figure, text
        return replace(self, figures={**self.figures, name: figures}, texts={**self.texts, name: tuple(texts)})

    def without(self, gone: set[int]) -> Book:
        """The same without some positions."""
        return self.but("quantity", dict.fromkeys(gone, (0.0, "0")))


@dataclass(frozen=True)
class Delivered:
    """A book, and what was odd about how it came."""

    book: Book
    day_told: str = ""
    """The day of the positions where it is another than that of the check."""
    doubled: tuple[int, ...] = ()
    """Positions that repeat one before them, cell by cell."""


def book_of(case: Case, prices: Series, rates: Series, root: Path) -> Delivered:
    """The positions of the day, valued.

    Raises:
        InputInvalid: a table cannot be read, or a position tells neither quantity nor value.
    """
    import polars as pl

    file = name_of(case.positions, "positions")
    rows = read_table(POSITIONS, case.positions, root)
    rows, day_told = _of_day(rows, case, file)
    is_valued = rows["quantity"].is_null().all() and not rows["market_value"].is_null().all()
    amount = "market_value" if is_valued else "quantity"
    empty = rows.filter(pl.col(amount).is_null())
    if len(empty):
        raise InputInvalid("is empty", file=file, line=empty["line"][0], field=amount)
    if case.instruments is not None:
        rows = _joined(rows, case, root)
    whole = rows.select(pl.struct(pl.all().exclude("line")).is_first_distinct()).to_series()
    doubled = tuple(np.flatnonzero(~whole.to_numpy()).tolist())
    symbols = tuple(rows["symbol"].to_list())
    currency = tuple(rows["currency"].fill_null(case.base_currency).to_list())
    price, price_text = _priced(rows, symbols, prices, is_valued=is_valued)
    rate, rate_text = _rated(currency, case.base_currency, rates)
    count = len(rows)
    unit = np.ones(count) if is_valued else rows["multiplier"].fill_null(1.0).to_numpy()
    units = ("1",) * count if is_valued else tuple(rows["multiplier_text"].fill_null("1").to_list())
    book = Book(
        symbol=symbols,
        account=tuple(rows["account"].fill_null("").to_list()),
        issuer=tuple(rows["issuer"].fill_null("").to_list()),
        sector=tuple(rows["sector"].fill_null("").to_list()),
        currency=currency,
        figures={
            "quantity": rows[amount].to_numpy(),
            "multiplier": unit,
            "price": price,
            "rate": rate,
            "opening": rows["opening"].fill_null(float("nan")).to_numpy(),
            "adv": rows["adv"].fill_null(float("nan")).to_numpy(),
        },
        texts={
            "quantity": tuple(rows[f"{amount}_text"].to_list()),
            "multiplier": units,
            "price": price_text,
            "rate": rate_text,
            "opening": tuple(rows["opening_text"].to_list()),
            "adv": tuple(rows["adv_text"].to_list()),
        },
    )
    return Delivered(book, day_told, doubled)


def _of_day(rows: pl.DataFrame, case: Case, file: str) -> tuple[pl.DataFrame, str]:
    import polars as pl

    if rows["date"].is_null().all():
        return rows, ""
    days = rows.filter(pl.col("date") <= case.as_of)["date"].unique()
    if not len(days):
        raise InputInvalid(f"no position on or before {case.as_of}", file=file, line=1, field="date")
    day = days.max()
    return rows.filter(pl.col("date") == day), "" if day == case.as_of else str(day)


def _joined(rows: pl.DataFrame, case: Case, root: Path) -> pl.DataFrame:
    import polars as pl

    assert case.instruments is not None  # noqa: S101 - the caller looked
    known = read_table(INSTRUMENTS, case.instruments, root)
    twice = known.filter(pl.col("symbol").is_duplicated())
    if len(twice):
        file = name_of(case.instruments, "instruments")
        told = f"{twice['symbol'][1]} is there twice"
        raise InputInvalid(told, file=file, line=twice["line"][1], field="symbol")
    shared = ("issuer", "sector", "currency", "adv", "adv_text", "multiplier", "multiplier_text")
    joined = rows.join(known.select("symbol", *shared), on="symbol", how="left", suffix=" known", maintain_order="left")
    return joined.with_columns(pl.coalesce(name, f"{name} known").alias(name) for name in shared).drop(
        f"{name} known" for name in shared
    )


def _priced(
    rows: pl.DataFrame, symbols: tuple[str, ...], prices: Series, *, is_valued: bool
) -> tuple[Floats, tuple[str | None, ...]]:
    if is_valued:
        return np.ones(len(symbols)), ("1",) * len(symbols)
    own, own_text = rows["price"].to_list(), rows["price_text"].to_list()
    found = np.full(len(symbols), np.nan)
    texts: list[str | None] = [None] * len(symbols)
    columns = {name: at for at, name in enumerate(prices.names)}
    for at, symbol in enumerate(symbols):
        column = columns.get(symbol)
        last = prices.last(column) if column is not None else None
        if column is not None and last is not None:
            found[at], texts[at] = prices.values[last, column], prices.texts.get((last, column))
        elif own[at] is not None:
            found[at], texts[at] = own[at], own_text[at]
    return found, tuple(texts)


def _rated(currency: tuple[str, ...], base: str, rates: Series) -> tuple[Floats, tuple[str | None, ...]]:
    known: dict[str, tuple[float, str | None]] = {base: (1.0, "1")}
    for column, name in enumerate(rates.names):
        last = rates.last(column)
        if last is not None and name != base:
            known[name] = float(rates.values[last, column]), rates.texts.get((last, column))
    pairs = [known.get(each, (float("nan"), None)) for each in currency]
    return np.array([pair[0] for pair in pairs], dtype=np.float64), tuple(pair[1] for pair in pairs)
