"""What Airflow tells, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class AssetEventRow:
    """One asset event of Airflow's history, as its REST API tells it."""

    id: int
    asset_name: str
    timestamp: datetime
    extra: Mapping[str, object]
    source_dag_id: str
    source_run_id: str
    source_task_id: str
    source_map_index: int


@dataclass(frozen=True, slots=True)
class AssetEventPage:
    """Some rows of a window, and how many the whole window has."""

    rows: Sequence[AssetEventRow]
    total: int


@dataclass(frozen=True, slots=True)
class DagRunView:
    """A DAG run, as Airflow tells it."""

    dag_id: str
    run_id: str
    state: str
    conf: Mapping[str, object]
    start_at: datetime | None = None
    end_at: datetime | None = None
    """New at each end."""
    queued_at: datetime | None = None
    """New at each clear."""
    run_after: datetime | None = None
    run_type: str = ""
    triggered_by: str = ""


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """One attempt at a task of a run, as Airflow tells it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    """0 until the task was first scheduled: no identity of an attempt that was skipped or cleared."""
    state: str
    id: UUID | None = None
    """The task instance's: new at each retry and each clear. None when only the history tells of the attempt."""
    max_tries: int = 0
    operator: str = ""
    start_at: datetime | None = None
    end_at: datetime | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class EventLogRow:
    """One row of Airflow's event log (its audit log); fields that a row does not have are empty."""

    id: int
    at: datetime
    event: str
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    try_number: int | None = None
    extra: str = ""


class RunHistory(Protocol):
    """What Airflow's public REST API tells of runs and tasks; raises as AirflowApi does."""

    async def dag_runs(
        self, since: datetime, until: datetime, *, run_after: datetime | None = None
    ) -> list[DagRunView]:
        """Runs whose row changed with since <= time < until, in that order; `run_after` bounds their own time below.

        Only the last change of a row counts, and Airflow does not tell when it was.
        """
        ...

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run of that id, None when Airflow says there is none."""
        ...

    async def event_log(self, since: datetime, until: datetime, events: Sequence[str]) -> list[EventLogRow]:
        """Rows of these events with since <= time < until, by time."""
        ...

    async def task_instances(self, dag_id: str, run_id: str, *, since: datetime) -> list[TaskAttempt]:
        """The present attempt at each task of the run that changed since then; empty when the run is gone."""
        ...

    async def tries(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> list[TaskAttempt]:
        """All attempts at the task, without ids; one that is retried is told as failed."""
        ...

    async def attempt_error(self, attempt: TaskAttempt) -> str:
        """What the attempt's log says of its failure, secrets masked by Airflow; empty when it cannot be read."""
        ...


class AirflowApi(Protocol):
    """The part of Airflow's public REST API that tradeloop uses.

    Every call raises AirflowUnreachable (no answer), AirflowForbidden (401, 403) or AirflowRefused (another no).
    """

    async def asset_events(self, since: datetime, until: datetime, *, limit: int, offset: int = 0) -> AssetEventPage:
        """Events of assets named `tradeloop*` with since <= timestamp < until, by timestamp and id.

        Airflow may give fewer than `limit` though more follow (`[api] maximum_page_limit`): the total tells.
        """
        ...

    async def oldest_asset_event_at(self) -> datetime | None:
        """Time of the oldest row that Airflow keeps."""
        ...

    async def holds_back_rows(self) -> bool:
        """Whether a run that an asset event caused is still queued: until it starts, the event's row answers 500."""
        ...

    async def missing_permissions(self) -> list[str]:
        """What the account may not do of what tradeloop reads; empty when all is well."""
        ...

    async def visible_dags(self) -> list[str]:
        """Ids of the DAGs that the account can read: Airflow hides the rows of all others without an error."""
        ...

    async def trigger_dag(self, dag_id: str, run_id: str, conf: Mapping[str, JsonValue]) -> DagRunView:
        """POST dagRuns with that id and `logical_date` null."""
        ...

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run of that id, None when Airflow says there is none."""
        ...

    async def dag_problem(self, dag_id: str) -> str:
        """Why a run of this DAG would not start now (missing, paused, stale, import error); empty when it would."""
        ...
