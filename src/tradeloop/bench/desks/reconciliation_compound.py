"""Several differences at once: in one trade, over an account, or between trades that could be each other's partner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Final

from tradeloop.bench.desks.case import Difficulty
from tradeloop.bench.desks.reconciliation_book import CENT, Draft, Row, business_day, priced
from tradeloop.bench.desks.reconciliation_kinds import TICK, E, P, found


def small_price(row: Row) -> None:
    """Within tolerance by itself."""
    row["price"] = f"{Decimal(row['price']) + TICK:f}"


def small_fee(row: Row) -> None:
    """Within tolerance by itself, where the fee is large enough."""
    row["fees"] = f"{Decimal(row['fees']) + CENT:f}"


def another_quantity(row: Row) -> None:
    """A tenth more."""
    row["quantity"] = f"{Decimal(row['quantity']) + max(1, int(Decimal(row['quantity']) / 10)):f}"


def another_price(row: Row) -> None:
    """Two per cent more."""
    row["price"] = f"{(Decimal(row['price']) * Decimal('1.02') + TICK).quantize(TICK):f}"


def other_side(row: Row) -> None:
    """Bought for sold."""
    row["side"] = {"B": "S", "S": "B"}[row["side"]]


def later_settlement(row: Row) -> None:
    """Two business days on."""
    row["settle_date"] = business_day(date.fromisoformat(row["settle_date"]), 2).isoformat()


def other_party(row: Row) -> None:
    """Another counterparty."""
    row["counterparty"] = "BROKERZ"


def other_name(row: Row) -> None:
    """The CUSIP, or a name that maps to nothing."""
    row["security"] = row["security"][2:11] if row["security"].startswith("US") else "UNKNOWN-1"


PARTS: Final = (
    small_price, small_fee, another_quantity, another_price, other_side, later_settlement, other_party, other_name,
)  # fmt: skip
SMALL: Final = (small_price, small_fee)


def two_small(draft: Draft) -> None:
    """Each within its tolerance, both together: never resolved."""
    row = draft.external[draft.at()]
    for part in SMALL:
        part(row)
    priced(row)
    found(draft, "RB17", E)


def several(draft: Draft) -> None:
    """Two or three differences of any kind in one trade."""
    row = draft.external[draft.at()]
    chosen = draft.rng.choice(len(PARTS), size=draft.one(2, 2, 3), replace=False)
    if {PARTS[at] for at in chosen} == {small_price, another_price}:
        chosen = [1, 2]
    for at in sorted(int(each) for each in chosen):
        PARTS[at](row)
    priced(row)
    found(draft, "RB17", E)


def small_and_net(draft: Draft) -> None:
    """A price within tolerance, and a net amount that does not follow from it."""
    row = draft.external[draft.at()]
    small_price(row)
    priced(row)
    row["net"] = f"{Decimal(row['net']) + Decimal(draft.number(3, 2_000)) / 100:f}"
    found(draft, "RB17", E)


def drift(draft: Draft) -> None:
    """A cent and again a cent, always to the same side of one account: a leak, and no rounding."""
    for row in draft.internal + draft.external:
        row["account"] = "ACC-ALPHA"
    rows = [row for row in draft.external if Decimal(row["net"]) >= 1_000]
    while len(rows) < 12:
        at = len(draft.internal)
        base = {**draft.internal[0], "id": f"T8{at:04d}", "exec_id": f"{draft.internal[0]['exec_id']}-{at}"}
        base["quantity"] = str(int(Decimal(base["quantity"])) + 5_000 + at)
        priced(base)
        draft.internal.append(base)
        draft.external.append(dict(base))
        rows.append(draft.external[-1])
    for row in rows[:12]:
        more = Decimal(draft.one(1, 2)) / 100
        row["net"] = f"{Decimal(row['net']) + (more if row['side'] == 'B' else -more):f}"
        found(draft, "RB11", E)


def budget(draft: Draft) -> None:
    """One small difference of an account whose day is used up, or not told."""
    row = draft.external[draft.at()]
    row["quantity"] = draft.internal[draft.external.index(row)]["quantity"] = "9000"
    other = draft.internal[draft.external.index(row)]
    priced(row), priced(other)
    row["net"] = f"{Decimal(row['net']) + CENT:f}"
    account = row["account"]
    is_told = draft.odds(0.6)
    if is_told:
        told = draft.one({"count": 20, "notional": "1"}, {"count": 3, "notional": "100"})
        draft.more["used"] = [{"account": account, **told}]
    else:
        draft.more["used"] = [{"account": "ACC-OTHER", "count": 0, "notional": "0"}]
    found(draft, "RB11", E if is_told else P)
    draft.also = {P, E}


def two_partners(draft: Draft) -> None:
    """Two trades that fit one trade of the other side nearly as well: no pair is certain, nothing is resolved."""
    at = draft.at()
    row = draft.internal[at]
    twin = {**row, "id": "T70001", "price": f"{Decimal(row['price']) + 3 * TICK:f}"}
    del twin["exec_id"]
    other = {**row, "price": f"{Decimal(row['price']) + TICK:f}"}
    del other["exec_id"]
    del row["exec_id"]
    for each in (twin, other):
        priced(each)
    draft.internal.append(twin)
    draft.external[at] = other
    found(draft, "RB04", E)
    found(draft, "RB01", E)


COMPOUND_KINDS: Final[dict[str, tuple[Difficulty, Callable[[Draft], None]]]] = {
    "two_small": ("compound", two_small),
    "several": ("compound", several),
    "small_and_net": ("compound", small_and_net),
    "drift": ("compound", drift),
    "budget": ("compound", budget),
    "two_partners": ("compound", two_partners),
}
