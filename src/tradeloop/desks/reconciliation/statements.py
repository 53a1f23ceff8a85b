"""Statements of a cash account and the entries that the firm expects on it, whatever they came in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final  # Any: JSON from outside

from tradeloop.desks.reconciliation.case import IDENTIFIER
from tradeloop.desks.reconciliation.refusal import RecordInvalid

MAX_ENTRIES: Final = 20_000
_NAMES: Final = frozenset({"reference", "amount", "currency", "value_date", "account", "text"})
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,5})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_IDENTIFIER: Final = re.compile(IDENTIFIER, re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement: credits above zero, debits below."""

    line: int
    amount: Decimal
    currency: str
    value_date: date
    reference: str = ""
    """Empty: none, or none of a plain form."""
    account: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, or one page of it."""

    line: int
    account: str
    entries: tuple[Entry, ...]
    opening: Decimal | None = None
    closing: Decimal | None = None
    is_first: bool = True
    """False: a page that goes on from the one before (60M)."""

    @property
    def gap(self) -> Decimal | None:
        """What opening balance and entries lack to the closing balance; None: a balance is not told."""
        if self.opening is None or self.closing is None:
            return None
        return self.closing - self.opening - sum((entry.amount for entry in self.entries), Decimal(0))


def plain(text: str | None) -> str:
    """A reference as it is, when it is a plain identifier; else nothing."""
    text = (text or "").strip()
    return text if _IDENTIFIER.fullmatch(text) and text not in ("NONREF", "NOTPROVIDED") else ""


def figure(text: str, *, file: str, line: int, field: str) -> Decimal:
    """Decimal text as a figure.

    Raises:
        RecordInvalid: it is none.
    """
    try:
        if _NUMBER.fullmatch(text):
            return Decimal(text)
    except InvalidOperation:  # of so many digits that the context has no room
        pass
    raise RecordInvalid(f"{text!r:.40} is no decimal amount", file=file, line=line, field=field)


def entries_of(rows: Sequence[dict[str, Any]], file: str) -> tuple[Entry, ...]:
    """Entries that the event holds as rows.

    Raises:
        RecordInvalid: a cell cannot be read; names row and field.
    """
    found = []
    for line, row in enumerate(rows, 1):
        cells: dict[str, str] = {}
        for name, value in row.items():
            if name in _NAMES and value is not None:
                if not isinstance(value, str):
                    told = f'a JSON {type(value).__name__}: cells are text, such as "1234.50"'
                    raise RecordInvalid(told, file=file, line=line, field=name)
                cells[name] = value
        found.append(_entry(cells, file, line))
    return tuple(found)


def _entry(cells: dict[str, str], file: str, line: int) -> Entry:
    for name in ("amount", "currency", "value_date"):
        if not cells.get(name, "").strip():
            raise RecordInvalid("is missing", file=file, line=line, field=name)
    if not _CURRENCY.fullmatch(cells["currency"]):
        raise RecordInvalid("is no currency code of three letters", file=file, line=line, field="currency")
    for name in ("reference", "account"):
        if cells.get(name) and not _IDENTIFIER.fullmatch(cells[name]):
            told = f"{cells[name]!r:.40} is no identifier: letters, digits and ._:/- alone"
            raise RecordInvalid(told, file=file, line=line, field=name)
    return Entry(
        line=line,
        amount=figure(cells["amount"].strip(), file=file, line=line, field="amount"),
        currency=cells["currency"],
        value_date=day(cells["value_date"], file=file, line=line, field="value_date"),
        reference=plain(cells.get("reference")),
        account=cells.get("account", ""),
        text=cells.get("text", "")[:2_000],
    )


def day(text: str, *, file: str, line: int, field: str) -> date:
    """An ISO day.

    Raises:
        RecordInvalid: it is none.
    """
    try:
        if len(text) == len("2026-01-31") and text.isascii():
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise RecordInvalid(f"{text!r:.40} is no day such as 2026-01-31", file=file, line=line, field=field)
