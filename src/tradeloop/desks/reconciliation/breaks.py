"""Every break between two books of trades, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final  # Any: cells of a row

import polars as pl

from tradeloop.desks.reconciliation.assignment import assign
from tradeloop.desks.reconciliation.case import Case
from tradeloop.desks.reconciliation.differences import classified, explained_by_action
from tradeloop.desks.reconciliation.grouping import Grouped, Rows, among_left, within_executions
from tradeloop.desks.reconciliation.identifiers import with_isin
from tradeloop.desks.reconciliation.matching import differing, match
from tradeloop.desks.reconciliation.policy import BreakClass, Policy

SEARCHED_MAX: Final = 100_000
"""Rows of a side that are looked at one by one; more without a partner are two books that do not belong together."""
SCHEMA: Final = pl.Schema(
    [
        ("kind", pl.String()),
        ("holds", pl.Boolean()),
        ("i", pl.List(pl.UInt32)),
        ("e", pl.List(pl.UInt32)),
        ("how", pl.String()),
        ("is_only", pl.Boolean()),
        ("fields", pl.List(pl.String)),
        ("amount", pl.Int64()),
        ("currency", pl.String()),
        ("account", pl.String()),
    ]
)
_MONEY_MAX: Final = 2**62


@dataclass(frozen=True, slots=True)
class Compared:
    """Two books and what lies between them."""

    internal: pl.DataFrame
    external: pl.DataFrame
    breaks: pl.DataFrame
    matched: int


def compared(internal: pl.DataFrame, external: pl.DataFrame, policy: Policy, case: Case) -> Compared:
    """Match two books of `columns.typed` and name every break."""
    internal, external = with_isin(internal, case.identifiers), with_isin(external, case.identifiers)
    matching = match(internal, external)
    rows = ([*matching.left_internal], [*matching.left_external])
    in_groups = (
        [row for group in matching.groups for row in group.internal],
        [row for group in matching.groups for row in group.external],
    )
    is_searched = max(len(side) + len(more) for side, more in zip(rows, in_groups, strict=True)) <= SEARCHED_MAX
    pairs, grouped = matching.pairs.with_columns(is_only=pl.lit(value=True)), []
    left_i, left_e = rows
    if is_searched:
        ours, theirs = Rows(internal, left_i + in_groups[0]), Rows(external, left_e + in_groups[1])
        first = within_executions(matching.groups, ours, theirs)
        left_i, left_e = left_i + first.left_internal, left_e + first.left_external
        second = among_left(left_i, left_e, ours, theirs, policy.search)
        grouped = first.grouped + second.grouped
        left_i, left_e = second.left_internal, second.left_external
        found = assign(internal, external, (left_i, left_e), policy.search)
        pairs = pl.concat([pairs, _pairs(first.pairs, "exec"), _assigned(found)])
        left_i = sorted(set(left_i) - {one.internal for one in found})
        left_e = sorted(set(left_e) - {one.external for one in found})
    else:
        left_i, left_e = left_i + in_groups[0], left_e + in_groups[1]
    several = _grouped(grouped, internal, external, policy)
    single = _single(pairs, internal, external, policy, case)
    missing = [
        _missing(left_i, internal, BreakClass.MISSING_THERE, case),
        _missing(left_e, external, BreakClass.MISSING_HERE, case),
    ]
    return Compared(internal, external, pl.concat([single, several, *missing]), pairs.height - single.height)


def _pairs(rows: Sequence[tuple[int, int]], how: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"i": [i for i, _ in rows], "e": [e for _, e in rows], "how": [how] * len(rows), "is_only": [True] * len(rows)},
        schema={"i": pl.UInt32, "e": pl.UInt32, "how": pl.String, "is_only": pl.Boolean},
    )


def _assigned(found: Sequence[Any]) -> pl.DataFrame:
    rows = _pairs([(one.internal, one.external) for one in found], "assignment")
    return rows.with_columns(is_only=pl.Series([one.is_only for one in found], dtype=pl.Boolean))


def _single(
    pairs: pl.DataFrame, internal: pl.DataFrame, external: pl.DataFrame, policy: Policy, case: Case
) -> pl.DataFrame:
    odd = differing(pairs, internal, external)
    found = explained_by_action(classified(odd, policy, case.today, case.calendar), case.corporate_actions, case.today)
    waited = pl.Series(case.waited, dtype=pl.String).implode()
    is_old = pl.any_horizontal(
        [pl.col(f"{name}_{side}").is_in(waited).fill_null(value=False) for name in ("id", "exec_id") for side in "ie"]
    )
    is_unnamed = pl.all_horizontal([pl.col(f"{name}_{side}").is_null() for name in ("id", "exec_id") for side in "ie"])
    is_late = pl.col("kind") == BreakClass.LATE.value
    return found.select(
        "kind",
        pl.col("holds") & ~(is_late & (is_old | is_unnamed)),
        pl.concat_list("i").alias("i"),
        pl.concat_list("e").alias("e"),
        "how",
        "is_only",
        "fields",
        pl.when(pl.col("amount").abs() < _MONEY_MAX).then("amount").cast(pl.Int64).alias("amount"),
        pl.coalesce("currency_i", "currency_e").alias("currency"),
        pl.coalesce("account_i", "account_e").alias("account"),
    ).cast(SCHEMA)


def _missing(rows: Sequence[int], book: pl.DataFrame, kind: BreakClass, case: Case) -> pl.DataFrame:
    is_ours = kind is BreakClass.MISSING_THERE
    lines = pl.Series(rows, dtype=pl.UInt32)
    empty = pl.Series([[]] * len(rows), dtype=pl.List(pl.UInt32))
    return (
        book[lines]
        .select("currency", "account", traded="trade_date")
        .with_columns(
            kind=pl.lit(kind.value),
            holds=(pl.col("traded") == case.today) & pl.lit(case.is_open) if is_ours else pl.lit(value=True),
            i=lines.reshape((-1, 1)).arr.to_list() if is_ours and rows else empty,
            e=empty if is_ours or not rows else lines.reshape((-1, 1)).arr.to_list(),
            how=pl.lit("none"),
            is_only=pl.lit(value=True),
            fields=pl.Series([[]] * len(rows), dtype=pl.List(pl.String)),
            amount=pl.lit(None, pl.Int64),
        )
        .select(list(SCHEMA))
        .cast(SCHEMA)
    )


def _grouped(
    grouped: Sequence[Grouped], internal: pl.DataFrame, external: pl.DataFrame, policy: Policy
) -> pl.DataFrame:
    rows = []
    for one in grouped:
        ours, theirs = internal[list(one.internal)], external[list(one.external)]
        is_twice = one.kind == "duplicate"
        holds = is_twice or _same_terms(ours, theirs, policy)
        kind = BreakClass.DUPLICATE if is_twice else BreakClass.ALLOCATION
        amount = _more(ours, theirs) if holds and not is_twice else None
        rows.append(
            [kind.value, holds, list(one.internal), list(one.external), "group", one.is_only, [], amount or None,
             ours["currency"][0] or theirs["currency"][0], ours["account"][0] or theirs["account"][0]]
        )  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _more(ours: pl.DataFrame, theirs: pl.DataFrame) -> int:
    """What the external side costs more, in ten-thousandths."""
    gross = [sum(q * p for q, p in side.select("quantity", "price").iter_rows()) for side in (theirs, ours)]
    more = gross[0] - gross[1] if ours["side"][0] == "B" else gross[1] - gross[0]
    return int((more + 10**10 // 2) // 10**10)


def _same_terms(ours: pl.DataFrame, theirs: pl.DataFrame, policy: Policy) -> bool:
    """Whether average price, counterparty, settlement date and amounts agree over all rows of both sides."""
    for name in ("counterparty", "settle_date", "ssi", "currency", "security"):
        told = [set(side[name].drop_nulls().to_list()) for side in (ours, theirs)]
        if len(told[0] | told[1]) > 1:
            return False
    gross = [sum(q * p for q, p in side.select("quantity", "price").iter_rows()) for side in (ours, theirs)]
    quantity = sum(ours["quantity"].to_list())
    more = abs(gross[0] - gross[1])
    currency = ours["currency"][0] or theirs["currency"][0]
    scale = policy.currency_scale.get(currency)
    if more and (scale is None or more > policy.allocation.absolute * scale * 10**14):
        return False
    if more > policy.allocation.relative * max(gross) or not quantity:
        return False
    for name in ("net", "fees"):
        sums = [
            sum(abs(value) for value in side[name].to_list()) for side in (ours, theirs) if not side[name].has_nulls()
        ]
        slack = 100 * max(ours.height, theirs.height) + (more // 10**10 if name == "net" else 0)
        if len(sums) == 2 and abs(sums[0] - sums[1]) > slack:
            return False
    return True
