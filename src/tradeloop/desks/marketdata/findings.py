"""What the checks found, in a form that decisions, pages and records share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from tradeloop.desks.marketdata.policy import Rule
from tradeloop.desks.marketdata.table import Table, spelled

LISTED = 50
"""Dates and rows that one finding lists; `count` has them all. More would make the decision's record unwieldy."""


class Finding(BaseModel):
    """One thing that is odd about a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = ""
    """F-01, F-02, ... within the batch, in the order of rule and date."""
    rule: Rule
    dates: tuple[str, ...] = ()
    """ISO days, or minutes in UTC as `2009-07-14T13:30Z`; at most LISTED."""
    rows: tuple[int, ...] = ()
    """Places in the batch's `bars`, from 0, at most LISTED; empty when it is about bars that are absent."""
    count: int = 0
    """How many rows or days in all."""
    value: float | None = None
    """The figure: a move as a fraction, a ratio, a count of bars; the sentence names its unit."""
    threshold: float | None = None
    score: float | None = None
    """MD09, MD19: distance from the median in MAD."""
    confirmed: bool | None = None
    """Whether a second source agrees; None: there is none for that day."""
    other: float | None = None
    """What the second source, or the other frequency, says: a close."""
    sentence: str


class Facts(BaseModel):
    """All that the policy needs to know about a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: int
    context_rows: int
    sessions_expected: int
    sessions_present: int
    findings: tuple[Finding, ...] = ()
    omitted: int = 0
    """Findings beyond the first MAX_FINDINGS of a rule."""


def row_finding(
    rule: Rule,
    table: Table,
    rows: Sequence[int],
    sentence: str,
    *,
    value: float | None = None,
    threshold: float | None = None,
) -> Finding:
    """A finding about rows of a table."""
    days = sorted({spelled(day) for row in rows if (day := table.days[row]) is not None})
    return Finding(
        rule=rule,
        dates=tuple(days),
        rows=tuple(rows),
        count=len(rows),
        value=value,
        threshold=threshold,
        sentence=sentence,
    )


def listed(names: Iterable[str]) -> str:
    """At most three names, then how many more."""
    every = list(names)
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
