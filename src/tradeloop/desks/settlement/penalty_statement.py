"""The daily penalties of an MT537 statement (:22H::STST//PENA), and what of them can be computed again.

A penalty is rate x quantity x reference price. A statement holds the amount (AMCO), and may hold the rate (92A::GOMB,
in per cent), the quantity (36B::PSTA) and the price (90A, 90B). Only what is in the message is used: an amount whose
factors are not told is read and left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

from tradeloop.desks.settlement.advice import is_isin
from tradeloop.desks.settlement.fin import FinMessage, Sequence
from tradeloop.desks.settlement.fin_values import Qualified, amount, day, identifier, number, one, quantity
from tradeloop.desks.settlement.penalties import charged
from tradeloop.desks.settlement.refusal import MessageInvalid


@dataclass(frozen=True, slots=True)
class StatedPenalty:
    """One penalty of a statement."""

    reference: str
    kind: str
    """SEFP or LMFP."""
    amount: Decimal
    """As stated; negative when it is marked so."""
    currency: str
    day: date | None
    isin: str | None
    is_isin: bool
    rate: Decimal | None
    """As a fraction."""
    quantity: Decimal | None
    price: Decimal | None
    """Of one unit, or as a fraction of the face amount."""
    status: str
    """ACTV, REMO: a removed one is not due."""
    line: int

    @property
    def missing(self) -> tuple[str, ...]:
        """The factors that the message does not tell."""
        factors = {"rate": self.rate, "quantity": self.quantity, "price": self.price}
        return tuple(name for name, value in factors.items() if value is None)

    @property
    def recomputed(self) -> Decimal | None:
        """The amount from its factors, to 0.01; None while one is missing."""
        if self.rate is None or self.quantity is None or self.price is None:
            return None
        with localcontext(prec=100):
            return charged(self.rate, self.quantity * self.price)

    @property
    def implied_price(self) -> Decimal | None:
        """The price at which amount, rate and quantity agree; None while one of these is missing."""
        if not self.rate or not self.quantity:
            return None
        with localcontext(prec=100):
            return (self.amount / (self.rate * self.quantity)).normalize()


@dataclass(frozen=True, slots=True)
class StatedTotal:
    """What a party of one currency owes or is owed, as stated beside its penalties."""

    stated: Decimal
    currency: str
    summed: Decimal
    """Of the penalties listed under it."""
    line: int

    @property
    def agrees(self) -> bool:
        """Whether the list adds up to it."""
        return self.stated == self.summed


@dataclass(frozen=True, slots=True)
class PenaltyStatement:
    """All penalties of a statement, and its totals."""

    penalties: tuple[StatedPenalty, ...]
    totals: tuple[StatedTotal, ...]


def penalties_of(message: FinMessage) -> PenaltyStatement:
    """Read a statement of penalties.

    Raises:
        MessageInvalid: none, or one with a field that cannot be read; names line and tag.
    """
    if message.type not in ("537", ""):
        raise MessageInvalid(f"MT{message.type} states no penalties; MT537 is expected", line=1, field="2")
    found: list[StatedPenalty] = []
    totals: list[StatedTotal] = []
    for account in message.text.walk("PENACOUNT"):
        own = [_penalty(detail) for detail in account.sequences("PENDET")]
        found += own
        net = one(account, "19A", "AGNT")
        if net is not None:
            stated, currency = amount(net)
            summed = sum((each.amount for each in own if each.currency == currency), Decimal(0))
            totals.append(StatedTotal(stated, currency, summed, net.line))
    if not found:
        raise MessageInvalid("no penalty (16R:PENDET) is stated", line=message.text.line, field="16R")
    return PenaltyStatement(tuple(found), tuple(totals))


def _penalty(detail: Sequence) -> StatedPenalty:
    stated = _needed(detail, "19A", "AMCO")
    figure, currency = amount(stated)
    calculation = next(iter(detail.sequences("CALDET")), Sequence("CALDET", detail.line))
    instrument = next(iter(calculation.sequences("FIA")), Sequence("FIA", detail.line))
    transaction = next(detail.walk("TRAN"), Sequence("TRAN", detail.line))
    security = next((each for each in instrument.fields if each.tag == "35B"), None)
    code = identifier(security) if security is not None else None
    rate, held, quoted = (
        one(instrument, "92A", "GOMB"),
        one(transaction, "36B", "PSTA"),
        _price(calculation, instrument),
    )
    on = one(calculation, "98A", "PEDA")
    return StatedPenalty(
        reference=_needed(detail, "20C", "PREF").data[:35],
        kind=_needed(detail, "22H", "PNTP").data[:4],
        amount=figure,
        currency=currency,
        day=day(on) if on is not None else None,
        isin=code,
        is_isin=code is not None and is_isin(code),
        rate=number(rate.data, rate) / 100 if rate is not None else None,
        quantity=quantity(held)[0] if held is not None else None,
        price=quoted,
        status=_needed(detail, "25D", "PNST").data[:4],
        line=stated.line,
    )


def _needed(sequence: Sequence, tag: str, qualifier: str) -> Qualified:
    found = one(sequence, tag, qualifier)
    if found is None:
        raise MessageInvalid(f"{sequence.name} lacks {qualifier}", line=sequence.line, field=tag)
    return found


def _price(calculation: Sequence, instrument: Sequence) -> Decimal | None:
    for place in (instrument, calculation):
        for qualifier in ("MRKT", "REFP", "INDC"):
            found = one(place, "90A 90B", qualifier)
            if found is None:
                continue
            kind, _, told = found.data.partition("/")
            if found.tag == "90A":  # PRCT/101,25: per cent of the face amount
                return number(told, found) / 100
            if kind == "ACTU":
                return number(told[3:], found)
    return None
