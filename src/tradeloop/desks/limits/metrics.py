"""What each limit bounds, as a figure: of arrays of floats, or exactly of Fractions where an edge is near."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Final  # Any: an array of floats or of Fractions

import numpy as np
from numpy.typing import NDArray

from tradeloop.desks.limits.book import Book
from tradeloop.desks.limits.filtered import filtered_scenarios
from tradeloop.desks.limits.history import Floats
from tradeloop.desks.limits.limit import LOSSES, OF_NAV, TAILS, Limit, Metric
from tradeloop.desks.limits.pnl import Day, drawdown, drawdown_share
from tradeloop.desks.limits.scenarios import Scenarios
from tradeloop.desks.limits.tails import expected_shortfall, historical_var

Numbers = NDArray[Any]
MOST: Final = 1e6
"""Utilisation where a limit is zero and the value is not, or the net asset value is gone."""


_SUMS: Final[dict[Metric, Callable[[Numbers], Any]]] = {
    Metric.GROSS: lambda held: np.sum(np.abs(held)),
    Metric.LEVERAGE: lambda held: np.sum(np.abs(held)),
    Metric.NET: lambda held: abs(np.sum(held)),
    Metric.LONG: lambda held: np.sum(np.maximum(held, 0 * held)),
    Metric.SHORT: lambda held: np.sum(np.maximum(-held, 0 * held)),
}


@dataclass(frozen=True)
class Measured:
    """A limit's value."""

    value: float | None
    """None: cannot be computed."""
    observations: int | None = None
    exact: Fraction | None = None


@dataclass(frozen=True)
class View:
    """One way to see the inputs: as delivered, or with the doubtful ones replaced."""

    book: Book
    scenarios: Scenarios
    nav: Fraction | None

    @cached_property
    def values(self) -> Floats:
        """Market values; what cannot be told counts as nothing, and is told as doubtful elsewhere."""
        return np.nan_to_num(self.book.values, nan=0.0)

    def measured(self, limit: Limit, days: tuple[Day, ...], *, observations: int) -> Measured:
        """A limit's value; `days`: the P&L of its account, `observations`: the most scenarios to take."""
        if limit.metric in LOSSES:
            return _loss(limit.metric, days, self.nav)
        if limit.metric in TAILS:
            return self._tail(limit, observations)
        if limit.metric in OF_NAV and (self.nav is None or self.nav <= 0):
            held = bool(np.any(self.values[self.mask(limit)] != 0))
            return Measured(None if self.nav is None else (MOST if held else 0.0))
        found = self._exposure(limit, self.values)
        return Measured(None if found is None else float(found))

    def exactly(self, limit: Limit, days: tuple[Day, ...]) -> Fraction | None:
        """A limit's value without rounding; None: there is no such figure."""
        if limit.metric in LOSSES:
            return _loss(limit.metric, days, self.nav).exact
        if limit.metric in TAILS or (limit.metric in OF_NAV and (self.nav is None or self.nav <= 0)):
            return None
        found = self._exposure(limit, self.book.exact_values)
        return None if found is None else Fraction(found)

    def mask(self, limit: Limit) -> NDArray[np.bool_]:
        """The positions that count towards a limit."""
        found = np.ones(len(self.book), dtype=np.bool_)
        if limit.account and any(self.book.account):
            found &= np.array([each == limit.account for each in self.book.account], dtype=np.bool_)
        if limit.key:
            named = self._outer(limit.metric) or self.book.symbol
            found &= np.array([each == limit.key for each in named], dtype=np.bool_)
        return found

    def _exposure(self, limit: Limit, values: Numbers) -> Any:
        mask, metric = self.mask(limit), limit.metric
        if metric is Metric.CONCENTRATION_ADV:
            return self._of_volume(mask, is_exact=values.dtype == object)
        if (outer := self._outer(metric)) is not None:
            found = _largest(_within(outer, self.book.symbol, mask, values))
        elif metric in (Metric.POSITION, Metric.CONCENTRATION_NAV):
            found = _largest(_by(self.book.symbol, mask, values))
        else:
            found = _SUMS[metric](values[mask])
        return _share(found, self.nav) if metric in OF_NAV else found

    def _outer(self, metric: Metric) -> tuple[str, ...] | None:
        return {Metric.ISSUER_NAV: self.book.issuer, Metric.SECTOR_NAV: self.book.sector}.get(metric)

    def _of_volume(self, mask: NDArray[np.bool_], *, is_exact: bool) -> Any:
        quantity: Numbers = self.book.exact("quantity") if is_exact else np.nan_to_num(self.book.figures["quantity"])
        volume: Numbers = self.book.exact("adv") if is_exact else np.nan_to_num(self.book.figures["adv"])
        volumes = dict(zip(self.book.symbol, volume, strict=True))
        shares = [
            abs(held) / volumes[name]
            for name, held in _by(self.book.symbol, mask, quantity).items()
            if volumes[name] > 0
        ]
        return max(shares, default=0.0)

    def _tail(self, limit: Limit, observations: int) -> Measured:
        mask = self.mask(limit)
        pnl = self.scenarios.pnl(self.values, mask, observations)
        if len(pnl) < 2:
            return Measured(0.0 if not np.any(self.values[mask]) else None, len(pnl))
        match limit.metric:
            case Metric.ES_975:
                return Measured(expected_shortfall(pnl), len(pnl))
            case Metric.VAR_99_FILTERED:
                scaled = filtered_scenarios(pnl)
                return Measured(None if scaled is None else historical_var(scaled), len(pnl))
            case _:
                return Measured(historical_var(pnl), len(pnl))


def _loss(metric: Metric, days: tuple[Day, ...], nav: Fraction | None) -> Measured:
    changes = [one.pnl for one in days if one.pnl is not None]
    if not days or len(changes) != len(days):
        return Measured(None)
    match metric:
        case Metric.PNL_STOP:
            found = max(Fraction(0), -changes[-1])
        case Metric.DRAWDOWN:
            found = drawdown(changes, Fraction(0))
        case _:
            last = days[-1].nav if days[-1].nav is not None else nav
            if last is None:
                return Measured(None)
            found = drawdown_share(changes, last, Fraction(0))
    return Measured(float(found), exact=found)


def _share(value: Any, nav: Fraction | None) -> Any:
    if nav is None:
        return None
    return value / (nav if isinstance(value, Fraction) else float(nav))


def _largest(by: dict[str, Any]) -> Any:
    return max((abs(each) for each in by.values()), default=0.0)


def _by(names: tuple[str, ...], mask: NDArray[np.bool_], values: Numbers) -> dict[str, Any]:
    """Sums by name."""
    places = np.flatnonzero(mask)
    unique, inverse = np.unique(np.array(names, dtype=object)[places], return_inverse=True)
    sums: Numbers = np.zeros(len(unique), dtype=values.dtype)
    np.add.at(sums, inverse, values[places])
    return dict(zip(unique.tolist(), sums.tolist(), strict=True))


def _within(
    outer: tuple[str, ...], symbols: tuple[str, ...], mask: NDArray[np.bool_], values: Numbers
) -> dict[str, Any]:
    """Of each issuer or sector the sum of its instruments' exposures: long one and short another do not cancel."""
    of = dict(zip(symbols, outer, strict=True))
    found: dict[str, Any] = {}
    for symbol, value in _by(symbols, mask, values).items():
        if of[symbol]:
            found[of[symbol]] = found.get(of[symbol], 0) + abs(value)
    return found
