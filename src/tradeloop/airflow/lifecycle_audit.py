"""Airflow's ended runs against the inbox: whether each one's end was told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final  # Any: JSON for people's tools

from tradeloop.airflow.transitions import OF_RUN, of_run
from tradeloop.ports import CaptureHistory, RunHistory
from tradeloop.settings import Settings

PENDING: Final = timedelta(seconds=20)
"""A run that ended later may still be on its way: longer than the time between two whole looks."""


@dataclass(frozen=True)
class LifecycleReport:
    """Runs that ended in the window, as Airflow shows them now: an end that was cleared is not compared any more."""

    ended: int = 0
    told: int = 0
    pending: int = 0
    missing: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every run's end was told."""
        return not self.missing

    def as_json(self) -> dict[str, Any]:
        """For stdout."""
        return asdict(self) | {"is_complete": self.is_complete}


async def audit_lifecycle(
    runs: RunHistory, store: CaptureHistory, settings: Settings, since: datetime, now: datetime
) -> LifecycleReport:
    """Compare the runs that ended with since <= time < now, of the DAGs and types that the settings choose."""
    ends = {
        end.event_id: end
        for run in await runs.dag_runs(since, now)
        if run.state in OF_RUN and settings.tells_of(run.dag_id)
        for end in of_run(run, settings.instance)
        if end.type in OF_RUN.values() and end.type in settings.lifecycle_types and since <= end.at < now
    }
    found = {known.event_id for known in await store.accepted(list(ends))} | await store.buried(list(ends))
    absent = [end for event_id, end in ends.items() if event_id not in found]
    pending = [end for end in absent if end.at > now - PENDING]
    return LifecycleReport(
        ended=len(ends),
        told=len(found),
        pending=len(pending),
        missing=[f"{end.run.dag_id}/{end.run.run_id}" for end in absent if end not in pending],
    )
