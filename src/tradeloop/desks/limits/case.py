"""What a `limits.check.requested` event holds: the scope, the day, and its inputs by reference."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal, Self  # Any: JSON from outside
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tradeloop.desks.limits.refusal import InputInvalid
from tradeloop.desks.references import Reference, read_reference
from tradeloop.errors import ReferenceInvalid

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""The largest input that is read: prices of 1,000 instruments over four years. More would fill a worker's memory."""
INLINE_LIMIT_CHARS: Final = 131_072
"""What a producer may put into the event itself. More would be copied into inbox, checkpoint and record."""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


def _decimal_text(value: object) -> object:
    # A JSON number became a 64-bit float on its way: what the producer wrote is lost, so amounts are text.
    if isinstance(value, bool | float):
        raise ValueError('amounts are decimal text, such as "1234.50"')
    return value


Figure = Annotated[Decimal, BeforeValidator(_decimal_text), Field(max_digits=30, allow_inf_nan=False)]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Given):
    """A table: in the event as CSV text, or a file below the worker's reference root."""

    text: str | None = Field(default=None, max_length=INLINE_LIMIT_CHARS)
    reference: Reference | None = None
    format: Literal["csv", "parquet"] = "csv"
    columns: dict[str, str] = Field(default_factory=dict, max_length=20)
    """The desk's name of a column to the file's, where they differ and the desk does not know the file's."""
    header: tuple[str, ...] = Field(default=(), max_length=50)
    """The columns of a CSV file that has no header line."""
    symbol: str | None = Field(default=None, pattern=r"^[A-Za-z0-9^][A-Za-z0-9^._=/-]{0,39}$")
    """The instrument of a price file that holds one alone and does not name it."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.text is None) == (self.reference is None):
            raise ValueError("either text or reference is expected")
        if self.text is not None and self.format == "parquet":
            raise ValueError("Parquet is taken by reference alone")
        return self


class Scope(_Given):
    """Whose risk is looked at."""

    kind: Literal["account", "desk", "book", "firm"]
    name: Identifier


class Previous(_Given):
    """A limit that was breached at the check before this one."""

    limit_id: Identifier
    state: Literal["OK", "WARN", "BREACH", "HARD"]


class Suspect(_Given):
    """What the market-data desk said of an instrument's prices."""

    symbol: str = Field(pattern=r"^[A-Za-z0-9^][A-Za-z0-9^._=/-]{0,39}$")
    outcome: Literal["ACCEPT", "ACCEPT_WITH_NOTE", "QUARANTINE_ROWS", "REFETCH", "REJECT_BATCH", "ESCALATE"]


class Case(_Given):
    """All that the event holds."""

    scope: Scope
    as_of: date = Field(ge=date(1990, 1, 1), le=date(2099, 12, 31))
    base_currency: Currency = "USD"
    nav: Figure | None = None
    """Net asset value in the base currency; needed for limits that are shares of it."""
    positions: Source
    limits: Source
    prices: Source | None = None
    """Closing prices by day: today's for the values, the years before for VaR."""
    fx: Source | None = None
    """Base currency for one unit of another, by day."""
    pnl: Source | None = None
    instruments: Source | None = None
    """Issuer, sector, average daily volume, currency, multiplier by symbol."""
    fills: Source | None = None
    previous: tuple[Previous, ...] = Field(default=(), max_length=1000)
    """States of the check before this one."""
    suspects: tuple[Suspect, ...] = Field(default=(), max_length=1000)
    attempt: int = Field(default=0, ge=0, le=1000)
    """How often the inputs were asked for again already."""

    def sources(self) -> dict[str, Source]:
        """The tables that are there, by name."""
        named = {name: getattr(self, name) for name in TABLES}
        return {name: source for name, source in named.items() if source is not None}


TABLES: Final = ("positions", "limits", "prices", "fx", "pnl", "instruments", "fills")


def case_of(data: dict[str, Any]) -> Case:
    """The case of an event's data.

    Raises:
        InputInvalid: a field is missing, unknown or wrong; names it.
    """
    try:
        return Case.model_validate(data)
    except ValidationError as problem:
        error = next((one for one in problem.errors() if one["type"] == "extra_forbidden"), problem.errors()[0])
        field = ".".join(str(step)[:40] for step in error["loc"])
        message = "the desk knows no such field" if error["type"] == "extra_forbidden" else error["msg"]
        raise InputInvalid(
            message.removeprefix("Value error, "), file="payload.data", field=field or "the whole"
        ) from problem


def digest_of(source: Source) -> str:
    """The sha256 of what a table holds."""
    if source.reference is not None:
        return source.reference.sha256
    return sha256((source.text or "").encode("utf-8", "surrogatepass")).hexdigest()


def name_of(source: Source, table: str) -> str:
    """How refusals call it."""
    if source.reference is None:
        return f"payload.data.{table}"
    return PurePosixPath(unquote(urlsplit(source.reference.uri).path)).name[:100] or table


def raw_of(source: Source, table: str, root: Path) -> bytes:
    """The bytes of a table.

    Raises:
        InputInvalid: the file is absent, outside `root` or altered; says which input.
    """
    if source.reference is None:
        return (source.text or "").encode("utf-8", "surrogatepass")
    try:
        return read_reference(source.reference, root, most_bytes=MAX_FILE_BYTES)
    except ReferenceInvalid as problem:
        raise InputInvalid(problem.message, file=name_of(source, table), field=table, hint=problem.hint) from problem
