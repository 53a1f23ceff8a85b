"""A desk's day as it goes into a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any  # Any: JSON of events and checkpoints

from tradeloop.domain.desk_days import Coverage
from tradeloop.domain.runs import RunView
from tradeloop.report.chart import Chart, Table

Json = dict[str, Any]


class Source(StrEnum):
    """Where a case's facts come from."""

    CHECKPOINT = "as they were when it was decided"
    COMPUTED = "computed again from the event: its checkpoint is over its time"
    DECISION = "only what the decision recorded: checkpoint and event are over their time, or no desk here reads them"


@dataclass(frozen=True, slots=True)
class Case:
    """A run, its event and what was found about it."""

    run: RunView
    data: Json = field(default_factory=dict)
    """Of the event; empty when its bytes are over their time."""
    header: Json = field(default_factory=dict)
    facts: Json = field(default_factory=dict)
    """At least `{"findings": [...]}`, each with `id` and `sentence`."""
    source: Source = Source.CHECKPOINT

    @property
    def findings(self) -> list[Json]:
        """The findings, those with a form that nobody knows left out."""
        found = self.facts.get("findings")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list | tuple) else []

    @property
    def key(self) -> str:
        """What names the run on the page and in commands."""
        return str(self.run.decision_id)[:8]


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, the figures beside it, and what it is about."""

    chart: Chart
    table: Table
    case: Case | None = None
    """The one case that it shows; None: all cases of the day."""
    remarks: tuple[str, ...] = ()
    """What must be known to read it."""


@dataclass(frozen=True, slots=True)
class Day:
    """All that a report tells."""

    desk: str
    day: date
    coverage: Coverage
    cases: tuple[Case, ...]
    """The newest first."""
    runs: int
    """In all; more than there are cases where the list was cut."""
    made_at: datetime
    version: str = ""
    """Of this program."""
