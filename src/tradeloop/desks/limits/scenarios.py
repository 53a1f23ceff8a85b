"""What each position would have made on each of the days before, as a share of its value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.limits.book import Book
from tradeloop.desks.limits.history import Floats, Series

NONE: Final = np.zeros((0, 0))


@dataclass(frozen=True)
class Scenarios:
    """Returns by day and position; NaN: that day is not known for the position."""

    returns: Floats
    """Days by positions, the newest last."""

    def pnl(self, values: Floats, mask: NDArray[np.bool_], observations: int) -> Floats:
        """P&L of these values on the newest days on which every position of the mask has a return.

        A position without any return is left out here, and told as doubtful by the gate.
        """
        if not len(self.returns):
            return np.zeros(0)
        held = mask & (values != 0) & ~np.isnan(self.returns).all(axis=0)
        if not held.any():
            return np.zeros(0)
        chosen = self.returns[:, held]
        known = chosen[~np.isnan(chosen).any(axis=1)][-observations:]
        found: Floats = known @ values[held]
        return found

    def calmed(self, cells: NDArray[np.bool_]) -> Scenarios:
        """The same with no move in these cells."""
        return replace(self, returns=np.where(cells, 0.0, self.returns))


def scenarios_of(book: Book, prices: Series, rates: Series, base: str) -> Scenarios:
    """Returns in the base currency, where rates reach back as far as prices; else the rate is held."""
    if not prices.names:
        return Scenarios(np.zeros((0, len(book))))
    columns = {name: at for at, name in enumerate(prices.names)}
    unknown = np.full((len(prices.days), 1), np.nan)
    wide = np.hstack([prices.values, unknown])
    local = wide[:, [columns.get(symbol, -1) for symbol in book.symbol]]
    factors = {name: _held(rates, name, prices) for name in set(book.currency) - {base}}
    ones = np.ones(len(prices.days))
    factor = np.column_stack([factors.get(name, ones) for name in book.currency]) if len(book) else local
    in_base = local * factor
    return Scenarios(in_base[1:] / in_base[:-1] - 1.0)


def _held(rates: Series, currency: str, prices: Series) -> Floats:
    """The rate of each price day, the last one before it where it has none; ones where it begins later."""
    ones = np.ones(len(prices.days))
    column = rates.at(currency)
    if column is None:
        return ones
    known = ~np.isnan(rates.values[:, column])
    days = np.array(rates.days, dtype="datetime64[D]")[known]
    places = np.searchsorted(days, np.array(prices.days, dtype="datetime64[D]"), side="right") - 1
    if not len(places) or places[0] < 0:
        return ones
    found: Floats = rates.values[:, column][known][places]
    return found
