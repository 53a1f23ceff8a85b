"""What a status message says about one instruction, whichever standard it was written in."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from stdnum import isin as isin_number

NARRATIVE_CHARS: Final = 1_000
"""Field 70D has 210 characters at most. What is longer is quoted up to here: agents read it, nothing else does."""
MAX_REASONS: Final = 100
"""More reasons than codes there are is no message; the checkpoint holds them all."""

MAX_NARRATIVES: Final = 20
"""Quoted of one message; the header is in every checkpoint. A message with more goes to a person."""

Direction = Literal["DELI", "RECE"]


class Part(BaseModel):
    """Frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(Part):
    """Why a status stands."""

    code: str
    """Four characters as the standard writes them, or the market's own."""
    scheme: str = ""
    """The data source scheme or issuer of a market's own code; empty: the standard's."""
    line: int = 0


class Status(Part):
    """One status, such as SETT/PENF, with its reasons."""

    kind: str
    """IPRC, MTCH, INMH, SETT (the qualifier of 25D)."""
    code: str
    scheme: str = ""
    reasons: tuple[Reason, ...] = ()
    line: int = 0


Figure = Annotated[Decimal, Field(max_digits=40, allow_inf_nan=False)]
"""FIN has 15 digits, ISO 20022 18; a number of a thousand digits is an attack on arithmetic."""


class Instruction(Part):
    """The instruction's own terms, as far as they are told."""

    isin: str | None = Field(default=None, pattern=r"^[A-Z0-9]{1,30}$")
    quantity: Figure | None = None
    quantity_type: Literal["UNIT", "FAMT", "AMOR"] | None = None
    amount: Figure | None = None
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    direction: Direction | None = None
    against_payment: bool | None = None
    trade_date: date | None = None
    isd: date | None = None
    """The intended settlement date."""
    account: str | None = None
    place: str | None = None
    """The place of settlement: the central securities depository's BIC."""
    counterparty: str | None = None
    """Its BIC."""
    matched_on: date | None = None


class Advice(Part):
    """A status message about one instruction."""

    standard: Literal["MT548", "MT537", "sese.024"]
    reference: str
    """The instruction's own reference at the account owner."""
    statuses: tuple[Status, ...] = Field(min_length=1)
    instruction: Instruction
    narratives: tuple[str, ...] = ()
    """Free text from outside: quoted to agents, used for nothing else."""


def is_isin(text: str) -> bool:
    """Whether it is an ISIN whose check digit is right (ISO 6166)."""
    return bool(re.fullmatch(r"[A-Z]{2}[A-Z0-9]{9}[0-9]", text, re.ASCII)) and isin_number.is_valid(text)


def quotable(text: str) -> str:
    """Free text that can be stored and shown: no control, format or half characters, and not endless."""
    cut = text[:NARRATIVE_CHARS]
    return "".join(each if each == "\n" or unicodedata.category(each)[0] != "C" else " " for each in cut).strip()
