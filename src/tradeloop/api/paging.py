"""Pages of lists: a cursor names the last row seen, so that rows that come in meanwhile shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar  # Any: JSON

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator

from tradeloop.api.problems import Refusal

T = TypeVar("T", bound=BaseModel)
MAX_CURSOR: Final = 500
MOST: Final = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="Rows of a page.")]
Cursor = Annotated[str, Query(alias="cursor", max_length=MAX_CURSOR, description="`next` of the page before.")]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as problem:
        raise ValueError("in UTC this is outside the years 1 to 9999") from problem


def as_written(value: Any) -> Any:
    """A date or time as its text; Pydantic would take a bare number as seconds."""
    if isinstance(value, str) and value[4:5] != "-":
        raise ValueError("RFC 3339 is expected, for example 2026-11-28T07:00:00Z")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(as_written)]
Since = Annotated[Moment | None, Query(description="Only what came since; RFC 3339 with its zone.")]


class Page(BaseModel, Generic[T]):
    """Rows, and where the next ones begin."""

    items: list[T]
    next: str | None = None
    """Cursor of the next page; null: this is the last one."""


def cursor_of(name: str, *places: Any) -> str:
    """The cursor behind a row of a list: opaque to clients."""
    text = json.dumps([name, *places], separators=(",", ":"), default=str)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def places_in(name: str, cursor: str, *kinds: type) -> list[Any] | None:
    """What a cursor of that list says, each of its kind; None without a cursor.

    Raises:
        Refusal: 422, it is no cursor of this list.
    """
    if not cursor:
        return None
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        kind, *places = found
        if kind != name or len(places) != len(kinds):
            raise ValueError
        return [_as(kind_of, place) for kind_of, place in zip(kinds, places, strict=True)]
    except (ValueError, TypeError, binascii.Error, UnicodeDecodeError, RecursionError, OverflowError) as problem:
        raise Refusal(
            422, "cursor", "this is no cursor of this list: take `next` of its last page.", field="query.cursor"
        ) from problem


def page(rows: Sequence[T], limit: int, cursor: str) -> Page[T]:
    """A page of at most `limit` rows; `rows` may have one more, which shows that there is a next page."""
    return Page(items=list(rows[:limit]), next=cursor if len(rows) > limit else None)


def _as(kind: type, place: Any) -> Any:
    if not isinstance(place, str) and kind is not int:
        raise ValueError
    if kind is datetime:
        moment = datetime.fromisoformat(place)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    if kind is int:
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < 2**63:
            raise ValueError
        return place
    return kind(place)
