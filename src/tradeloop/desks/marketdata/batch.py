"""The batch of bars that a `marketdata.batch.loaded` event carries, inline or by reference."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar  # Any: JSON from outside

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tradeloop.desks.marketdata.documents import Reference, json_object, read_object, read_reference
from tradeloop.domain.canonical import canonical_json
from tradeloop.errors import EventInvalid, ReferenceInvalid

INLINE_LIMIT_BYTES: Final = 65_536
"""What a producer may put into the event itself. More would be copied into inbox, checkpoint and record."""
MAX_INTRADAY_DAYS: Final = 100
"""Each expected minute is counted one by one; a longer period would let one event fill a worker's memory."""
YEARS: Final = (1800, 2200)
"""No prices lie beyond them, and the arithmetic of dates would come to its end."""
_CELL_CHARS: Final = 40
"""A longer cell is no price and no date; it is cut, so that a finding that quotes it stays readable."""

Model = TypeVar("Model", bound=BaseModel)
Frequency = Literal["1min", "1h", "1d", "1wk"]
AssetClass = Literal["index", "equity", "etf", "fund", "crypto", "fx", "rate", "spread", "commodity"]


def _cell(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip()[:_CELL_CHARS] or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An integer of more digits than Python spells (4300) is no price.
        return repr(value)[:_CELL_CHARS] if not isinstance(value, int) or value.bit_length() < 1000 else "<number>"
    return f"<{type(value).__name__}>"


Cell = Annotated[str | None, BeforeValidator(_cell)]
"""A value as delivered. Nothing is refused here: what cannot be read becomes a finding that names the row."""


class Bar(BaseModel):
    """One row as delivered. Prices are decimal text, so that bytes and digest stay exact from file to finding."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    date: Cell = None
    """A day `2009-07-14`; for bars within a day the start of the bar with its offset, `2009-07-14T13:30:00+00:00`."""
    open: Cell = None
    high: Cell = None
    low: Cell = None
    close: Cell = None
    volume: Cell = None
    bid: Cell = None
    ask: Cell = None
    symbol: Cell = None
    """Where a feed mixes instruments: another symbol than the batch's is a finding."""


class CorporateAction(BaseModel):
    """An announced change of the price level: on `date` prices are multiplied by `factor` (0.5 for a 2:1 split)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    date: date
    factor: float = Field(ge=1e-9, le=1e9, allow_inf_nan=False)
    kind: Literal["split", "dividend", "spin_off"] = "split"


class SecondSource(BaseModel):
    """The same bars from another vendor: the evidence that tells a crash from a bad print."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(default="second source", min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][\w .-]*$")
    bars: tuple[Bar, ...] = ()
    reference: Reference | None = None


class OtherFrequency(BaseModel):
    """The same period at another frequency: finer bars must add up to the coarser ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    frequency: Frequency
    bars: tuple[Bar, ...] = ()
    reference: Reference | None = None


class Identity(BaseModel):
    """Which instrument bears the symbol from a day on, as a map file has it."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
    from_: date = Field(alias="from")
    id: str = Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")
    """What stays when a name changes: an ISIN, a FIGI, the vendor's own key."""


class Evidence(BaseModel):
    """JSON files that only the agents' tools read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    second_source: Reference | None = None
    corporate_actions: Reference | None = None
    calendar: Reference | None = None
    history: Reference | None = None


class Batch(BaseModel):
    """The bars of one symbol and one period, with the bars before it as context."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    symbol: str = Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9^][A-Za-z0-9^._=-]*$")
    period: str
    """A month `2009-07`, a day `2009-07-14`, or the days from and to, `2009-07-01/2009-07-14`."""
    calendar: str = Field(default="XNYS", pattern=r"^[A-Za-z0-9_/]{1,20}$")
    """The exchange's market identifier code (ISO 10383), as exchange_calendars knows it."""
    asset_class: AssetClass = "equity"
    frequency: Frequency = "1d"
    bars: tuple[Bar, ...]
    context: tuple[Bar, ...] = ()
    """The bars before the period, already accepted once: they give the scale and are never judged."""
    corporate_actions: tuple[CorporateAction, ...] = ()
    """Inline, or as `{"reference": ...}` to a file with a list of that name."""
    adjusted: bool | None = None
    """Whether prices before a corporate action are already on the scale after it; None: not known."""
    second_source: SecondSource | None = None
    other_frequency: OtherFrequency | None = None
    identities: tuple[Identity, ...] = ()
    """Oldest first. Empty: nobody told."""
    evidence: Evidence = Evidence()
    attempt: int = Field(default=0, ge=0, le=1000)
    """How often this period was fetched again before."""

    @model_validator(mode="after")
    def _readable_period(self) -> Self:
        first, last = period_bounds(self.period)
        if self.is_intraday and (last - first).days > MAX_INTRADAY_DAYS:
            raise ValueError(f"a batch of {self.frequency} bars spans at most {MAX_INTRADAY_DAYS} days")
        return self

    @property
    def is_intraday(self) -> bool:
        """Whether bars are stamped by the minute."""
        return self.frequency in ("1min", "1h")

    @property
    def first_day(self) -> date:
        """The first day of the period."""
        return period_bounds(self.period)[0]

    @property
    def last_day(self) -> date:
        """The last day of the period, included."""
        return period_bounds(self.period)[1]


def period_bounds(period: str) -> tuple[date, date]:
    """First and last day of a period's text; ValueError says what is expected."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}", period, re.ASCII):
            year, month = int(period[:4]), int(period[5:])
            return _possible((date(year, month, 1), date(year, month, monthrange(year, month)[1])))
        first, _, last = period.partition("/")
        bounds = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError as problem:
        raise ValueError(f"a month 2009-07, a day 2009-07-14 or 2009-07-01/2009-07-14 is expected: {problem}") from None
    return _possible(bounds)


def _possible(bounds: tuple[date, date]) -> tuple[date, date]:
    if bounds[1] < bounds[0]:
        raise ValueError("the period ends before it begins")
    if not YEARS[0] <= bounds[0].year <= bounds[1].year <= YEARS[1]:
        raise ValueError(f"the years {YEARS[0]} to {YEARS[1]} are known")
    return bounds


def open_batch(data: dict[str, Any], root: Path) -> tuple[Batch, str]:
    """Read the batch of an event's `data`: inline, or `{"reference": {"uri", "sha256", "size_bytes"}}`.

    Fields beside the reference (`attempt`, `second_source`, ...) add to the file's.
    Returns the batch and the sha256 of what was read.

    Raises:
        EventInvalid: `data` is no batch; names field and value.
        ReferenceInvalid: the file is absent, outside `root`, altered or no batch.
    """
    if "reference" in data:
        reference = _validated(Reference, data["reference"], EventInvalid, "payload.data.reference")
        raw = read_reference(reference, root)
        beside = {key: value for key, value in data.items() if key != "reference"}
        content = {**json_object(raw, reference.uri), **beside}
        batch = _validated(Batch, _with_actions(content, root), ReferenceInvalid, reference.uri)
        digest = reference.sha256
    else:
        batch = _validated(Batch, _with_actions(data, root), EventInvalid, "payload.data")
        # An ignored field may hold a lone surrogate, which JSON spells and UTF-8 does not.
        digest = sha256(canonical_json(data).encode("utf-8", "surrogatepass")).hexdigest()
    return _with_other_bars(batch, root), digest


def _with_actions(data: dict[str, Any], root: Path) -> dict[str, Any]:
    given = data.get("corporate_actions")
    if not isinstance(given, dict):
        return data
    where = "payload.data.corporate_actions.reference"
    reference = _validated(Reference, given.get("reference"), EventInvalid, where)
    return data | {"corporate_actions": read_object(reference, root).get("corporate_actions")}


def _with_other_bars(batch: Batch, root: Path) -> Batch:
    source, finer = batch.second_source, batch.other_frequency
    if source is not None and source.reference is not None:
        filled = {"name": source.name, "bars": read_object(source.reference, root).get("bars", [])}
        resolved = _validated(SecondSource, filled, ReferenceInvalid, source.reference.uri)
        batch = batch.model_copy(update={"second_source": resolved})
    if finer is not None and finer.reference is not None:
        filled = {"frequency": finer.frequency, "bars": read_object(finer.reference, root).get("bars", [])}
        other = _validated(OtherFrequency, filled, ReferenceInvalid, finer.reference.uri)
        batch = batch.model_copy(update={"other_frequency": other})
    return batch


def _validated(model: type[Model], value: object, error: type[Exception], where: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        given = "" if first["type"] == "missing" else f" (found {first['input']!r:.80})"
        raise error(
            f"{where}{'.' if field else ''}{field}: {first['msg'][:1].lower()}{first['msg'][1:]}{given}"
        ) from problem
