"""What a cash account's statement holds against what the firm expects on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final  # Any: a matching key

from tradeloop.desks.reconciliation.camt053 import read_camt053
from tradeloop.desks.reconciliation.case import Case, Ledger
from tradeloop.desks.reconciliation.files import name_of, raw_of, text_of
from tradeloop.desks.reconciliation.findings import Difference, Facts, Finding
from tradeloop.desks.reconciliation.mt940 import read_mt940
from tradeloop.desks.reconciliation.policy import BreakClass, Outcome, Policy
from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.desks.reconciliation.statements import Entry, Statement, entries_of

LISTED: Final = 100
MAX_NARRATIVES: Final = 20
_KEYS: Final = (
    lambda entry: (entry.reference, entry.amount, entry.value_date) if entry.reference else None,
    lambda entry: (entry.reference,) if entry.reference else None,
    lambda entry: (entry.amount, entry.value_date),
    lambda entry: (entry.amount,),
)
"""From certain to likely; each is tried among what the one before left, where it is of one entry a side alone."""


@dataclass(frozen=True, slots=True)
class _Break:
    kind: BreakClass
    holds: bool
    ours: Entry | None
    theirs: Entry | None
    line: int = 0
    amount: Decimal | None = None
    fields: tuple[str, ...] = ()
    told: str = ""


def cash_facts(case: Case, policy: Policy, root: Path) -> Facts:
    """Compare expected entries with a statement.

    Raises:
        RecordInvalid: a side cannot be read; names file, line and field.
    """
    if case.expected is None or case.statement is None:  # the case was checked; this is for the types
        raise ValueError("a case of cash has both sides")
    expected = [entry for one in statements_of(case.expected, "expected", root) for entry in one.entries]
    pages = statements_of(case.statement, "statement", root)
    stated = [entry for one in pages for entry in one.entries]
    pairs, left, beyond = _paired(expected, stated)
    breaks = [*_chains(pages), *_pairs(pairs, policy), *_rest(case, left, beyond, stated)]
    breaks.sort(key=lambda one: (-policy.caution(_asked(one, policy)), -abs(one.amount or Decimal(0))))
    asked = [_asked(one, policy) for one in breaks]
    findings = [_finding(one, policy) for one in breaks[:LISTED]]
    waiting = [one for one, outcome in zip(breaks, asked, strict=True) if outcome is Outcome.WAIT_NEXT_CYCLE]
    waits = {one.ours.reference for one in waiting if one.ours is not None}
    odd = [one for one in breaks if one.amount or one.fields]
    top = max(asked, key=policy.caution, default=Outcome.MATCH)
    return Facts(
        internal=len(expected),
        external=len(stated),
        matched=len(pairs) - sum(one.ours is not None and one.theirs is not None and one in odd for one in breaks),
        breaks=len(breaks),
        kinds=dict(Counter(one.kind for one in breaks)),
        asked=dict(Counter(asked)),
        findings=tuple(one.model_copy(update={"id": f"F-{at:02d}"}) for at, one in enumerate(findings, 1)),
        omitted=max(0, len(breaks) - LISTED),
        waits=tuple(sorted(waits - {""}))[:LISTED],
        narratives=_narratives(breaks),
        open_to=_open(breaks, asked, top, policy),
    )


def statements_of(ledger: Ledger, side: str, root: Path) -> tuple[Statement, ...]:
    """A side as statements; rows are one without balances, unless the event tells them.

    Raises:
        RecordInvalid: it cannot be read; names file, line and field.
    """
    file = name_of(ledger, side)
    if ledger.rows is not None:
        entries = entries_of(ledger.rows, file)
        return (Statement(1, "", entries, ledger.opening, ledger.closing),)
    raw = raw_of(ledger, root)
    match ledger.format:
        case "mt940":
            return read_mt940(_lenient(raw, file), file)
        case "camt053":
            return read_camt053(text_of(raw, file), file)
        case "rows":
            raise RecordInvalid("the format is rows, and none were given", file=file, field="format")


def _lenient(raw: bytes, file: str) -> str:
    # Banks put names in Latin-1 into narratives; everything that is read as a figure is ASCII either way.
    try:
        return text_of(raw, file)
    except RecordInvalid:
        if b"\x00" in raw:
            raise
        return raw.decode("latin-1")


def _paired(
    expected: Sequence[Entry], stated: Sequence[Entry]
) -> tuple[list[tuple[Entry, Entry]], list[Entry], list[Entry]]:
    pairs: list[tuple[Entry, Entry]] = []
    left, beyond = list(expected), list(stated)
    for key in _KEYS:
        waiting: defaultdict[Any, list[Entry]] = defaultdict(list)
        for entry in beyond:
            waiting[key(entry)].append(entry)
        is_exact = key is _KEYS[0] or key is _KEYS[2]
        ours = Counter(key(entry) for entry in left)
        still = []
        for entry in left:
            name = key(entry)
            there = waiting.get(name, []) if name is not None else []
            if there and (is_exact or (ours[name] == 1 == len(there))):
                pairs.append((entry, there.pop(0)))
            else:
                still.append(entry)
        taken = {id(other) for _, other in pairs}
        left, beyond = still, [entry for entry in beyond if id(entry) not in taken]
    return pairs, left, beyond


def _pairs(pairs: Sequence[tuple[Entry, Entry]], policy: Policy) -> Iterator[_Break]:
    for ours, theirs in pairs:
        fields = [name for name in ("value_date", "currency", "amount") if getattr(ours, name) != getattr(theirs, name)]
        if not fields:
            continue
        more = theirs.amount - ours.amount if ours.currency == theirs.currency else None
        if len(fields) > 1 and set(fields) != {"currency", "amount"}:
            kind = BreakClass.COMPOUND
        elif fields == ["value_date"]:
            kind = BreakClass.CASH_VALUE_DATE
        elif fields == ["amount"] and _is_charge(ours, theirs, policy):
            kind = BreakClass.CASH_CHARGES
        else:
            kind = BreakClass.CASH_FX
        yield _Break(kind, True, ours, theirs, amount=more, fields=tuple(fields))


def _is_charge(ours: Entry, theirs: Entry, policy: Policy) -> bool:
    less = ours.amount - theirs.amount
    scale = policy.currency_scale.get(ours.currency, Decimal(0))
    bound = min(policy.charges.absolute * scale, policy.charges.relative * abs(ours.amount))
    return ours.amount * theirs.amount > 0 and 0 < less <= bound


def _rest(case: Case, left: Sequence[Entry], beyond: Sequence[Entry], stated: Sequence[Entry]) -> Iterator[_Break]:
    for entry in left:
        waits = case.is_open and entry.value_date == case.today
        yield _Break(BreakClass.CASH_MISSING, waits, entry, None, amount=-entry.amount)
    gone = {id(entry) for entry in beyond}
    known = Counter(_twin(entry) for entry in stated if id(entry) not in gone)
    for entry in beyond:
        if entry.reference and known[_twin(entry)]:
            yield _Break(BreakClass.CASH_DUPLICATE, True, None, entry, amount=entry.amount)
        else:
            yield _Break(BreakClass.CASH_MISSING, False, None, entry, amount=entry.amount)


def _twin(entry: Entry) -> tuple[object, ...]:
    return entry.reference, entry.amount, entry.currency, entry.account


def _chains(pages: Sequence[Statement]) -> Iterator[_Break]:
    last: dict[str, Statement] = {}
    for page in pages:
        if page.gap:
            told = "opening balance and entries do not add up to the closing balance"
            yield _Break(BreakClass.CASH_CHAIN, True, None, None, page.line, page.gap, told=told)
        before = last.get(page.account)
        closed = before.closing if before is not None else None
        if closed is not None and page.opening is not None and closed != page.opening:
            more = page.opening - closed
            told = "a statement does not begin with the balance that the one before ended with"
            yield _Break(BreakClass.CASH_CHAIN, True, None, None, page.line, more, told=told)
        elif not page.is_first and before is None:
            told = "the first page is missing"
            yield _Break(BreakClass.CASH_CHAIN, True, None, None, page.line, told=told)
        last[page.account] = page


def _asked(one: _Break, policy: Policy) -> Outcome:
    entry = policy.classes[one.kind]
    return entry.decision if one.holds else entry.otherwise


def _open(breaks: Sequence[_Break], asked: Sequence[Outcome], top: Outcome, policy: Policy) -> tuple[Outcome, ...]:
    deciding = [one for one, outcome in zip(breaks, asked, strict=True) if outcome is top]
    shared = [set(policy.classes[one.kind].ambiguous) if one.ours else set() for one in deciding]
    least = max((policy.caution(one) for one in asked if one is not top), default=0)
    allowed = set.intersection(*shared) if shared else set()
    return tuple(one for one in policy.lattice if one in allowed and least <= policy.caution(one) < policy.caution(top))


def _finding(one: _Break, policy: Policy) -> Finding:
    entry = policy.classes[one.kind]
    told = one.ours or one.theirs
    parts = [f"{entry.title}: {_where(one)}"]
    if one.told:
        parts.append(one.told)
    if one.amount is not None:
        parts.append(f"{told.currency if told else 'balance'} {one.amount:+f}")
    return Finding(
        kind=one.kind,
        asks=_asked(one, policy),
        severity=entry.severity,
        sentence="; ".join(parts),
        internal=(one.ours.line,) if one.ours else (),
        external=(one.theirs.line,) if one.theirs else (one.line,) if one.line else (),
        ids=tuple(dict.fromkeys(each.reference for each in (one.ours, one.theirs) if each and each.reference)),
        account=told.account if told else "",
        currency=told.currency if told else "",
        amount=one.amount,
        differences=tuple(_differences(one)),
        found_by="economics" if one.fields else "none",
        is_open=bool(entry.ambiguous),
    )


def _where(one: _Break) -> str:
    places = [f"expected row {one.ours.line}"] if one.ours else []
    places += [f"statement line {one.theirs.line}"] if one.theirs else []
    return " and ".join(places) or f"statement line {one.line}"


def _differences(one: _Break) -> Iterator[Difference]:
    if one.ours is not None and one.theirs is not None:
        for name in one.fields:
            ours, theirs = (str(getattr(side, name)) for side in (one.ours, one.theirs))
            yield Difference(field=name, internal=ours, external=theirs)


def _narratives(breaks: Sequence[_Break]) -> tuple[str, ...]:
    texts = [each.text for one in breaks[:LISTED] for each in (one.ours, one.theirs) if each and each.text]
    return tuple(dict.fromkeys(texts))[:MAX_NARRATIVES]
