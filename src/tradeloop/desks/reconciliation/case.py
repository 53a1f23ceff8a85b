"""The case of a `reconciliation.batch.loaded` event: two books, or a cash account with its statement."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self  # Any: JSON from outside

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tradeloop.desks.reconciliation.policy import BreakClass, Outcome
from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.desks.references import Reference

INLINE_ROWS: Final = 500
INLINE_LIMIT_CHARS: Final = 65_536
"""What a producer may put into the event itself. More would be copied into inbox, checkpoint and record."""
IDENTIFIER: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$"
"""Ids, accounts and codes: no spaces, so that no sentence fits."""


def _decimal_text(value: object) -> object:
    # A JSON number became a 64-bit float on its way: what the producer wrote is lost, so amounts are text.
    if isinstance(value, bool | float):
        raise ValueError('amounts are decimal text, such as "1234.50"')
    return value


Figure = Annotated[Decimal, BeforeValidator(_decimal_text), Field(allow_inf_nan=False, max_digits=30)]
Positive = Annotated[Decimal, BeforeValidator(_decimal_text), Field(gt=0, allow_inf_nan=False, max_digits=30)]
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
TradeFormat = Literal["rows", "csv", "parquet", "fix"]
StatementFormat = Literal["rows", "mt940", "camt053"]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Source(_Given):
    rows: tuple[dict[str, Any], ...] | None = Field(default=None, max_length=INLINE_ROWS)
    text: str | None = Field(default=None, min_length=1, max_length=INLINE_LIMIT_CHARS)
    reference: Reference | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.rows, self.text, self.reference)) != 1:
            raise ValueError("one of rows, text and reference is expected")
        return self


class Book(_Source):
    """The trades of one side."""

    format: TradeFormat = "rows"
    columns: dict[str, Annotated[str, Field(max_length=64)]] = Field(default_factory=dict, max_length=20)
    """How the file calls the desk's columns, where it is not by their own names."""


class Ledger(_Source):
    """Cash entries: what the firm expects, or what the bank states."""

    format: StatementFormat = "rows"
    opening: Figure | None = None
    """Of rows: the balance before them."""
    closing: Figure | None = None


class CorporateAction(_Given):
    """What changes quantities and prices of a security from `ex_date` on."""

    security: Identifier
    ex_date: date
    ratio: Positive | None = None
    """New shares for each old one: 2 for a 2:1 split."""
    dividend: Positive | None = None
    """Cash a share."""


class Used(_Given):
    """What the day's automatic adjustments of an account add up to before this batch."""

    account: Identifier
    count: int = Field(ge=0, le=10**9)
    notional: Annotated[Decimal, BeforeValidator(_decimal_text), Field(ge=0, allow_inf_nan=False, max_digits=30)]


class Signs(_Given):
    """How many of an account's recent automatic adjustments went either way."""

    account: Identifier
    plus: int = Field(ge=0, le=10**6)
    minus: int = Field(ge=0, le=10**6)


class Earlier(_Given):
    """How a like case ended: for the agents alone."""

    kind: BreakClass
    counterparty: Identifier | None = None
    right: Outcome


class Case(_Given):
    """All that the event holds."""

    remarks: tuple[Annotated[str, Field(max_length=2_000)], ...] = Field(default=(), max_length=20)
    """Free text that came with the files: quoted to agents, used for nothing else."""
    internal: Book | None = None
    external: Book | None = None
    expected: Ledger | None = None
    statement: Ledger | None = None
    today: date = Field(ge=date(2000, 1, 1), le=date(2099, 12, 31))
    now: AwareDatetime | None = None
    cutoff: AwareDatetime | None = None
    """Until when the other side may still send today's trades."""
    calendar: str = Field(default="XNYS", pattern=r"^[A-Za-z0-9_/]{1,20}$")
    identifiers: dict[Identifier, Identifier] = Field(default_factory=dict, max_length=100_000)
    """What the firm's security master maps to which ISIN."""
    corporate_actions: tuple[CorporateAction, ...] = Field(default=(), max_length=10_000)
    used: tuple[Used, ...] = Field(default=(), max_length=100_000)
    signs: tuple[Signs, ...] = Field(default=(), max_length=100_000)
    waited: tuple[Identifier, ...] = Field(default=(), max_length=100_000)
    """Ids of trades and entries that waited a cycle before."""
    history: tuple[Earlier, ...] = Field(default=(), max_length=10_000)

    @model_validator(mode="after")
    def _one_pair(self) -> Self:
        trades, cash = (self.internal, self.external), (self.expected, self.statement)
        if None not in trades and cash == (None, None):
            return self
        if None not in cash and trades == (None, None):
            return self
        raise ValueError("internal and external, or expected and statement, are expected")

    @property
    def is_open(self) -> bool:
        """Whether today's trades may still come; False where nobody told."""
        if self.now is None or self.cutoff is None:
            return False
        return _utc(self.now) < _utc(self.cutoff)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def case_of(data: dict[str, Any]) -> Case:
    """The event's data as a case.

    Raises:
        RecordInvalid: `data` is no case; names field and value.
    """
    try:
        return Case.model_validate(data)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(str(step)[:40] for step in first["loc"])
        given = "" if first["type"] in ("missing", "value_error") else f" (found {first['input']!r:.80})"
        told = f"{first['msg'][:1].lower()}{first['msg'][1:]}".removeprefix("value error, ")
        raise RecordInvalid(f"{told}{given}", file="payload.data", field=field) from problem
