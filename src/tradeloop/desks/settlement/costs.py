"""What a case costs and what covers it: penalty, size, inventory, cash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Final

from tradeloop.desks.settlement import penalties
from tradeloop.desks.settlement.advice import Instruction
from tradeloop.desks.settlement.calendar import business_days
from tradeloop.desks.settlement.case import Case
from tradeloop.desks.settlement.findings import Finding, Penalty, Rule
from tradeloop.desks.settlement.policy import Outcome, Policy

_DIGITS: Final = 100
"""Figures of 40 digits times, by and minus each other stay exact."""


@dataclass(frozen=True, slots=True)
class Cover:
    """What inventory and cash leave open."""

    deliverable: Decimal | None = None
    shortfall: Decimal | None = None
    cash_shortfall: Decimal | None = None
    has_lot: bool = False
    """Whether at least the smallest deliverable lot is there."""


def cover(case: Case, terms: Instruction) -> Cover:
    """Hold inventory against quantity, cash against amount."""
    deliverable = shortfall = cash_shortfall = None
    has_lot = False
    with localcontext(prec=_DIGITS):
        if case.inventory is not None:
            lot, available = case.inventory.minimum_lot, case.inventory.available
            usable = available if terms.quantity is None else min(available, max(terms.quantity, Decimal(0)))
            deliverable = usable - usable % lot if lot else usable
            has_lot = deliverable > 0
            shortfall = None if terms.quantity is None else max(terms.quantity - available, Decimal(0))
        if case.cash is not None and terms.amount is not None and case.cash.currency == terms.currency:
            cash_shortfall = max(terms.amount - case.cash.available, Decimal(0))
    return Cover(deliverable, shortfall, cash_shortfall, has_lot)


def penalty(policy: Policy, case: Case, terms: Instruction, *, is_cash: bool, is_matched: bool) -> Penalty:
    """The CSDR penalty so far, and of today if it does not settle."""
    if case.market not in policy.penalty_markets or terms.isd is None or case.today < terms.isd:
        return Penalty()
    missing = tuple(_missing(case, terms, is_cash=is_cash))
    if missing:
        return Penalty(missing=missing)
    price = case.reference_price
    quantity = abs(terms.quantity or Decimal(0))
    if price is not None and terms.quantity is not None:
        exposure = penalties.Exposure(quantity, price.price, price.per == "percent", dict(price.by_day))
    else:  # cash alone moves: Art. 3(2) has no securities to value
        exposure = penalties.Exposure(abs(terms.amount or Decimal(0)), Decimal(1), is_percent=False, prices={})
    days = business_days(case.calendar, terms.isd, case.today - timedelta(days=1))
    rates = [_rate(policy, case, terms, day, is_cash=is_cash) for day in days]
    today = penalties.charged(_rate(policy, case, terms, case.today, is_cash=is_cash), exposure.value(case.today))
    is_open = bool(business_days(case.calendar, case.today, case.today))
    if is_matched:
        # Matched on a day that is not told: on time, as most are.
        found = penalties.charges(days, rates, exposure, terms.matched_on or terms.isd)
        accrued = penalties.total(found)
    else:
        accrued = penalties.late_matching(days, rates, exposure)
    return Penalty(
        currency=terms.currency or "",
        accrued=accrued,
        per_day=today if is_open else Decimal("0.00"),
        days=len(days),
        kind="SEFP" if is_matched else "LMFP",
    )


def _missing(case: Case, terms: Instruction, *, is_cash: bool) -> Iterator[str]:
    if not terms.currency:
        yield "currency"
    if is_cash:
        if case.cash_rate is None:
            yield "cash_rate"
        if (case.reference_price is None or terms.quantity is None) and terms.amount is None:
            yield "reference_price or amount"
        return
    if terms.quantity is None:
        yield "quantity"
    if case.asset is None:
        yield "asset"
    if case.reference_price is None:
        yield "reference_price"


def _rate(policy: Policy, case: Case, terms: Instruction, day: date, *, is_cash: bool) -> Decimal:
    if is_cash and case.cash_rate is not None:
        return penalties.cash_rate(policy, terms.currency or "", case.cash_rate, day)
    return penalties.securities_rate(policy, case.asset, day) if case.asset is not None else Decimal(0)


def sized(
    policy: Policy, case: Case, terms: Instruction, cost: Penalty, *, age: int | None, is_fail: bool
) -> Iterator[Finding]:
    """Age, penalty and amount against their thresholds."""
    limits = policy.thresholds
    if age is not None and age >= limits.age_escalates_bd:
        sentence = f"{age} business days after its settlement date (from {limits.age_escalates_bd} on a person plans)"
        yield Finding(rule=Rule.AGE, sentence=sentence, asks=Outcome.ESCALATE)
    if cost.missing:
        yield Finding(rule=Rule.PENALTY, sentence=f"penalty unknown: {', '.join(cost.missing)} not given")
    elif cost.accrued is not None and cost.per_day is not None:
        yield _penalty_finding(limits.penalty_escalates.get(cost.currency), cost)
    if is_fail:
        yield from _amount_finding(policy, case, terms)


def _penalty_finding(most: Decimal | None, cost: Penalty) -> Finding:
    word = "accrued" if cost.kind == "SEFP" else "charged back when it is matched"
    sentence = f"penalty of {cost.days} days {word}: {cost.currency} {cost.accrued}; today {cost.per_day}"
    reached = cost.accrued is not None and cost.accrued > 0 and (most is None or cost.accrued >= most)
    if reached:
        sentence += f"; {'no bound is known for the currency' if most is None else f'a person looks from {most} on'}"
    return Finding(rule=Rule.PENALTY, sentence=sentence, asks=Outcome.ESCALATE if reached else None)


def _amount_finding(policy: Policy, case: Case, terms: Instruction) -> Iterator[Finding]:
    value, price = terms.amount, case.reference_price
    if not value and price is not None and terms.quantity is not None:  # free of payment
        exposure = penalties.Exposure(terms.quantity, price.price, price.per == "percent", dict(price.by_day))
        value = exposure.value(case.today)
    most = policy.thresholds.amount_escalates.get(terms.currency or "")
    if value is None or most is None:
        what = "amount is not told" if value is None else "currency has no bound in the policy"
        sentence = f"its {what}: how large it is cannot be judged"
        yield Finding(rule=Rule.AMOUNT, sentence=sentence, asks=Outcome.ESCALATE)
    elif abs(value) >= most:
        sentence = f"{terms.currency} {value:f} (a person looks from {most:f} on)"
        yield Finding(rule=Rule.AMOUNT, sentence=sentence, asks=Outcome.ESCALATE)


def notes(case: Case, found: Cover) -> Iterator[Finding]:
    """What inventory and cash say, as notes."""
    if found.deliverable is not None and case.inventory is not None:
        sentence = f"{found.deliverable:f} deliverable in lots of {case.inventory.minimum_lot:f}"
        sentence += "" if found.shortfall is None else f", {found.shortfall:f} short"
        sentence += f", {case.inventory.recallable:f} on recall" if case.inventory.recallable else ""
        yield Finding(rule=Rule.INVENTORY, sentence=sentence)
    if case.cash is not None and found.cash_shortfall is None:
        yield Finding(rule=Rule.CASH, sentence=f"cash is told in {case.cash.currency}, not in the currency to pay")
    if found.cash_shortfall is not None and case.cash is not None:
        yield Finding(rule=Rule.CASH, sentence=f"{case.cash.currency} {found.cash_shortfall:f} of cash short")
