"""CSDR cash penalties of one instruction, in Decimal, day by day.

Sources: (EU) 909/2014 Art. 7, (EU) 2018/1229, (EU) 2017/389 with its annex. For each business day of the place of
settlement from the intended settlement date (ISD) until it settles:

- days before it was matched: LMFP (late matching), charged to who matched late, once it is matched and back to the ISD;
- days on which it is matched and does not settle: SEFP (settlement fail), charged to who is short.

Of a day: rate x quantity x reference price, rounded half up to 0.01. `today` itself is not over yet: what it will cost
is told apart (`per_day`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Final, Literal

from tradeloop.desks.settlement.policy import AssetKind, Policy

CENT: Final = Decimal("0.01")
_BASIS_POINT: Final = Decimal("0.0001")
_DIGITS: Final = 150
"""Significant digits on the way: a product of three figures of 40 digits stays exact, so rounding happens once."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a penalty is computed on."""

    quantity: Decimal
    price: Decimal
    is_percent: bool
    """Whether the price is per cent of the face amount."""
    prices: dict[date, Decimal]
    """Of days with another price."""

    def value(self, day: date) -> Decimal:
        """The value of the failed securities on a day."""
        with localcontext(prec=_DIGITS):
            value = self.quantity * self.prices.get(day, self.price)
            return value / 100 if self.is_percent else value


@dataclass(frozen=True, slots=True)
class Charge:
    """One day's penalty."""

    day: date
    kind: Literal["SEFP", "LMFP"]
    amount: Decimal


def securities_rate(policy: Policy, asset: AssetKind, day: date) -> Decimal:
    """The rate of a day as a fraction; 0 before penalties were charged at all."""
    held = [rates for rates in policy.penalty_rates if rates.from_ <= day]
    return held[-1].basis_points[asset] * _BASIS_POINT if held else Decimal(0)


def cash_rate(policy: Policy, currency: str, percent_a_year: Decimal, day: date) -> Decimal:
    """The rate of a day for a lack of cash as a fraction; 0 before penalties were charged at all."""
    if day < policy.penalty_rates[0].from_:
        return Decimal(0)
    days = policy.cash_days.get(currency, policy.cash_days["default"])
    with localcontext(prec=_DIGITS):
        return max(percent_a_year, Decimal(0)) / 100 / days


def charged(rate: Decimal, value: Decimal) -> Decimal:
    """Rate times value, rounded half up to 0.01."""
    with localcontext(prec=_DIGITS):
        return (rate * value).quantize(CENT, ROUND_HALF_UP)


def charges(
    days: Sequence[date], rates: Sequence[Decimal], exposure: Exposure, matched_on: date | None
) -> tuple[Charge, ...]:
    """The charges of these business days (all before today), each with its rate.

    Not matched yet (`matched_on` None): nothing is charged so far; see `late_matching`.
    """
    if matched_on is None:
        return ()
    return tuple(
        Charge(day, "SEFP" if day >= matched_on else "LMFP", charged(rate, exposure.value(day)))
        for day, rate in zip(days, rates, strict=True)
    )


def late_matching(days: Sequence[date], rates: Sequence[Decimal], exposure: Exposure) -> Decimal:
    """What late matching would cost if the instruction were matched on the business day after these days."""
    return total(Charge(day, "LMFP", charged(rate, exposure.value(day))) for day, rate in zip(days, rates, strict=True))


def total(found: Iterable[Charge]) -> Decimal:
    """The sum of charges."""
    return sum((each.amount for each in found), Decimal("0.00"))
