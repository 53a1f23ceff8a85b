"""What differs within each pair, and what of it only follows from something else: all pairs at once.

An amount that changed because quantity, price or fee did is no difference of its own; nor is a settlement date that
moved with its trade date.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from tradeloop.desks.reconciliation.case import CorporateAction
from tradeloop.desks.reconciliation.days import between, is_open
from tradeloop.desks.reconciliation.policy import BreakClass, Policy

FIELDS: Final = (
    "security", "side", "quantity", "price", "currency", "trade_date", "settle_date", "party", "fees", "net",
)  # fmt: skip
_PARTY: Final = ("account", "counterparty", "ssi")
_GROSS: Final = 10**10
"""Quantity (10^6) by price (10^8) to money (10^4)."""
_CENT: Final = 100
"""A net amount that follows from another difference may be rounded by so much, in 10^-4 of the currency."""
_SHARE: Final = 10**6


def classified(pairs: pl.DataFrame, policy: Policy, today: date, calendar: str) -> pl.DataFrame:
    """Pairs (`matching.side_by_side`) with `fields`, `kind`, `holds` (the class's own condition) and `amount`.

    `amount`: what the external side costs more, in 10^-4 of the currency; null where it is not money that differs.
    Pairs in which nothing differs on its own are left out.
    """
    found = _dated(pairs, today, calendar).with_columns(
        isin_differs=pl.col("isin_i") != pl.col("isin_e"),
        is_buy=pl.col("side_i") == "B",
        **{f"abs_{name}_{side}": pl.col(f"{name}_{side}").abs() for name in ("net", "fees") for side in "ie"},
    )
    found = found.with_columns(_flags()).with_columns(gross_more=_gross("e") - _gross("i"))
    found = found.with_columns(
        fees_more=(_wide("abs_fees_e") - _wide("abs_fees_i")).fill_null(0),
        net_more=_wide("abs_net_e") - _wide("abs_net_i"),
    )
    sign = pl.when(pl.col("is_buy")).then(1).otherwise(-1).cast(pl.Int128)
    fees_e = pl.when(pl.col("side_e") == "B").then(1).otherwise(-1).cast(pl.Int128) * _fees("e")
    expected = pl.col("gross_more") + fees_e - sign * _fees("i")
    explained = (pl.col("d_quantity") | pl.col("d_price") | pl.col("d_fees") | pl.col("d_side")) & (
        (pl.col("net_more") - expected).abs() <= _CENT
    )
    found = found.with_columns(
        d_net=((pl.col("net_more") != 0) & ~explained).fill_null(value=False),
        amount=_amount(sign),
    )
    named = [pl.when(pl.col(f"d_{name}")).then(pl.lit(name)) for name in FIELDS]
    found = found.with_columns(fields=pl.concat_list(named).list.drop_nulls())
    found = found.filter(pl.col("fields").list.len() > 0)
    return _kinds(found, policy)


def explained_by_action(found: pl.DataFrame, actions: tuple[CorporateAction, ...], today: date) -> pl.DataFrame:
    """The same, with RB16 where a split or dividend tells the whole difference."""
    if not actions or not found.height:
        return found
    kinds, holds = found["kind"].to_list(), found["holds"].to_list()
    by_security: dict[str, list[CorporateAction]] = {}
    for action in actions:
        by_security.setdefault(action.security, []).append(action)
    columns = ("fields", "isin_i", "security_i", "trade_date_i", "quantity_i", "quantity_e", "price_i", "price_e")
    for at, (fields, isin, security, traded, *figures) in enumerate(found.select(columns).iter_rows()):
        near = [*by_security.get(isin, ()), *(by_security.get(security, ()) if security != isin else ())]
        if any(traded <= one.ex_date <= today and _tells(one, fields, figures) for one in near):
            kinds[at], holds[at] = BreakClass.CORPORATE_ACTION.value, True
    return found.with_columns(kind=pl.Series(kinds, dtype=pl.String), holds=pl.Series(holds, dtype=pl.Boolean))


def _tells(action: CorporateAction, fields: list[str], figures: list[int]) -> bool:
    quantity_i, quantity_e, price_i, price_e = figures
    if action.ratio is not None and set(fields) in ({"quantity", "price"}, {"quantity", "price", "net"}):
        many, few = max(quantity_i, quantity_e), min(quantity_i, quantity_e)
        high, low = max(price_i, price_e), min(price_i, price_e)
        ratio = max(action.ratio, 1 / action.ratio)
        rounded = abs(low * ratio - high) <= ratio  # the new price is rounded in its last digit
        is_inverse = (quantity_i > quantity_e) == (price_i < price_e)
        return abs(few * ratio - many) < 1 and rounded and is_inverse
    if action.dividend is not None and set(fields) == {"price"}:
        return abs(price_i - price_e) == int(action.dividend * 10**8)
    return False


def _dated(pairs: pl.DataFrame, today: date, calendar: str) -> pl.DataFrame:
    columns = {}
    if ((pairs["trade_date_i"] != pairs["trade_date_e"]) | (pairs["settle_date_i"] != pairs["settle_date_e"])).any():
        for side in "ie":
            trade, settle = pairs[f"trade_date_{side}"], pairs[f"settle_date_{side}"]
            columns[f"cycle_{side}"] = between(trade, settle, calendar, today)
            columns[f"open_{side}"] = is_open(settle, calendar, today)
        columns["late"] = between(pairs["trade_date_i"], pairs["trade_date_e"], calendar, today).abs()
        later = pairs.select(pl.max_horizontal("trade_date_i", "trade_date_e")).to_series()
        columns["age"] = between(later, pl.repeat(today, pairs.height, eager=True), calendar, today)
    else:
        empty = pl.Series([None] * pairs.height, dtype=pl.Int64)
        columns = dict.fromkeys(("cycle_i", "cycle_e", "late", "age"), empty)
        columns |= {name: empty.cast(pl.Boolean) for name in ("open_i", "open_e")}
    return pairs.with_columns(**columns)


def _flags() -> list[pl.Expr]:
    def unequal(name: str) -> pl.Expr:
        return (pl.col(f"{name}_i") != pl.col(f"{name}_e")).fill_null(value=False)

    derived = pl.col("derived_i") | pl.col("derived_e")
    moved_along = unequal("trade_date") & (pl.col("cycle_i") == pl.col("cycle_e")).fill_null(value=False)
    return [
        (pl.col("isin_differs") | (unequal("security") & derived)).alias("d_security"),
        *(unequal(name).alias(f"d_{name}") for name in ("side", "quantity", "price", "currency", "trade_date")),
        (unequal("settle_date") & ~moved_along).alias("d_settle_date"),
        pl.any_horizontal([unequal(name) for name in _PARTY]).alias("d_party"),
        unequal("abs_fees").alias("d_fees"),
    ]


def _wide(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int128)


def _fees(side: str) -> pl.Expr:
    # Where one side does not tell, its net amount may hold any fee, or none: then nothing is expected of it.
    told = pl.col("abs_fees_i").is_not_null() & pl.col("abs_fees_e").is_not_null()
    return pl.when(told).then(_wide(f"abs_fees_{side}")).otherwise(0)


def _gross(side: str) -> pl.Expr:
    exact = _wide(f"quantity_{side}") * _wide(f"price_{side}")
    return (exact + _GROSS // 2) // _GROSS


def _amount(sign: pl.Expr) -> pl.Expr:
    money = pl.col("d_price") | pl.col("d_fees") | (pl.col("net_more") != 0).fill_null(value=False)
    by_net = pl.when((pl.col("net_more") != 0).fill_null(value=False)).then(sign * pl.col("net_more"))
    return pl.when(money & ~pl.col("d_currency")).then(
        by_net.otherwise(sign * pl.col("gross_more") + pl.col("fees_more"))
    )


def _kinds(found: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    scale = pl.coalesce("currency_i", "currency_e").replace_strict(
        {name: int(value * 10**4) for name, value in policy.currency_scale.items()},
        default=10**4,
        return_dtype=pl.Int64,
    )

    def within(name: str, more: pl.Expr, larger: pl.Expr, money: pl.Expr) -> pl.Expr:
        bound = getattr(policy, name)
        absolute = money.abs() * _SHARE <= scale.cast(pl.Int128) * int(bound.absolute * _SHARE)
        relative = more.abs() * _SHARE <= larger * int(bound.relative * _SHARE)
        return (absolute & relative).fill_null(value=False)

    price_more = _wide("price_e") - _wide("price_i")
    money = pl.max_horizontal(pl.col("amount").abs(), pl.col("gross_more").abs())
    price_near = within("price", price_more, pl.max_horizontal(_wide("price_i"), _wide("price_e")), money)
    fee_larger = pl.max_horizontal(_wide("abs_fees_i"), _wide("abs_fees_e"))
    fee_near = within("fee", pl.col("fees_more"), fee_larger, pl.max_horizontal(money, pl.col("fees_more").abs()))
    net_larger = pl.max_horizontal(_wide("abs_net_i"), _wide("abs_net_e"))
    net_near = within("rounding", pl.col("net_more"), net_larger, pl.col("net_more"))
    is_late = (pl.col("late") == 1).fill_null(value=False)
    is_fresh = (pl.col("age") <= 1).fill_null(value=False)  # older ones waited already, whoever forgot to say so
    is_holiday = (pl.col("open_i") != pl.col("open_e")).fill_null(value=False)
    one = pl.col("fields").list.first()
    never, always = pl.lit(value=False), pl.lit(value=True)
    kinds: list[tuple[pl.Expr, BreakClass, pl.Expr]] = [
        (pl.col("fields").list.len() > 1, BreakClass.COMPOUND, always),
        (one == "security", BreakClass.IDENTIFIER, ~pl.col("isin_differs")),
        (one == "side", BreakClass.SIDE, always),
        (one == "quantity", BreakClass.QUANTITY, always),
        ((one == "price") & price_near, BreakClass.PRICE_TOLERANCE, always),
        (one == "price", BreakClass.PRICE, always),
        (one == "currency", BreakClass.ROUNDING, never),
        ((one == "trade_date") & is_late, BreakClass.LATE, is_fresh),
        (one == "trade_date", BreakClass.TRADE_DATE, always),
        (one == "settle_date", BreakClass.SETTLE_DATE, is_holiday),
        (one == "party", BreakClass.PARTY, always),
        (one == "fees", BreakClass.FEE, fee_near),
    ]
    kind: pl.Expr = pl.lit(BreakClass.ROUNDING.value)
    holds: pl.Expr = net_near
    for test, name, condition in reversed(kinds):
        kind = pl.when(test).then(pl.lit(name.value)).otherwise(kind)
        holds = pl.when(test).then(condition).otherwise(holds)
    return found.with_columns(kind=kind, holds=holds)
