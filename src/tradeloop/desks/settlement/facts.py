"""All facts about a case, gathered by pure functions: the same case and policy give the same facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from tradeloop.desks.settlement import calendar, costs
from tradeloop.desks.settlement.advice import MAX_NARRATIVES, Advice, Instruction, Reason, Status, is_isin
from tradeloop.desks.settlement.case import Case
from tradeloop.desks.settlement.findings import Facts, Finding, Header, Rule, moment
from tradeloop.desks.settlement.policy import Fault, Outcome, Policy, ReasonList, ReasonPolicy

_CODE: Final = re.compile(r"[A-Z0-9]{4}", re.ASCII)
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9/.-]{0,34}", re.ASCII)
_BIC: Final = re.compile(r"[A-Z0-9]{8}(?:[A-Z0-9]{3})?", re.ASCII)
_EXCLUSIVE: Final = (
    ("MTCH/MACH", "MTCH/NMAT"),
    ("SETT/PEND", "SETT/PENF"),
    ("IPRC/REJT", "SETT/PEND"),
    ("IPRC/REJT", "SETT/PENF"),
    ("IPRC/CAND", "SETT/PEND"),
    ("IPRC/CAND", "SETT/PENF"),
)
"""Statuses that one instruction cannot have at once."""


@dataclass(frozen=True, slots=True)
class Known:
    """A reason that policy knows."""

    code: str
    table: ReasonList
    policy: ReasonPolicy
    line: int


@dataclass(frozen=True, slots=True)
class View:
    """A case with all that follows from it at once."""

    policy: Policy
    case: Case
    advice: Advice
    terms: Instruction
    """Of the message; where it does not tell, as booked."""
    reasons: tuple[Known, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its statuses that policy knows, sorted."""
        named = {f"{status.kind}/{status.code}" for status in self.advice.statuses if not status.scheme}
        return tuple(sorted(named & set(self.policy.statuses)))

    @property
    def is_matched(self) -> bool:
        """Whether the message says, or a settlement status implies, that it is matched."""
        if {"MTCH/NMAT", "INMH/NMAT"} & set(self.names):
            return False
        return bool({"MTCH/MACH", "SETT/PEND", "SETT/PENF"} & set(self.names)) or self.terms.matched_on is not None


def view_of(policy: Policy, case: Case, advice: Advice) -> View:
    """Look a case up in the policy."""
    told = {name: value for name, value in advice.instruction if value is not None}
    booked = {name: value for name, value in case.booked if value is not None}
    return View(policy, case, advice, Instruction(**{**booked, **told}), tuple(_known(policy, advice)))


def header_of(view: View, sha256: str) -> Header:
    """What identifies the case; what has no known form is left out of it."""
    case, terms, advice = view.case, view.terms, view.advice
    return Header(
        standard=advice.standard,
        reference=advice.reference if _REFERENCE.fullmatch(advice.reference) else "",
        isin=terms.isin if terms.isin and is_isin(terms.isin) else "",
        direction=terms.direction,
        quantity=terms.quantity,
        amount=terms.amount,
        currency=terms.currency if terms.currency and re.fullmatch(r"[A-Z]{3}", terms.currency, re.ASCII) else "",
        isd=terms.isd,
        counterparty=terms.counterparty if terms.counterparty and _BIC.fullmatch(terms.counterparty) else "",
        market=case.market,
        calendar=case.calendar,
        today=case.today,
        chases=case.chases,
        sha256=sha256,
        transaction=case.transaction or 0,
        narratives=advice.narratives[:MAX_NARRATIVES],
    )


def gather(view: View) -> Facts:
    """Look at everything.

    Raises:
        MessageInvalid: the calendar is unknown or does not reach that far.
    """
    case, terms = view.case, view.terms
    age = None if terms.isd is None else calendar.days_after(case.calendar, terms.isd, case.today)
    cover = costs.cover(case, terms)
    penalty = costs.penalty(view.policy, case, terms, is_cash=_lacks_cash(view), is_matched=view.is_matched)
    is_fail, is_over = _is_fail(view, age), view.names == ("IPRC/CAND",)  # what was cancelled ages no more
    found = [
        *_statuses(view, cover),
        *_contradictions(view),
        *_identifiers(view),
        *([] if is_over else costs.sized(view.policy, case, terms, penalty, age=age, is_fail=is_fail)),
        *_linked(view),
        *costs.notes(case, cover),
        *_timing(view),
        *_chased(view),
    ]
    intended = _intended(view)
    return Facts(
        findings=tuple(one.model_copy(update={"id": f"F-{at:02d}"}) for at, one in enumerate(found, 1)),
        statuses=view.names,
        codes=tuple(sorted({known.code for known in view.reasons})),
        fault=_fault(view),
        age_bd=age,
        penalty=penalty,
        deliverable=cover.deliverable,
        shortfall=cover.shortfall,
        recallable=case.inventory.recallable if case.inventory else None,
        cash_shortfall=cover.cash_shortfall,
        intended=intended[0] if intended else None,
        deadline_at=_deadline(view),
        now_at=case.moment,
        due=_due(view),
        asset=case.asset,
    )


def _known(policy: Policy, advice: Advice) -> Iterator[Known]:
    for status in advice.statuses:
        held = policy.statuses.get(f"{status.kind}/{status.code}")
        if held is None or held.reasons is None or status.scheme:
            continue
        for reason in status.reasons:
            entry = policy.reasons[held.reasons].get(reason.code)
            if entry is not None and not reason.scheme:
                yield Known(reason.code, held.reasons, entry, reason.line)


def _fault(view: View) -> Fault:
    found = {known.policy.fault for known in view.reasons}
    if any(_unknown(view, status) for status in view.advice.statuses):
        found.add(Fault.UNKNOWN)
    if not found and any(name in ("SETT/PENF", "MTCH/NMAT", "IPRC/REJT", "IPRC/CAND") for name in view.names):
        found.add(Fault.UNKNOWN)
    return next((fault for fault in view.policy.fault_order if fault in found), Fault.NEITHER)


def _lacks_cash(view: View) -> bool:
    # What only waits (LINK, CYCL) lacks nothing and does not speak against it.
    lacking = [known for known in view.reasons if known.policy.cash or known.policy.fault is not Fault.NEITHER]
    return bool(lacking) and all(known.policy.cash for known in lacking)


def _is_fail(view: View, age: int | None) -> bool:
    waits = all(known.policy.next is Outcome.MONITOR for known in view.reasons)
    return not waits or age is None or age > 0 or "SETT/PENF" in view.names or "MTCH/NMAT" in view.names


def _unknown(view: View, status: Status) -> list[Reason | Status]:
    held = view.policy.statuses.get(f"{status.kind}/{status.code}")
    if held is None or status.scheme:
        return [status]
    if held.reasons is None:
        return list(status.reasons)
    table = view.policy.reasons[held.reasons]
    return [reason for reason in status.reasons if reason.scheme or reason.code not in table]


def _statuses(view: View, cover: costs.Cover) -> Iterator[Finding]:
    for status in view.advice.statuses:
        held = view.policy.statuses.get(f"{status.kind}/{status.code}")
        if held is not None and not status.scheme:
            answer = None if status.reasons or _explained(view, status) else held.without_reason
            told = "" if status.reasons else ", no reason given"
            sentence = f"{status.kind}/{status.code} {held.title}{told}"
            yield Finding(rule=Rule.STATUS, sentence=sentence, asks=answer)
        for strange in _unknown(view, status):
            what = "status" if isinstance(strange, Status) else f"reason of {_plain(status.code)}"
            own = " of a market's own" if strange.scheme else ""
            sentence = f"{what}{own} {_plain(strange.code)} (line {strange.line}) is not in the policy"
            yield Finding(rule=Rule.UNKNOWN, sentence=sentence, asks=Outcome.ESCALATE)
    if len(view.advice.narratives) > MAX_NARRATIVES:
        sentence = f"{len(view.advice.narratives)} narratives; {MAX_NARRATIVES} are quoted"
        yield Finding(rule=Rule.UNKNOWN, sentence=sentence, asks=Outcome.ESCALATE)
    for known in view.reasons:
        answer, more = known.policy.next, ""
        if known.policy.with_inventory is not None and cover.has_lot:
            answer, more = known.policy.with_inventory, f"; {cover.deliverable:f} can be delivered"
        if known.policy.compare:
            more += "; the reconciliation desk compares both bookings"
        sentence = f"{known.code} {known.policy.title}, fault: {known.policy.fault}{more}"
        yield Finding(rule=Rule.REASON, sentence=sentence, asks=answer, code=known.code, table=known.table)


def _explained(view: View, status: Status) -> bool:
    # It fails because it does not match, and why that is, is told there.
    return f"{status.kind}/{status.code}" == "SETT/PENF" and any(
        known.table is ReasonList.UNMATCHED for known in view.reasons
    )


def _plain(code: str) -> str:
    return code if _CODE.fullmatch(code) else "of no standard form"


def _contradictions(view: View) -> Iterator[Finding]:
    def told(sentence: str) -> Finding:
        return Finding(rule=Rule.CONTRADICTION, sentence=sentence, asks=Outcome.ESCALATE)

    names, isd, today = set(view.names), view.terms.isd, view.case.today
    for one, other in _EXCLUSIVE:
        if {one, other} <= names:
            yield told(f"{one} and {other} at once")
    direction = view.terms.direction
    for known in view.reasons:
        if known.policy.needs is not None and direction is not None and known.policy.needs != direction:
            yield told(f"{known.code} makes sense for {known.policy.needs} only, the instruction is {direction}")
        if known.code == "FUTU" and isd is not None and today > isd:
            yield told(f"FUTU waits for {isd}, which is past")
    if isd is None:
        sentence = "neither message nor booking tells the intended settlement date"
        yield Finding(rule=Rule.UNKNOWN, sentence=sentence, asks=Outcome.ESCALATE)
    elif "SETT/PENF" in names and today < isd:
        yield told(f"failing before its intended settlement date {isd}")
    if view.terms.matched_on is not None and view.terms.matched_on > today:
        yield told(f"matched on {view.terms.matched_on}, which is after today, {today}")


def _identifiers(view: View) -> Iterator[Finding]:
    told, booked = view.advice.instruction, view.case.booked
    if view.terms.isin is not None and not is_isin(view.terms.isin):
        sentence = "the security's ISIN is none: form or check digit is wrong"
        yield Finding(rule=Rule.IDENTIFIER, sentence=sentence, asks=Outcome.ESCALATE)
    for name in ("isin", "direction", "isd", "currency", "against_payment", "trade_date"):
        one, other = getattr(told, name), getattr(booked, name)
        if one is not None and other is not None and one != other:
            yield _differs(name)
    slack = view.policy.thresholds.quantity_tolerance
    if told.quantity is not None and booked.quantity is not None and abs(told.quantity - booked.quantity) > slack:
        yield _differs("quantity")
    if told.amount is not None and booked.amount is not None and told.amount != booked.amount:
        yield _differs("amount")
    for name in ("quantity", "amount"):
        figure = getattr(told, name)
        if figure is not None and figure < 0:
            sentence = f"the message's {name} is negative"
            yield Finding(rule=Rule.CONTRADICTION, sentence=sentence, asks=Outcome.ESCALATE)


def _differs(name: str) -> Finding:
    sentence = f"the message's {name} is not the booked one"
    return Finding(rule=Rule.BOOKED, sentence=sentence, asks=Outcome.ESCALATE)


def _linked(view: View) -> Iterator[Finding]:
    if not any(known.code == "LINK" for known in view.reasons):
        return
    for linked in view.case.linked:
        sentence = f"a linked instruction is {linked.state}"
        yield Finding(rule=Rule.LINKED, sentence=sentence, asks=view.policy.linked[linked.state])


def _intended(view: View) -> tuple[date, int] | None:
    if view.terms.trade_date is None:
        return None
    return calendar.intended(view.policy, view.case.market, view.case.calendar, view.terms.trade_date)


def _timing(view: View) -> Iterator[Finding]:
    found, terms = _intended(view), view.terms
    if found is not None and terms.isd is not None and found[0] != terms.isd:
        sentence = f"settles on {terms.isd}; T+{found[1]} of {terms.trade_date} is {found[0]}"
        yield Finding(rule=Rule.CYCLE, sentence=sentence)
    last, now = _deadline(view), view.case.moment
    if last is not None and now is not None:
        word = "is past" if now > last else "is to come"
        yield Finding(rule=Rule.DEADLINE, sentence=f"the market's deadline {moment(last)} {word}")


def _deadline(view: View) -> datetime | None:
    isd, today = view.terms.isd, view.case.today
    if isd is None or today < isd:
        return None
    is_paid = view.terms.against_payment is not False  # the earlier of the two while it is not told
    return calendar.deadline(view.policy, view.case.market, today, against_payment=is_paid)


def _chased(view: View) -> Iterator[Finding]:
    most = view.policy.thresholds.chases_max
    if view.case.chases < most or not any(known.policy.next is Outcome.CHASE_COUNTERPARTY for known in view.reasons):
        return
    sentence = f"the counterparty was chased {view.case.chases} times already (at most {most})"
    yield Finding(rule=Rule.CHASED, sentence=sentence, asks=Outcome.ESCALATE)


def _due(view: View) -> date:
    isd, today = view.terms.isd, view.case.today
    if isd is not None and isd > today:
        return calendar.following(view.case.calendar, isd, 0)
    return calendar.following(view.case.calendar, today, 1)
