"""The case of a `settlement.status.received` event: the message as it came, and what the firm knows beside it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar  # Any: JSON from outside

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tradeloop.desks.references import Reference, read_reference
from tradeloop.desks.settlement.advice import Advice, Direction
from tradeloop.desks.settlement.fin import MAX_MESSAGE_BYTES, read_fin
from tradeloop.desks.settlement.fin_advice import advices_of
from tradeloop.desks.settlement.policy import AssetKind, Currency, Market
from tradeloop.desks.settlement.refusal import MessageInvalid
from tradeloop.desks.settlement.sese024 import read_sese024
from tradeloop.errors import ReferenceInvalid

INLINE_LIMIT_CHARS: Final = 65_536
"""What a producer may put into the event itself. More would be copied into inbox, checkpoint and record."""

Model = TypeVar("Model", bound=BaseModel)


def _decimal_text(value: object) -> object:
    # A JSON number became a 64-bit float on its way: what the producer wrote is lost, so amounts are text.
    if isinstance(value, bool | float):
        raise ValueError('amounts are decimal text, such as "1234.50"')
    return value


Figure = Annotated[Decimal, BeforeValidator(_decimal_text), Field(ge=0, max_digits=30, allow_inf_nan=False)]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Booked(_Given):
    """The instruction as the firm booked it: fills what the message does not tell, and is held against what it does."""

    isin: str | None = Field(default=None, pattern=r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$")
    quantity: Figure | None = None
    amount: Figure | None = None
    currency: Currency | None = None
    direction: Direction | None = None
    against_payment: bool | None = None
    trade_date: date | None = None
    isd: date | None = None
    counterparty: str | None = Field(default=None, pattern=r"^[A-Z0-9]{8}([A-Z0-9]{3})?$")
    matched_on: date | None = None


class Inventory(_Given):
    """What of the security is there to deliver."""

    available: Figure
    minimum_lot: Figure = Decimal(1)
    recallable: Figure = Decimal(0)
    """Out on loan, and can be called back."""


class Cash(_Given):
    """What of the currency is there to pay with."""

    available: Figure
    currency: Currency


class Linked(_Given):
    """An instruction that this one is linked with."""

    reference: str = Field(min_length=1, max_length=35)
    state: Literal["PENDING", "FAILING", "SETTLED", "CANCELLED"]


class ReferencePrice(_Given):
    """The price that penalties are computed with, in the settlement currency."""

    price: Figure
    per: Literal["unit", "percent"] = "unit"
    """`percent`: of the face amount, as bonds are quoted."""
    by_day: dict[date, Figure] = Field(default_factory=dict, max_length=400)
    """Of days with another price."""


class Case(_Given):
    """All that the event holds."""

    message: str | None = Field(default=None, min_length=1, max_length=INLINE_LIMIT_CHARS)
    reference: Reference | None = None
    transaction: int | None = Field(default=None, ge=0, lt=100_000)
    """Which of an MT537's transactions, from 0; one event a transaction."""
    today: date = Field(ge=date(2000, 1, 1), le=date(2099, 12, 31))
    now: AwareDatetime | None = None
    """The moment of the status, for the market's deadline."""
    calendar: str = Field(default="XETR", pattern=r"^[A-Za-z0-9_/]{1,20}$")
    """The business days of the place of settlement (ISO 10383), as exchange_calendars knows it."""
    market: Market = "EU"
    """Whose settlement cycle and deadlines hold."""
    asset: AssetKind | None = None
    booked: Booked = Booked()
    inventory: Inventory | None = None
    cash: Cash | None = None
    cash_rate: Figure | None = None
    """The central bank's official overnight credit rate in per cent a year."""
    linked: tuple[Linked, ...] = Field(default=(), max_length=100)
    reference_price: ReferencePrice | None = None
    chases: int = Field(default=0, ge=0, le=1000)
    """How often the counterparty was chased on this case before."""

    @model_validator(mode="after")
    def _one_message(self) -> Self:
        if (self.message is None) == (self.reference is None):
            raise ValueError("either message or reference is expected")
        if self.now is not None and abs((self.now.astimezone(UTC).date() - self.today).days) > 1:
            raise ValueError(f"now is on another day than today, {self.today}")
        return self

    @property
    def moment(self) -> datetime | None:
        """The moment of the status in UTC."""
        return self.now.astimezone(UTC) if self.now is not None else None


def open_case(data: dict[str, Any], root: Path) -> tuple[Case, Advice, str]:
    """Read the case and its message; the text is inline, or in a file below `root`.

    Returns case, advice and the sha256 of the message's bytes.

    Raises:
        MessageInvalid: `data` is no case, or the message cannot be read; names field, or line and tag.
        ReferenceInvalid: the file is absent, outside `root`, altered or no text.
    """
    case = _validated(Case, data, "payload.data")
    if case.reference is not None:
        raw = read_reference(case.reference, root, most_bytes=MAX_MESSAGE_BYTES)
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            line = raw.count(b"\n", 0, problem.start) + 1
            raise ReferenceInvalid(f"{case.reference.uri} line {line} is not UTF-8: {problem.reason}") from problem
    else:
        text = case.message or ""
        raw = text.encode("utf-8", "surrogatepass")
    return case, _chosen(case, advices(text)), sha256(raw).hexdigest()


def advices(text: str) -> tuple[Advice, ...]:
    """Every advice of a message in any standard that is read.

    Raises:
        MessageInvalid: none of them, or malformed; names line and field.
    """
    begin = text.lstrip("\ufeff \t\r\n")
    if begin.startswith("<"):
        return (read_sese024(begin),)
    return advices_of(read_fin(begin))


def _chosen(case: Case, found: tuple[Advice, ...]) -> Advice:
    if case.transaction is None:
        if len(found) > 1:
            raise MessageInvalid(
                f"the statement holds {len(found)} transactions; one event each, with its `transaction`, is expected",
                field="payload.data.transaction",
            )
        return found[0]
    if case.transaction >= len(found):
        told = f"{case.transaction} is beyond the last of {len(found)} transactions (from 0)"
        raise MessageInvalid(told, field="payload.data.transaction")
    return found[case.transaction]


def _validated(model: type[Model], value: object, where: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        given = "" if first["type"] in ("missing", "value_error") else f" (found {first['input']!r:.80})"
        told = f"{first['msg'][:1].lower()}{first['msg'][1:]}".removeprefix("value error, ")
        raise MessageInvalid(f"{told}{given}", field=f"{where}{'.' if field else ''}{field}") from problem
