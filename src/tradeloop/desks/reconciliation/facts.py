"""All facts about a batch, gathered by pure functions: the same case and policy give the same facts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final  # Any: cells of a row

import polars as pl

from tradeloop.desks.reconciliation.breaks import Compared, compared
from tradeloop.desks.reconciliation.case import Case
from tradeloop.desks.reconciliation.cash import cash_facts
from tradeloop.desks.reconciliation.columns import SCALES
from tradeloop.desks.reconciliation.days import check_calendar
from tradeloop.desks.reconciliation.files import book_of, digest_of
from tradeloop.desks.reconciliation.findings import Adjustment, Difference, Facts, Finding, Header
from tradeloop.desks.reconciliation.policy import BreakClass, Outcome, Policy
from tradeloop.desks.reconciliation.weighing import Weighed, money, open_outcomes, weigh, why

LISTED: Final = 100
"""Findings of one batch, and waits that a decision names; all are counted. More would make the record unwieldy."""
LINES: Final = 16
MAX_NARRATIVES: Final = 20
_WORDS: Final = {"party": ("account", "counterparty", "ssi")}


def trades_facts(case: Case, policy: Policy, root: Path) -> Facts:
    """Compare two books of trades.

    Raises:
        RecordInvalid: a book cannot be read; names file, line and field.
    """
    if case.internal is None or case.external is None:  # the case was checked; this is for the types
        raise ValueError("a case of trades has both books")
    books = compared(book_of(case.internal, "internal", root), book_of(case.external, "external", root), policy, case)
    weighed = weigh(books.breaks, policy, case)
    return _told(books, weighed, policy)


def _told(books: Compared, weighed: Weighed, policy: Policy) -> Facts:
    found = weighed.breaks
    order = {outcome.value: -policy.caution(outcome) for outcome in policy.lattice}
    ranked = found.with_columns(
        rank=pl.col("asks").replace_strict(order, return_dtype=pl.Int64), size=-pl.col("amount").abs().fill_null(2**62)
    ).sort("rank", "size", "nth")
    listed = [_finding(row, books, policy) for row in ranked.head(LISTED).iter_rows(named=True)]
    adjusted = found.filter(pl.col("asks") == Outcome.AUTO_RESOLVE.value)
    waiting = found.filter(pl.col("asks") == Outcome.WAIT_NEXT_CYCLE.value)
    return Facts(
        internal=books.internal.height,
        external=books.external.height,
        matched=books.matched,
        breaks=found.height,
        kinds={BreakClass(name): count for name, count in _counts(found, "kind")},
        asked={Outcome(name): count for name, count in _counts(found, "asks")},
        findings=tuple(one.model_copy(update={"id": f"F-{at:02d}"}) for at, one in enumerate(listed, 1)),
        omitted=max(0, found.height - LISTED),
        adjustments=tuple(_adjustment(row, books) for row in adjusted.iter_rows(named=True)),
        waits=tuple(sorted({_ids(row, books)[0] for row in waiting.head(LISTED).iter_rows(named=True)} - {""})),
        drifting=weighed.drifting[:LISTED],
        over_budget=weighed.over_budget[:LISTED],
        narratives=tuple(_narratives(ranked, books)),
        open_to=open_outcomes(found, policy),
    )


def _counts(found: pl.DataFrame, name: str) -> Iterator[tuple[str, int]]:
    yield from found.group_by(name).len().sort(name).iter_rows()


def _finding(row: dict[str, Any], books: Compared, policy: Policy) -> Finding:
    kind = BreakClass(row["kind"])
    entry = policy.classes[kind]
    ours = [books.internal.row(at, named=True) for at in row["i"][:LINES]]
    theirs = [books.external.row(at, named=True) for at in row["e"][:LINES]]
    told = (ours or theirs)[0]
    differences = tuple(_differences(row["fields"], ours[0], theirs[0])) if row["fields"] else ()
    return Finding(
        kind=kind,
        asks=Outcome(row["asks"]),
        severity=entry.severity,
        sentence=_sentence(row, entry.title, ours, theirs),
        internal=tuple(one["line"] for one in ours),
        external=tuple(one["line"] for one in theirs),
        ids=tuple(name for name in _ids(row, books) if name),
        account=row["account"] or "",
        security=told["isin"] or "",
        counterparty=told["counterparty"] or "",
        currency=row["currency"] or "",
        amount=money(row["amount"]),
        differences=differences,
        found_by=row["how"],
        is_only=row["is_only"],
        is_open=bool(entry.ambiguous),
    )


def _sentence(row: dict[str, Any], title: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    def lines(side: str, rows: list[dict[str, Any]]) -> str:
        return f"{side} line{'s' if len(rows) > 1 else ''} {', '.join(str(one['line']) for one in rows)}"

    where = " and ".join(lines(side, rows) for side, rows in (("internal", ours), ("external", theirs)) if rows)
    parts = [f"{title}: {where}"]
    if len(row["fields"]) > 1:
        parts.append(f"{', '.join(name.replace('_', ' ') for name in row['fields'])} differ")
    if row["amount"]:
        parts.append(f"{row['currency'] or 'no currency'} {money(row['amount']):+.2f}")
    if row["how"] in ("economics", "assignment"):
        parts.append(f"paired by {row['how']}, no shared execution id")
    if reason := why(row["why"]):
        parts.append(reason)
    return "; ".join(parts)


def _differences(fields: list[str], ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Difference]:
    for field in fields:
        for name in _WORDS.get(field, (field,)):
            if ours[name] != theirs[name] and None not in (ours[name], theirs[name]):
                yield Difference(field=name, internal=_shown(name, ours[name]), external=_shown(name, theirs[name]))


def _shown(name: str, value: Any) -> str:
    return f"{Decimal(value) / 10 ** SCALES[name]:f}" if name in SCALES else str(value)


def _ids(row: dict[str, Any], books: Compared) -> list[str]:
    found = []
    for book, rows in ((books.internal, row["i"]), (books.external, row["e"])):
        for at in rows[:LINES]:
            cells = book.row(at, named=True)
            found.append(cells["exec_id"] or cells["id"] or "")
    return list(dict.fromkeys(found))


def _adjustment(row: dict[str, Any], books: Compared) -> Adjustment:
    return Adjustment(
        kind=BreakClass(row["kind"]),
        account=row["account"],
        currency=row["currency"],
        amount=money(row["amount"]) or Decimal(0),
        internal=books.internal["line"][row["i"][0]],
        external=books.external["line"][row["e"][0]],
    )


def _narratives(ranked: pl.DataFrame, books: Compared) -> Iterator[str]:
    texts = []
    for row in ranked.head(LISTED).iter_rows(named=True):
        for book, rows in ((books.internal, row["i"]), (books.external, row["e"])):
            texts += [text for at in rows[:LINES] if (text := book["text"][at])]
    yield from list(dict.fromkeys(text[:2_000] for text in texts))[:MAX_NARRATIVES]


def header_of(case: Case) -> Header:
    """What identifies the batch.

    Raises:
        RecordInvalid: nobody knows the calendar.
    """
    check_calendar(case.calendar)
    is_trades = case.internal is not None
    ours, theirs = (case.internal, case.external) if is_trades else (case.expected, case.statement)
    if ours is None or theirs is None:  # the case was checked; this is for the types
        raise ValueError("a case has two sides")
    return Header(
        scope="trades" if is_trades else "cash",
        today=case.today,
        now=case.now,
        calendar=case.calendar,
        internal_sha256=digest_of(ours),
        external_sha256=digest_of(theirs),
        remarks=case.remarks,
        history=case.history,
    )


def facts_of(case: Case, policy: Policy, root: Path) -> Facts:
    """Compare both sides, trades or cash.

    Raises:
        RecordInvalid: a side cannot be read; names file, line and field.
    """
    return trades_facts(case, policy, root) if case.internal is not None else cash_facts(case, policy, root)
