"""The agents' tools: what JSON files below the reference root say about the days that a batch's findings name.

Each returns numbers, days and words of our own alone. A file that the event does not name gives no fact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeVar  # Any: JSON

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradeloop.desks.desk import Json
from tradeloop.desks.marketdata.batch import Bar, CorporateAction
from tradeloop.desks.marketdata.documents import Reference, read_object
from tradeloop.desks.marketdata.findings import Facts, Finding
from tradeloop.desks.marketdata.policy import Outcome, Rule
from tradeloop.desks.marketdata.sessions import timed_sessions
from tradeloop.desks.marketdata.table import Table, spelled
from tradeloop.desks.marketdata.verdict import BatchHeader
from tradeloop.errors import ReferenceInvalid

MAX_FACTS: Final = 20
"""Of one tool: what an agent reads must stay short."""
_NEAR_DAYS: Final = 3
"""A vendor's ex-date is off by a weekend at times."""
_LIKE: Final = 2.0
"""A like case's move is at most so many times larger or smaller."""
_AGREES: Final = 0.005
"""50 basis points, as MD13."""

Model = TypeVar("Model", bound=BaseModel)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Bars(_File):
    bars: tuple[Bar, ...] = Field(max_length=1_000_000)


class _Actions(_File):
    corporate_actions: tuple[CorporateAction, ...] = Field(max_length=100_000)


class _Special(_File):
    date: date
    kind: Literal["closed", "early_close", "halt", "auction_only"]


class _Calendar(_File):
    special: tuple[_Special, ...] = Field(max_length=100_000)


class _Case(_File):
    rule: Rule
    value: float = Field(allow_inf_nan=False)
    right: Outcome


class _History(_File):
    cases: tuple[_Case, ...] = Field(max_length=100_000)


def second_source(header: Json, facts: Json, root: Path) -> Json:
    """What another vendor's closes are on the days found: `{"bars": [...]}` at the batch's frequency."""
    known, found, file = _read(header, facts, root, "second_source", _Bars)
    if file is None:
        return {"findings": []}
    table = Table.read(file.bars, known.frequency)
    closes = {spelled(day): float(close) for day, close in zip(table.days, table.values["close"], strict=True) if day}
    days = sorted(day for day, close in closes.items() if close > 0)
    told: list[Json] = []
    for finding, day in _days(found):
        if day not in days:
            continue
        before = days[max(0, days.index(day) - 1)]
        move = closes[day] / closes[before] - 1
        agrees = None if finding.value is None else abs(move - finding.value) <= _AGREES
        told.append({"about": finding.id, "date": day, "close": closes[day], "move": round(move, 6), "agrees": agrees})
    return _numbered("S", told)


def corporate_actions(header: Json, facts: Json, root: Path) -> Json:
    """Announced actions within three days of the days found: `{"corporate_actions": [{"date", "factor", "kind"}]}`."""
    _, found, file = _read(header, facts, root, "corporate_actions", _Actions)
    told = [
        {"about": finding.id, "date": action.date.isoformat(), "factor": action.factor, "kind": action.kind}
        for finding, day in _days(found)
        for action in (() if file is None else file.corporate_actions)
        if abs(action.date - date.fromisoformat(day[:10])) <= timedelta(days=_NEAR_DAYS)
    ]
    return _numbered("C", told)


def calendar(header: Json, facts: Json, root: Path) -> Json:
    """How long each day's session is, and what the firm's own list says: `{"special": [{"date", "kind"}]}`."""
    known, found, file = _read(header, facts, root, "calendar", _Calendar)
    told: list[Json] = []
    for finding, text in _days(found):
        day = date.fromisoformat(text[:10])
        session = next(iter(timed_sessions(known.calendar, day, day)), None)
        hours = 0.0 if session is None else (session.closes_at - session.opens_at).total_seconds() / 3600
        special = sorted({each.kind for each in (() if file is None else file.special) if each.date == day})
        told.append({"about": finding.id, "date": text, "session_hours": round(hours, 2), "special": special})
    return _numbered("K", told)


def like_cases(header: Json, facts: Json, root: Path) -> Json:
    """How earlier cases of the rule and size ended: `{"cases": [{"rule", "value", "right"}]}`."""
    _, found, file = _read(header, facts, root, "history", _History)
    told: list[Json] = []
    cases = () if file is None else file.cases
    for finding in found:
        like = [case for case in cases if case.rule is finding.rule and _is_like(case.value, finding.value)]
        if like:
            ends = {outcome.value: sum(case.right is outcome for case in like) for outcome in Outcome}
            told.append({"about": finding.id, "cases": len(like), "right": {k: n for k, n in ends.items() if n}})
    return _numbered("H", told)


def market_context(header: Json, facts: Json, root: Path) -> Json:
    """`corporate_actions` and `calendar` together."""
    parts = [tool(header, facts, root)["findings"] for tool in (corporate_actions, calendar)]
    return {"findings": [finding for part in parts for finding in part]}


def _read(
    header: Json, facts: Json, root: Path, name: str, kind: type[Model]
) -> tuple[BatchHeader, tuple[Finding, ...], Model | None]:
    known, found = BatchHeader.model_validate(header), Facts.model_validate(facts)
    reference: Reference | None = getattr(known.evidence, name)
    if reference is None:
        return known, found.findings, None
    try:
        return known, found.findings, kind.model_validate(read_object(reference, root))
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in error["loc"])
        raise ReferenceInvalid(f"{reference.uri:.200} field {field}: {error['msg']}") from problem


def _days(found: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    for finding in found:
        for day in finding.dates[:MAX_FACTS]:
            yield finding, day


def _is_like(value: float, ours: float | None) -> bool:
    if not value or not ours or value * ours < 0:
        return False
    return abs(math.log(value / ours)) <= math.log(_LIKE)


def _numbered(letter: str, told: list[Any]) -> Json:
    return {"findings": [{"id": f"{letter}-{at:02d}", **each} for at, each in enumerate(told[:MAX_FACTS], 1)]}
