"""Partners for what neither key nor sum paired: the cheapest assignment within one security."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment

from tradeloop.desks.reconciliation.policy import Search

Floats = NDArray[np.float64]
_FORBIDDEN: Final = 1e6
_ALL_CELLS: Final = 20_000_000
"""Pairs that are weighed in a batch, about ten seconds; blocks beyond it stay unpaired."""
_SIDE: Final = 2.0
_ACCOUNT: Final = 1.5
_PARTY: Final = 1.0
_DAY: Final = 1.0
_DAYS_MAX: Final = 5
_QUANTITY: Final = 1.5
_PRICE: Final = 0.5
_LIKE_ID: Final = 0.75
"""What a nearly equal execution id takes off: one letter was mistyped."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A pair that the assignment found."""

    internal: int
    external: int
    is_only: bool
    """Whether every other partner of either is clearly worse."""


def assign(
    internal: pl.DataFrame, external: pl.DataFrame, left: tuple[Sequence[int], Sequence[int]], search: Search
) -> list[Assigned]:
    """Pair rows of one security; what costs more than `cost_max` stays unpaired.

    A block of more than `block_rows` a side is taken day by day; a day that is still larger is not paired at all.
    """
    found: list[Assigned] = []
    cells = 0
    for mine, others in sorted(_blocks(internal, external, left, search), key=lambda one: len(one[0]) * len(one[1])):
        cells += len(mine) * len(others)
        if cells > _ALL_CELLS:
            break
        ours, theirs = internal[list(mine)], external[list(others)]
        costs = _costs(ours, theirs)
        chosen_i, chosen_e = linear_sum_assignment(np.where(costs > search.cost_max, _FORBIDDEN, costs))
        for i, e in zip(chosen_i.tolist(), chosen_e.tolist(), strict=True):
            if costs[i, e] <= search.cost_max:
                others_cost = min(_beside(costs[i], e), _beside(costs[:, e], i))
                is_only = bool(others_cost - costs[i, e] >= search.margin_min)
                found.append(Assigned(mine[i], others[e], is_only))
    return found


def _blocks(
    internal: pl.DataFrame, external: pl.DataFrame, left: tuple[Sequence[int], Sequence[int]], search: Search
) -> list[tuple[list[int], list[int]]]:
    def keyed(names: tuple[str, ...], rows: tuple[Sequence[int], Sequence[int]]) -> list[tuple[list[int], list[int]]]:
        blocks: defaultdict[tuple[object, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side, (book, places) in enumerate(((internal, rows[0]), (external, rows[1]))):
            for row, key in zip(places, book[list(places)].select(names).iter_rows(), strict=True):
                blocks[key][side].append(row)
        return [block for block in blocks.values() if block[0] and block[1]]

    done = []
    for block in keyed(("isin",), left):
        if max(len(block[0]), len(block[1])) <= search.block_rows:
            done.append(block)
        else:
            by_day = keyed(("isin", "trade_date"), block)
            done += [one for one in by_day if max(len(one[0]), len(one[1])) <= search.block_rows]
    return done


def _costs(ours: pl.DataFrame, theirs: pl.DataFrame) -> Floats:
    cost = np.zeros((ours.height, theirs.height))
    cost += _SIDE * _unequal(ours, theirs, "side")
    cost += _ACCOUNT * _unequal(ours, theirs, "account")
    cost += _PARTY * _unequal(ours, theirs, "counterparty")
    days = np.abs(_numbers(ours, "trade_date")[:, None] - _numbers(theirs, "trade_date")[None, :])
    cost += np.where(days == 0, 0, _DAY + 0.3 * np.minimum(days, _DAYS_MAX))
    cost += _apart(ours, theirs, "quantity", (_QUANTITY, 2.0, 1.4))
    cost += _apart(ours, theirs, "price", (_PRICE, 20.0, 2.4))
    return cost - _LIKE_ID * _like_ids(ours, theirs)


def _beside(costs: Floats, at: int) -> float:
    rest = np.delete(costs, at)
    return float(rest.min()) if rest.size else float("inf")


def _numbers(book: pl.DataFrame, name: str) -> Floats:
    return book[name].cast(pl.Int64).cast(pl.Float64).to_numpy()


def _unequal(ours: pl.DataFrame, theirs: pl.DataFrame, name: str) -> Floats:
    codes = {text: float(code) for code, text in enumerate({*ours[name].to_list(), *theirs[name].to_list()} - {None})}
    left, right = (np.array([codes.get(text, np.nan) for text in side[name].to_list()]) for side in (ours, theirs))
    known = ~np.isnan(left)[:, None] & ~np.isnan(right)[None, :]
    found: Floats = ((left[:, None] != right[None, :]) & known).astype(np.float64)
    return found


def _apart(ours: pl.DataFrame, theirs: pl.DataFrame, name: str, weights: tuple[float, float, float]) -> Floats:
    least, slope, most = weights
    # A float is enough to rank by; whether figures are equal is asked of the whole numbers elsewhere.
    left, right = (np.log(np.maximum(_numbers(side, name), 1e-9)) for side in (ours, theirs))
    gap = np.abs(left[:, None] - right[None, :])
    found: Floats = np.where(gap == 0, 0, least + np.minimum(slope * gap, most))
    return found


def _like_ids(ours: pl.DataFrame, theirs: pl.DataFrame) -> Floats:
    like = np.zeros((ours.height, theirs.height))
    if ours.height * theirs.height > 10_000:
        return like
    for i, mine in enumerate(ours["exec_id"].to_list()):
        for e, other in enumerate(theirs["exec_id"].to_list()):
            if mine and other and len(mine) > 3:
                like[i, e] = Levenshtein.distance(mine, other, score_cutoff=1) <= 1
    return like
