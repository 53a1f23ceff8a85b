"""MT940 and MT942 statements: the library reads them, once every balance and entry line has the standard's form.

The library is lenient: a balance without its currency becomes another amount in a currency `105`. Here such a line is
refused by number and tag.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final  # Any: the library's values

from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.desks.reconciliation.statements import MAX_ENTRIES, Entry, Statement, plain

_TAG: Final = re.compile(r"^:(\d{2}[A-Z]?|NS):(.*)$", re.ASCII)
_BALANCE: Final = re.compile(r"[CD]\d{6}[A-Z]{3}\d{1,15}(,\d{0,3})?", re.ASCII)
_ENTRY: Final = re.compile(r"\d{6}(\d{4}| {4})?(R?[CD])[A-Z]? ?(\d{1,15}(?:,\d{0,3})?)", re.ASCII)
_BALANCES: Final = ("60F", "60M", "62F", "62M")
_REFERENCE: Final = re.compile(r"(?:EREF\+|/EREF/)([A-Za-z0-9._:/-]{1,35})")

Lines = list[tuple[int, str, str]]
"""Number, tag and text of each field."""


def read_mt940(text: str, file: str) -> tuple[Statement, ...]:
    """Every statement of a file.

    Raises:
        RecordInvalid: no statement, or a line that is none of a statement; names line and tag.
    """
    found: list[Statement] = []
    for start, block in _blocks(text):
        fields = _fields(block, start)
        _check(fields, file)
        found.append(_statement(block, fields, file, start))
    if not found:
        raise RecordInvalid("no statement: none of its lines begins with :20:", file=file, line=1, field="20")
    if not any(one.entries or one.closing is not None for one in found):
        raise RecordInvalid("no statement: neither an entry nor a closing balance", file=file, line=1, field="61")
    if sum(len(one.entries) for one in found) > MAX_ENTRIES:
        raise RecordInvalid(f"more than {MAX_ENTRIES:,} entries", file=file, line=1, field="61")
    return tuple(found)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if line.lstrip("\ufeff").startswith(":20:")]
    for at, start in enumerate(starts):
        end = starts[at + 1] if at + 1 < len(starts) else len(lines)
        yield start + 1, "\n".join(lines[start:end]).lstrip("\ufeff")


def _fields(block: str, start: int) -> Lines:
    found: Lines = []
    for number, line in enumerate(block.split("\n"), start):
        if match := _TAG.match(line):
            found.append((number, match[1], match[2]))
    return found


def _check(fields: Lines, file: str) -> None:
    for number, tag, told in fields:
        if tag in _BALANCES and not _BALANCE.fullmatch(told.strip()):
            message = f"{told!r:.40} is no balance such as C260131EUR1234,50"
            raise RecordInvalid(message, file=file, line=number, field=tag)
        if tag == "61" and not _ENTRY.match(told):
            message = f"{told!r:.40} is no entry such as 2601310131D1234,50NTRFNONREF"
            raise RecordInvalid(message, file=file, line=number, field=tag)


def _statement(block: str, fields: Lines, file: str, start: int) -> Statement:
    import mt940

    # The library logs the field that it cannot read: a customer's text.
    logging.getLogger("mt940").setLevel(logging.CRITICAL)
    try:
        (read,) = mt940.parse_statements(block)
        data = read.data
    except Exception as problem:
        raise _refused(problem, fields, file, start) from problem
    lines = [number for number, tag, _ in fields if tag == "61"]
    if len(read.transactions) < len(lines):
        told = f"{len(lines)} entry lines, of which {len(read.transactions)} can be read"
        raise RecordInvalid(told, file=file, line=lines[0], field="61")
    account = plain(data.get("account_identification"))
    try:
        entries = tuple(
            _entry(one.data, line, account, fields, file)
            for one, line in zip([each for each in read.transactions if "date" in each.data], lines, strict=False)
        )
        opening = _amount(data.get("final_opening_balance") or data.get("intermediate_opening_balance"))
        closing = _amount(data.get("final_closing_balance") or data.get("intermediate_closing_balance"))
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as problem:
        raise _refused(problem, fields, file, start) from problem
    is_first = "intermediate_opening_balance" not in data
    return Statement(start, account, entries, opening, closing, is_first)


def _refused(problem: Exception, fields: Lines, file: str, start: int) -> RecordInvalid:
    named = re.search(r"id=(\w+)|tags\.(\w+)", str(problem))
    tag = named[1] if named and named[1] else "61"
    line = next((number for number, name, _ in fields if name.startswith(tag)), start)
    return RecordInvalid("the field cannot be read", file=file, line=line, field=tag)


def _entry(data: dict[str, Any], line: int, account: str, fields: Lines, file: str) -> Entry:
    amount, day = data["amount"], data["date"]
    if not isinstance(amount.amount, Decimal) or not amount.amount.is_finite():
        raise RecordInvalid("the amount is no number", file=file, line=line, field="61")
    currency = str(amount.currency or "") or _currency(fields)
    if not re.fullmatch(r"[A-Z]{3}", currency, re.ASCII):
        raise RecordInvalid("no balance tells the currency", file=file, line=line, field="61")
    text = " ".join(str(data.get(name) or "") for name in ("extra_details", "transaction_details", "purpose")).strip()
    told = _REFERENCE.search(text)
    reference = plain(data.get("customer_reference")) or (plain(told[1]) if told else "")
    return Entry(
        line=line,
        amount=amount.amount,
        currency=currency,
        value_date=date(day.year, day.month, day.day),
        reference=reference,
        account=account,
        text=text[:2_000],
    )


def _currency(fields: Lines) -> str:
    return next((told[7:10] for _, tag, told in fields if tag in _BALANCES), "")


def _amount(balance: Any) -> Decimal | None:
    if balance is None or balance.amount is None:
        return None
    return Decimal(balance.amount.amount)
