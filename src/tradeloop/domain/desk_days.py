"""What came to one desk on one day, counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts of a desk's day; all of them over the whole day, whatever is listed."""

    received: int = 0
    """Events that were taken in on the day."""
    decided: int = 0
    """Runs that ended with a decision on the day."""
    decided_of_earlier: int = 0
    """Those of them whose event was taken in before the day."""
    ended: dict[str, int] = field(default_factory=dict)
    """Runs that ended on the day without a decision, by state."""
    open: dict[str, int] = field(default_factory=dict)
    """Runs of events taken in by the end of the day that are still open now, by state."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Decisions of the day by outcome, the most frequent first."""
    decided_by: dict[str, int] = field(default_factory=dict)
    degraded: int = 0
    """Decisions that an agent should have made and policy had to."""
    effects: dict[str, int] = field(default_factory=dict)
    """What became of the decisions' actions, by state."""
    policies: tuple[str, ...] = ()
    """Policy versions that decided."""
    doubles: int = 0
    """Arrivals of the desk's events that changed nothing."""
    lanes: dict[str, int] = field(default_factory=dict)
    """Of the events taken in: by which lane they came."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    """Of the desk's runs, made on the day, by state."""
    median_s: float | None = None
    """From intake to decision."""
    slowest_s: float | None = None


def bounds(day: date) -> tuple[datetime, datetime]:
    """Beginning and end of a day in UTC."""
    since = datetime.combine(day, time(), UTC)
    return since, since + timedelta(days=1)
