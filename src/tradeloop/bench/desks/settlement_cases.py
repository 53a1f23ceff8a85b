"""How a draft becomes a labelled settlement case: dates, prices, message, enrichment, truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final  # Any: an event's data

import numpy as np

from tradeloop.bench.desks import settlement_truth as truth
from tradeloop.bench.desks.case import Case, Difficulty, Split
from tradeloop.bench.desks.settlement_draft import (
    ACTS,
    AGE_BOUND,
    AMOUNT_BOUND,
    CHASES_BOUND,
    PENALTY_BOUND,
    Draft,
    started,
)
from tradeloop.bench.desks.settlement_kinds import KINDS
from tradeloop.bench.desks.settlement_messages import Told, mt548, sese024

_SPLITS: Final[dict[str, dict[str, Any]]] = {
    "tuning": {"calendar": "XETR", "from": date(2024, 1, 8), "days": 640, "isin": "DE", "agent": "DEUTDEFFXXX"},
    "test": {"calendar": "XPAR", "from": date(2026, 1, 5), "days": 330, "isin": "FR", "agent": "BNPAFRPPXXX"},
}


def made(kind: str, number: int, split: Split, rng: np.random.Generator) -> Case:
    """One case of a kind."""
    difficulty, inject = KINDS[kind]
    draft = started(rng, split)
    inject(draft)
    return _finished(f"settlement-{split}-{kind}-{number}", kind, difficulty, draft)


def _finished(case_id: str, kind: str, difficulty: Difficulty, draft: Draft) -> Case:
    place = _SPLITS[draft.split]
    calendar, more = place["calendar"], draft.more
    near = place["from"] + timedelta(days=int(draft.rng.integers(place["days"])))
    isd = truth.business_day(calendar, near, 0)
    today = truth.business_day(calendar, isd, draft.age)
    _priced(draft)
    told = _told(draft, place, isd)
    late = draft.age > 0 and draft.odds(0.3)
    data: dict[str, Any] = {"today": today.isoformat(), "calendar": calendar, "market": "EU", "asset": draft.asset}
    data |= {name: more[name] for name in ("linked", "chases") if name in more}
    matched = truth.business_day(calendar, isd, int(draft.rng.integers(0, draft.age + 1))) if late else None
    data["booked"] = {"matched_on": matched.isoformat()} if matched else {}
    days = truth.days_between(calendar, isd, today)
    prices = {day: _moved(draft) for day in days if draft.odds(0.5)}
    data["reference_price"] = {
        "price": str(draft.price),
        "per": "percent" if draft.is_bond else "unit",
        "by_day": {day.isoformat(): str(price) for day, price in prices.items()},
    }
    rate = Decimal(int(draft.rng.integers(0, 500))) / 100
    if draft.is_cash:
        data["cash_rate"] = str(rate)
    _stocked(draft, data)
    told = _contradicted(draft, data, told)
    standard = more.get("standard") or draft.one("MT548", "sese.024")
    data["message"] = mt548(told, forged=draft.forged) if standard == "MT548" else sese024(told)
    _changed(draft, told, data["message"])
    bare = Case(case_id, "settlement", kind, difficulty, data, frozenset(), "", frozenset())
    return _labelled(bare, draft, told, _cost(draft, days, prices, rate))


def _cost(draft: Draft, days: list[date], prices: dict[date, Decimal], rate: Decimal) -> Decimal:
    return truth.penalty(
        days,
        draft.quantity,
        prices,
        draft.price,
        asset=draft.asset,
        per_percent=draft.is_bond,
        cash_percent=rate if draft.is_cash else None,
        currency=draft.currency,
    )


def _labelled(case: Case, draft: Draft, told: Told, cost: Decimal) -> Case:
    outcome = draft.outcome
    value = told.amount if told.amount is not None else Decimal(0)
    is_over = (
        draft.age >= AGE_BOUND
        or value >= AMOUNT_BOUND[draft.currency]
        or cost >= PENALTY_BOUND[draft.currency]
        or draft.more.get("chases", 0) >= CHASES_BOUND
    )
    if case.kind == "threshold" and is_over:
        outcome = "ESCALATE"
    elif case.kind not in ("threshold", "looks_bad"):
        assert not is_over, f"{case.case_id} is not below every threshold"  # noqa: S101 - the generator's own promise
    acceptable = {outcome}
    if case.difficulty == "compound":
        acceptable.add("ESCALATE")
    if draft.forged:  # a refused message reaches a person, too
        acceptable |= {"ESCALATE", "REFUSED"}
    labels: dict[str, Any] = {"fault": draft.fault}
    if draft.age >= 0:
        labels["penalty"] = f"{cost:f}"
    return replace(
        case,
        acceptable=frozenset(acceptable),
        preferred=outcome,
        unsafe=frozenset(ACTS - acceptable),
        labels=labels,
    )


def _priced(draft: Draft) -> None:
    draft.price = Decimal(int(draft.rng.integers(8_000, 12_000))) / 100
    if not draft.is_bond:
        draft.price = Decimal(int(10 ** draft.rng.uniform(2, 4.5))) / 100
    per = float(draft.price) / 100 if draft.is_bond else float(draft.price)
    lots = max(2, round(draft.value / per / draft.lot))
    draft.quantity = Decimal(lots * draft.lot)


def _moved(draft: Draft) -> Decimal:
    return (draft.price * Decimal(int(draft.rng.integers(970, 1030))) / 1000).quantize(Decimal("0.0001"))


def _told(draft: Draft, place: dict[str, Any], isd: date) -> Told:
    value = draft.quantity * draft.price / (100 if draft.is_bond else 1)
    return Told(
        reference=f"T{int(draft.rng.integers(10**9)):09d}",
        isin=truth.isin(place["isin"], int(draft.rng.integers(10**8))),
        quantity=draft.quantity,
        amount=value.quantize(Decimal("0.01")),
        currency=draft.currency,
        is_delivery=draft.is_delivery,
        isd=isd,
        trade_date=truth.business_day(place["calendar"], isd, -2),
        statuses=tuple(draft.statuses),
        narrative=draft.narrative,
        other_agent=place["agent"],
        face=draft.is_bond,
    )


def _stocked(draft: Draft, data: dict[str, Any]) -> None:
    stock = draft.more.get("stock")
    if stock is None:
        return
    lots = int(draft.quantity) // draft.lot
    available = {
        "none": 0,
        "below a lot": draft.lot - 1,
        "a lot": draft.lot,
        "part": draft.lot * int(draft.rng.integers(1, lots + 1)),
    }[stock]
    recallable = draft.one(0, int(draft.quantity))
    data["inventory"] = {
        "available": str(available),
        "minimum_lot": str(draft.lot),
        "recallable": str(recallable),
    }


def _contradicted(draft: Draft, data: dict[str, Any], told: Told) -> Told:
    if draft.more.get("contradict") == "isin":
        wrong = f"{told.isin[:-1]}{(int(told.isin[-1]) + 1) % 10}"
        return replace(told, isin=wrong)
    if draft.more.get("contradict") == "booked":
        data["booked"] |= {"quantity": str(draft.quantity + draft.lot)}
    return told


def _changed(draft: Draft, told: Told, message: str) -> None:
    """Hold that what was injected is in the message, and makes it another than the clean one."""
    quiet = replace(told, statuses=(("IPRC", "PACK", ()),), narrative="")
    for _, code, reasons in draft.statuses:
        missing = [one for one in (code, *reasons) if one not in message and not message.startswith("<")]
        assert not missing, missing  # noqa: S101 - the generator's own promise
    if draft.statuses != [("IPRC", "PACK", ())]:
        assert message not in (mt548(quiet), sese024(quiet))  # noqa: S101 - the generator's own promise
