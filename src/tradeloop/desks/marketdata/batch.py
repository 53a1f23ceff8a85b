"""The batch of bars that a `marketdata.batch.loaded` event carries, inline or by reference."""

from __future__ import annotations

import json
import re
from calendar import monthrange
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar  # Any: JSON from outside
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tradeloop.domain.canonical import canonical_json
from tradeloop.errors import EventInvalid, ReferenceInvalid

INLINE_LIMIT_BYTES: Final = 65_536
"""What a producer may put into the event itself. More would be copied into inbox, checkpoint and record."""
MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""The largest referenced file that is read: about 500,000 bars. More would let one event fill a worker's memory."""
_CELL_CHARS: Final = 40
"""A longer cell is no price and no date; it is cut, so that a finding that quotes it stays readable."""

Model = TypeVar("Model", bound=BaseModel)
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
    open: Cell = None
    high: Cell = None
    low: Cell = None
    close: Cell = None
    volume: Cell = None


class Reference(BaseModel):
    """A file below the worker's reference root, bound by its digest."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    uri: str = Field(min_length=1, max_length=2000)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class CorporateAction(BaseModel):
    """An announced change of the price level: on `date` prices are multiplied by `factor` (0.5 for a 2:1 split)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    date: date
    factor: float = Field(gt=0, allow_inf_nan=False)


class SecondSource(BaseModel):
    """The same bars from another vendor: the evidence that tells a crash from a bad print."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(default="second source", min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][\w .-]*$")
    bars: tuple[Bar, ...] = ()
    reference: Reference | None = None


class Batch(BaseModel):
    """The bars of one symbol and one period, with the bars before it as context."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    symbol: str = Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9^][A-Za-z0-9^._=-]*$")
    period: str
    """A month `2009-07`, a day `2009-07-14`, or the days from and to, `2009-07-01/2009-07-14`."""
    calendar: str = Field(default="XNYS", pattern=r"^[A-Za-z0-9_/]{1,20}$")
    """The exchange's market identifier code (ISO 10383), as exchange_calendars knows it."""
    asset_class: AssetClass = "equity"
    bars: tuple[Bar, ...]
    context: tuple[Bar, ...] = ()
    """The bars before the period, already accepted once: they give the scale and are never judged."""
    corporate_actions: tuple[CorporateAction, ...] = ()
    second_source: SecondSource | None = None
    attempt: int = Field(default=0, ge=0, le=1000)
    """How often this period was fetched again before."""

    @model_validator(mode="after")
    def _readable_period(self) -> Self:
        period_bounds(self.period)
        return self

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
            return date(year, month, 1), date(year, month, monthrange(year, month)[1])
        first, _, last = period.partition("/")
        bounds = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError as problem:
        raise ValueError(f"a month 2009-07, a day 2009-07-14 or 2009-07-01/2009-07-14 is expected: {problem}") from None
    if bounds[1] < bounds[0]:
        raise ValueError("the period ends before it begins")
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
        batch = _validated(Batch, {**_json_object(raw, reference.uri), **beside}, ReferenceInvalid, reference.uri)
        digest = reference.sha256
    else:
        batch = _validated(Batch, data, EventInvalid, "payload.data")
        # An ignored field may hold a lone surrogate, which JSON spells and UTF-8 does not.
        digest = sha256(canonical_json(data).encode("utf-8", "surrogatepass")).hexdigest()
    source = batch.second_source
    if source is not None and source.reference is not None:
        content = _json_object(read_reference(source.reference, root), source.reference.uri)
        filled = {"name": source.name, "bars": content.get("bars", [])}
        resolved = _validated(SecondSource, filled, ReferenceInvalid, source.reference.uri)
        batch = batch.model_copy(update={"second_source": resolved})
    return batch, digest


def read_reference(reference: Reference, root: Path) -> bytes:
    """The bytes of a referenced file, once size and sha256 were found to be right.

    Raises:
        ReferenceInvalid: not a plain file below `root`, or altered.
    """
    parts = urlsplit(reference.uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ReferenceInvalid(
            f"{reference.uri!r:.200} is not taken; a file:// address below {root} is expected",
            hint="load the batch below TRADELOOP_REFERENCE_ROOT",
        )
    try:
        base, path = root.resolve(), Path(unquote(parts.path)).resolve(strict=True)
        if not path.is_relative_to(base) or not path.is_file():
            raise ReferenceInvalid(
                f"{path} is no file below {base}", hint="TRADELOOP_REFERENCE_ROOT names the only folder that is read"
            )
        size_bytes = path.stat().st_size
        if size_bytes != reference.size_bytes or size_bytes > MAX_BATCH_BYTES:
            raise ReferenceInvalid(
                f"{path} has {size_bytes:,} bytes; the event says {reference.size_bytes:,}, "
                f"at most {MAX_BATCH_BYTES:,} are read"
            )
        raw = path.read_bytes()
    except (OSError, ValueError, RuntimeError) as problem:  # RuntimeError: a loop of links
        raise ReferenceInvalid(f"{reference.uri!r:.200} cannot be read: {problem}") from problem
    found = sha256(raw).hexdigest()
    if found != reference.sha256:
        raise ReferenceInvalid(f"{path} was altered: its sha256 is {found}, the event says {reference.sha256}")
    return raw


def _json_object(raw: bytes, where: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    try:
        value = json.loads(raw, parse_constant=refuse)
    except (ValueError, RecursionError) as problem:
        raise ReferenceInvalid(f"{where} is not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise ReferenceInvalid(f"{where} holds a JSON {type(value).__name__}; an object is expected")
    return value


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
