"""Which trade of one book is which of the other: by execution id, then by what makes a trade, all rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
ECONOMICS: Final = ("isin", "side", "quantity", "price", "trade_date", "account")
_TIES: Final = ("settle_date", "fees", "net", "exec_id", "row")
"""Equal trades are paired in this order, so that what else they hold pairs up, too."""
COMPARED: Final = (
    "security", "side", "quantity", "price", "currency", "trade_date", "settle_date", "account", "counterparty", "ssi",
    "fees", "net",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of both books that one execution id joins, not one to one."""

    internal: tuple[int, ...]
    external: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """What keys alone could tell."""

    pairs: pl.DataFrame
    """`i`, `e`: rows of both books; `how`: `exec` or `economics`."""
    groups: tuple[Group, ...]
    left_internal: list[int]
    left_external: list[int]


def match(internal: pl.DataFrame, external: pl.DataFrame) -> Matching:
    """Pair two books as `identifiers.with_isin` makes them."""
    left, right = internal.with_row_index("row"), external.with_row_index("row")
    pairs, groups = _by_execution(left, right)
    free_i, free_e = _free(internal.height, pairs["i"], groups, 0), _free(external.height, pairs["e"], groups, 1)
    found = _by_economics(left.filter(free_i), right.filter(free_e))
    free_i[found["i"].to_numpy()] = False
    free_e[found["e"].to_numpy()] = False
    return Matching(
        pairs=pl.concat([pairs, found]),
        groups=groups,
        left_internal=np.flatnonzero(free_i).tolist(),
        left_external=np.flatnonzero(free_e).tolist(),
    )


def differing(pairs: pl.DataFrame, internal: pl.DataFrame, external: pl.DataFrame) -> pl.DataFrame:
    """The pairs that are not equal in all that both sides tell: their rows side by side, columns `_i` and `_e`."""
    at_i, at_e = pairs["i"], pairs["e"]
    odd = np.zeros(pairs.height, dtype=np.bool_)
    for name in COMPARED:
        odd |= (internal[name].gather(at_i) != external[name].gather(at_e)).fill_null(value=False).to_numpy()
    return side_by_side(pairs.filter(odd), internal, external)


def side_by_side(pairs: pl.DataFrame, internal: pl.DataFrame, external: pl.DataFrame) -> pl.DataFrame:
    """Both rows of each pair in one."""
    return pl.concat(
        [
            pairs,
            internal[pairs["i"]].rename(lambda name: f"{name}_i"),
            external[pairs["e"]].rename(lambda name: f"{name}_e"),
        ],
        how="horizontal",
    )


def _by_execution(left: pl.DataFrame, right: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Group, ...]]:
    ours, theirs = _executions(left), _executions(right)
    single, single_there = ours.filter(~pl.col("twice")), theirs.filter(~pl.col("twice"))
    pairs = single.join(single_there, on="exec_id", suffix="_e").select(
        i="row", e="row_e", how=pl.lit("exec", pl.String)
    )
    twice = pl.concat([ours.filter(pl.col("twice")), theirs.filter(pl.col("twice"))])["exec_id"].unique()
    if not twice.len():
        return pairs, ()
    keys = pl.DataFrame({"exec_id": twice})
    rows = [
        side.join(keys, on="exec_id", how="semi").group_by("exec_id").agg(pl.col("row").sort())
        for side in (ours, theirs)
    ]
    both = rows[0].join(rows[1], on="exec_id", suffix="_e").sort("exec_id")
    return pairs, tuple(Group(tuple(i), tuple(e)) for _, i, e in both.select("exec_id", "row", "row_e").iter_rows())


def _executions(book: pl.DataFrame) -> pl.DataFrame:
    told = book.select("row", "exec_id").filter(pl.col("exec_id").is_not_null())
    return told.with_columns(twice=pl.col("exec_id").is_duplicated())


def _by_economics(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    keyed = [
        side.select("row", *ECONOMICS, "settle_date", "fees", "net", "exec_id")
        .sort(*_TIES, nulls_last=True)
        .with_columns(nth=pl.int_range(pl.len()).over(ECONOMICS))
        .select("row", *ECONOMICS, "nth")
        for side in (left, right)
    ]
    return (
        keyed[0]
        .join(keyed[1], on=[*ECONOMICS, "nth"], suffix="_e", nulls_equal=True)
        .select(i="row", e="row_e", how=pl.lit("economics", pl.String))
    )


def _free(height: int, paired: pl.Series, groups: tuple[Group, ...], side: int) -> Flags:
    free = np.ones(height, dtype=np.bool_)
    free[paired.to_numpy()] = False
    for group in groups:
        free[list((group.internal, group.external)[side])] = False
    return free
