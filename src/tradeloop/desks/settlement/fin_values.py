"""The values of ISO 15022 fields: qualifier, code, date, amount, quantity; each refusal names line and tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from tradeloop.desks.settlement.fin import Field, Sequence
from tradeloop.desks.settlement.refusal import MessageInvalid

_QUALIFIED: Final = re.compile(r":([A-Z0-9]{4})/([A-Z0-9]{0,8})/(.*)", re.ASCII | re.DOTALL)
_NUMBER: Final = re.compile(r"[0-9]{1,15},[0-9]{0,14}", re.ASCII)
_AMOUNT: Final = re.compile(r"(N?)([A-Z]{3})([0-9]{1,15},[0-9]{0,14})", re.ASCII)
_QUANTITY: Final = re.compile(r"([A-Z]{4})/(N?)([0-9]{1,15},[0-9]{0,14})", re.ASCII)
_DAY: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{6}.{0,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Qualified:
    """A generic field's value in its three parts."""

    qualifier: str
    scheme: str
    data: str
    line: int
    tag: str


def qualified(field: Field) -> Qualified:
    """A generic field (`:4!c/[8c]/data`) in its parts."""
    found = _QUALIFIED.fullmatch(field.value)
    if found is None:
        told = f"{field.value!r:.40} has no qualifier; :ABCD//... is expected"
        raise MessageInvalid(told, line=field.line, field=field.tag)
    return Qualified(found[1], found[2], found[3], field.line, field.tag)


def one(sequence: Sequence, tags: str, qualifier: str) -> Qualified | None:
    """The field of these tags (parted by spaces) and this qualifier directly in the sequence; None: it has none.

    Raises:
        MessageInvalid: there are two, and which one counts is not said.
    """
    wanted = tags.split()
    found = [
        value for part in sequence.fields if part.tag in wanted if (value := qualified(part)).qualifier == qualifier
    ]
    if len(found) > 1:
        told = f"{qualifier} is given twice, first on line {found[0].line}"
        raise MessageInvalid(told, line=found[1].line, field=found[1].tag)
    return found[0] if found else None


def number(text: str, value: Qualified) -> Decimal:
    """A number with its decimal comma."""
    if not _NUMBER.fullmatch(text):
        told = f"{text!r:.40} is no number; digits with a decimal comma are expected"
        raise MessageInvalid(told, line=value.line, field=value.tag)
    return Decimal(text.replace(",", "."))


def amount(value: Qualified) -> tuple[Decimal, str]:
    """Amount and currency of a field 19A; negative with a leading N."""
    found = _AMOUNT.fullmatch(value.data)
    if found is None:
        told = f"{value.data!r:.40} is no amount; EUR123,45 is expected"
        raise MessageInvalid(told, line=value.line, field=value.tag)
    figure = number(found[3], value)
    return (-figure if found[1] else figure), found[2]


def quantity(value: Qualified) -> tuple[Decimal, str]:
    """Quantity and its type (UNIT, FAMT, AMOR) of a field 36B."""
    found = _QUANTITY.fullmatch(value.data)
    if found is None or found[1] not in ("UNIT", "FAMT", "AMOR"):
        told = f"{value.data!r:.40} is no quantity; UNIT/100, or FAMT/1000, is expected"
        raise MessageInvalid(told, line=value.line, field=value.tag)
    figure = number(found[3], value)
    return (-figure if found[2] else figure), found[1]


def day(value: Qualified) -> date | None:
    """The day of a field 98A, 98C or 98E; None for a code instead of a date (98B)."""
    if value.tag == "98B":
        return None
    found = _DAY.fullmatch(value.data)
    try:
        if found is None:
            raise ValueError("YYYYMMDD is expected")
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError as problem:
        raise MessageInvalid(f"{value.data!r:.40} is no day: {problem}", line=value.line, field=value.tag) from None


def identifier(field: Field) -> str | None:
    """The ISIN of a field 35B, unchecked; None: it names the instrument otherwise."""
    found = re.match(r"ISIN ([A-Z0-9]{1,30})(?:\n|$)", field.value, re.ASCII)
    return found[1] if found else None
