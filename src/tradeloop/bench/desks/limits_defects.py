"""Doubtful inputs: a price that stands still, a rate that is not there, a fill counted twice, another unit."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tradeloop.bench.desks import limits_truth as truth
from tradeloop.bench.desks.limits_draft import LINEAR, Draft, fill, plain

OF_VALUE: Final = ("GROSS", "LEVERAGE", "POSITION", "CONCENTRATION_NAV", "ISSUER_NAV", "SECTOR_NAV")


def stale_price(draft: Draft) -> None:
    """A price stops a few sessions before the day, or is repeated while others move."""
    draft.is_doubtful = True
    symbol = draft.one(*draft.made.symbols)
    draft.bound(draft.one(*LINEAR), draft.between(0.3, 1.5))
    if draft.odds(0.5):
        for row in draft.prices[-int(draft.rng.integers(1, 4)) :]:
            row[symbol] = ""
    else:
        for row in draft.prices[-6:]:
            row[symbol] = draft.prices[-6][symbol]


def fx_missing(draft: Draft) -> None:
    """No rate for a currency that is held, or none of the day."""
    draft.is_doubtful = True
    if not draft.fx:
        _in_euros(draft)
    currency = draft.one(*[name for name in draft.fx[-1] if name != "date"])
    draft.bound(draft.one(*LINEAR), draft.between(0.3, 1.5))
    rows = draft.fx if draft.odds(0.5) else draft.fx[-1:]
    for row in rows:
        row[currency] = ""
    assert draft.value_of("GROSS") >= 0  # noqa: S101 - still a book


def _in_euros(draft: Draft) -> None:
    draft.positions[0]["currency"] = "EUR"
    draft.fx = [{"date": row["date"], "EUR": "1.0812"} for row in draft.prices[-2:]]


def doubled_fill(draft: Draft) -> None:
    """A fill that was booked twice: in the positions, and under one id in the fills."""
    draft.is_doubtful = True
    at = int(draft.rng.integers(len(draft.positions)))
    row = draft.positions[at]
    quantity, opening = int(row["quantity"]), int(row["opening"])
    size = quantity - opening
    if size == 0:
        size = quantity
        draft.changed(at, quantity=str(quantity + size))
        draft.fills.append(fill(at, row["symbol"], size, draft.made))
        quantity += size
    metric = draft.one(*OF_VALUE)
    name = draft.bound(metric, draft.between(0.5, 1.3))
    draft.mended = draft.data()
    again = next(one for one in draft.fills if one["symbol"] == row["symbol"])
    draft.fills.append(dict(again))
    draft.changed(at, quantity=str(quantity + size))
    assert draft.data()["positions"] != draft.mended["positions"]  # noqa: S101 - the generator's own promise
    draft.causes[name] = ""


def unit_error(draft: Draft) -> None:
    """A price in pence, a rate the other way round or in hundreds, a quantity in hundreds."""
    draft.is_doubtful = True
    place = draft.one("price", "price", "rate", "quantity")
    symbol = draft.one(*draft.made.symbols)
    at = draft.made.symbols.index(symbol)
    metric = draft.one(*OF_VALUE)
    name = draft.bound(metric, draft.between(0.5, 1.7))
    factor = draft.one(Fraction(100), Fraction(1, 100))
    if place == "rate" and not draft.fx:
        place = "price"
    if place == "price":
        draft.mended = _with_price(draft, symbol, draft.prices[-2][symbol])
        draft.prices[-1][symbol] = plain(Fraction(draft.prices[-1][symbol]) * factor)
    elif place == "rate":
        currency = draft.one(*[each for each in draft.fx[-1] if each != "date"])
        right = draft.fx[-1][currency]
        draft.fx[-1][currency] = draft.fx[-2][currency]
        draft.mended = draft.data()
        draft.fx[-1][currency] = plain(Fraction(right) * factor)
    else:
        draft.mended = draft.data()
        draft.changed(at, quantity=str(int(draft.positions[at]["quantity"]) * 100))
    draft.causes[name] = ""
    assert draft.data() != draft.mended  # noqa: S101 - the generator's own promise


def _with_price(draft: Draft, symbol: str, price: str) -> dict[str, object]:
    kept = draft.prices[-1][symbol]
    draft.prices[-1][symbol] = price
    found = draft.data()
    draft.prices[-1][symbol] = kept
    return found


def cause_of(draft: Draft, name: str) -> str:
    """Why a limit is reached: data, the market alone, or in truth; empty: it is not, or cannot be told."""
    data = draft.data()
    if truth.utilisations(data)[name] < 1:
        return ""
    if draft.mended is not None and truth.utilisations(_same_limits(draft, data))[name] < 1:
        return "DATA_DRIVEN"
    opening = {**(draft.mended or data), "limits": data["limits"]}
    rows = [row | {"quantity": row["opening"]} for row in truth.table(opening, "positions")]
    from tradeloop.bench.desks.limits_draft import csv_text

    opening["positions"] = {"text": csv_text(rows)}
    was = any(one["limit_id"] == name and one["state"] in ("BREACH", "HARD") for one in draft.previous)
    before = truth.utilisations(opening)[name]
    now = truth.utilisations(_same_limits(draft, data) if draft.mended is not None else data)[name]
    return "PASSIVE" if before >= max(1, float(now) * (1 - 1e-12)) and not was else "TRUE"


def _same_limits(draft: Draft, data: dict[str, object]) -> dict[str, object]:
    return {**(draft.mended or {}), "limits": data["limits"]}
