"""What each break asks for: its class's answer, held against tolerance, budget, drift and what is known already."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import polars as pl

from tradeloop.desks.reconciliation.case import Case, Signs, Used
from tradeloop.desks.reconciliation.policy import BreakClass, Outcome, Policy

UNIT: Final = 10**4
"""Money is in ten-thousandths of the currency."""
_TITLES: Final = {
    "owed": "the average price differs within tolerance",
    "drift": "differences of the account go one way",
    "budget": "the account's budget of the day is used up",
    "untold": "the account's day, or the currency's scale, is not told",
    "many": "the batch has more adjustments than one decision takes",
    "partner": "another partner would fit nearly as well",
}


@dataclass(frozen=True, slots=True)
class Weighed:
    """Breaks with `asks` and `why`, and what was found about accounts."""

    breaks: pl.DataFrame
    drifting: tuple[str, ...]
    over_budget: tuple[str, ...]


def why(code: str | None) -> str:
    """In words, why a break is not resolved by itself."""
    return _TITLES.get(code or "", "")


def weigh(breaks: pl.DataFrame, policy: Policy, case: Case) -> Weighed:
    """Answer each break; `breaks` as `breaks.gathered` makes them."""
    first = {name.value: entry.decision.value for name, entry in policy.classes.items()}
    other = {name.value: entry.otherwise.value for name, entry in policy.classes.items()}
    found = breaks.with_row_index("nth").with_columns(
        asks=pl.when(pl.col("holds"))
        .then(pl.col("kind").replace_strict(first, return_dtype=pl.String))
        .otherwise(pl.col("kind").replace_strict(other, return_dtype=pl.String)),
        why=pl.lit(None, pl.String),
    )
    owed = (pl.col("asks") == Outcome.MATCH.value) & (pl.col("amount") != 0)
    found = _changed(found, owed.fill_null(value=False), Outcome.AUTO_RESOLVE, "owed")
    lenient = pl.col("asks").is_in([Outcome.MATCH.value, Outcome.AUTO_RESOLVE.value])
    found = _changed(found, lenient & ~pl.col("is_only"), Outcome.ESCALATE, "partner")
    found = _untold(found, policy, case)
    found, drifting = _drifted(found, policy, case.signs)
    found, over = _budgeted(found, policy, case.used)
    return Weighed(_bounded(found, policy), drifting, over)


def one_sided(plus: int, minus: int) -> float:
    """The two-sided p-value of a sign test (Arbuthnot 1710; binomial with p = 1/2)."""
    count, fewer = plus + minus, min(plus, minus)
    if not count:
        return 1.0
    tail = sum(math.comb(count, k) for k in range(fewer + 1)) if count <= 1000 else 0
    if count > 1000:  # the normal tail, with continuity correction: exact sums would take long integers
        return math.erfc(max(0.0, abs(plus - minus) - 1) / math.sqrt(2 * count))
    return min(1.0, 2 * tail / int(2**count))


def _auto() -> pl.Expr:
    return pl.col("asks") == Outcome.AUTO_RESOLVE.value


def _changed(found: pl.DataFrame, test: pl.Expr, to: Outcome, code: str) -> pl.DataFrame:
    return found.with_columns(
        asks=pl.when(test).then(pl.lit(to.value)).otherwise(pl.col("asks")),
        why=pl.when(test).then(pl.lit(code)).otherwise(pl.col("why")),
    )


def _untold(found: pl.DataFrame, policy: Policy, case: Case) -> pl.DataFrame:
    accounts, currencies = [one.account for one in case.used], list(policy.currency_scale)
    told = pl.col("account").is_in(accounts) & pl.col("currency").is_in(currencies) & pl.col("amount").is_not_null()
    return _changed(found, _auto() & ~told.fill_null(value=False), Outcome.PROPOSE_FIX, "untold")


def _drifted(found: pl.DataFrame, policy: Policy, signs: tuple[Signs, ...]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    small = found.filter(_auto() & (pl.col("amount") != 0))
    counted = small.group_by("account").agg(plus=(pl.col("amount") > 0).sum(), minus=(pl.col("amount") < 0).sum())
    before = {one.account: one for one in signs}
    drifting = []
    for account, plus, minus in counted.sort("account").iter_rows():
        earlier = before.get(account)
        ups, downs = plus + (earlier.plus if earlier else 0), minus + (earlier.minus if earlier else 0)
        if ups + downs >= policy.drift.breaks_min and one_sided(ups, downs) <= policy.drift.p_max:
            drifting.append(str(account))
    return _changed(found, _auto() & pl.col("account").is_in(drifting), Outcome.ESCALATE, "drift"), tuple(drifting)


def _budgeted(found: pl.DataFrame, policy: Policy, used: tuple[Used, ...]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    counts = {one.account: one.count for one in used}
    sums = {one.account: math.ceil(one.notional * UNIT) for one in used}
    scales = {name: float(value) for name, value in policy.currency_scale.items()}
    wanted = (
        found.filter(_auto())
        .with_columns(size=(pl.col("amount").abs() / pl.col("currency").replace_strict(scales, default=1.0)).ceil())
        .sort("size", "nth")
        .with_columns(
            count=pl.int_range(1, pl.len() + 1).over("account")
            + pl.col("account").replace_strict(counts, default=0, return_dtype=pl.Int64),
            notional=pl.col("size").cast(pl.Int64).cum_sum().over("account")
            + pl.col("account").replace_strict(sums, default=0, return_dtype=pl.Int64),
        )
    )
    most = int(policy.budget.notional * UNIT)
    over = wanted.filter((pl.col("count") > policy.budget.count) | (pl.col("notional") > most))
    names = tuple(sorted(str(name) for name in over["account"].unique()))
    return _changed(found, pl.col("nth").is_in(over["nth"].implode()), Outcome.ESCALATE, "budget"), names


def _bounded(found: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    rows = found.filter(_auto())["nth"]
    if rows.len() <= policy.batch_adjustments_max:
        return found
    beyond = rows.tail(rows.len() - policy.batch_adjustments_max)
    return _changed(found, pl.col("nth").is_in(beyond.implode()), Outcome.PROPOSE_FIX, "many")


def open_outcomes(breaks: pl.DataFrame, policy: Policy) -> tuple[Outcome, ...]:
    """What agents may answer less cautiously: allowed by the class of every break that asks for the most cautious."""
    if not breaks.height:
        return ()
    top = max((Outcome(name) for name in breaks["asks"].unique()), key=policy.caution)
    deciding = breaks.filter(pl.col("asks") == top.value)["kind"].unique().to_list()
    shared = [set(policy.classes[BreakClass(kind)].ambiguous) for kind in deciding]
    beside = [Outcome(name) for name in breaks["asks"].unique()]
    least = max((policy.caution(one) for one in beside if one is not top), default=0)
    allowed = set.intersection(*shared) if shared else set()
    return tuple(one for one in policy.lattice if one in allowed and least <= policy.caution(one) < policy.caution(top))


def money(amount: int | None) -> Decimal | None:
    """Ten-thousandths as a decimal."""
    return None if amount is None else Decimal(amount) / UNIT
