"""What Airflow's REST API tells of runs, attempts at tasks, and its event log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Final  # Any: JSON of Airflow's answers
from urllib.parse import quote
from uuid import UUID

from tradeloop.airflow.client import PAGE, AirflowClient, dag_run_view, moment
from tradeloop.domain.canonical import utc_text
from tradeloop.errors import NotFound, TradeloopError
from tradeloop.ports import DagRunView, EventLogRow, TaskAttempt

INSTANT: Final = timedelta(microseconds=1)
LOG_S: Final = 5.0
"""How long one log is read: the sweep waits for it."""
LOG_BYTES: Final = 16_000_000
"""Of a longer log the beginning is read; the error is then seldom told."""
MAX_ERROR: Final = 2_000
"""Characters of an error's text: events go to many readers, the log itself stays in Airflow."""
ERROR_LEVELS: Final = ("error", "critical")


class AirflowRunHistory:
    """ports.RunHistory over HTTP."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    async def dag_runs(
        self, since: datetime, until: datetime, *, run_after: datetime | None = None
    ) -> list[DagRunView]:
        """Runs whose row changed with since <= time < until, in that order."""
        bound = {"run_after_gte": utc_text(run_after)} if run_after else {}
        rows = await self._all(
            "/dags/~/dagRuns",
            "dag_runs",
            updated_at_gte=utc_text(since),
            updated_at_lt=utc_text(until),
            order_by="updated_at",
            **bound,
        )
        return [dag_run_view(row) for row in rows]

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run of that id, None when Airflow says there is none."""
        return await self._client.dag_run(dag_id, run_id)

    async def event_log(self, since: datetime, until: datetime, events: Sequence[str]) -> list[EventLogRow]:
        """Rows of these events with since <= time < until, by time.

        Paged by time, by offset only inside one time stamp: rows that commit late cannot shift the pages.
        """
        found: dict[int, EventLogRow] = {}
        start, offset = since, 0
        while True:
            answer = await self._client.get(
                "/eventLogs",
                included_events=list(events),
                after=utc_text(start - INSTANT),  # Airflow's `after` is exclusive
                before=utc_text(until),
                order_by="when",
                limit=PAGE,
                offset=offset,
            )
            rows = [_event_log_row(row) for row in answer["event_logs"]]
            found.update({row.id: row for row in rows})
            if not rows or offset + len(rows) >= answer["total_entries"]:
                return list(found.values())
            last = rows[-1].at
            start, offset = (last, 0) if last > start else (start, offset + len(rows))

    async def task_instances(self, dag_id: str, run_id: str, *, since: datetime) -> list[TaskAttempt]:
        """The present attempt at each task of the run that changed since then; empty when the run is gone."""
        try:
            rows = await self._all(
                f"{_run_path(dag_id, run_id)}/taskInstances", "task_instances", updated_at_gte=utc_text(since)
            )
        except NotFound:
            return []
        return [_attempt(row) for row in rows]

    async def tries(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> list[TaskAttempt]:
        """All attempts at the task, without ids; one that is retried is told as failed."""
        task = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}"
        try:
            answer = await self._client.get(f"{task}/{map_index}/tries")
        except NotFound:
            return []
        return [_attempt(row) for row in answer["task_instances"]]

    async def attempt_error(self, attempt: TaskAttempt) -> str:
        """What the attempt's log says of its failure, secrets masked by Airflow; empty when it cannot be read."""
        task = f"{_run_path(attempt.dag_id, attempt.run_id)}/taskInstances/{quote(attempt.task_id, safe='')}"
        found, size = "", 0
        try:
            async with (
                asyncio.timeout(LOG_S),
                aclosing(
                    self._client.lines(f"{task}/logs/{attempt.try_number}", LOG_S, map_index=attempt.map_index)
                ) as lines,
            ):
                async for line in lines:
                    found, size = error_in(line, found), size + len(line)
                    if size > LOG_BYTES:
                        break
        except (TradeloopError, TimeoutError):
            pass  # told as far as it was read: an event is not kept back for its text
        return found

    async def _all(self, path: str, name: str, **params: Any) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await self._client.get(path, limit=PAGE, cursor=cursor, **params)
            found += answer[name]
            cursor = answer["next_cursor"]
        return found


def error_in(line: str, so_far: str = "") -> str:
    """The error that a line of a task's log tells: an exception by type and message before any other error's text."""
    try:
        told = json.loads(line)
    except ValueError:
        return so_far
    if not isinstance(told, dict) or str(told.get("level", "")).lower() not in ERROR_LEVELS:
        return so_far
    detail = told.get("error_detail")
    raised = detail[0] if isinstance(detail, list) and detail else None
    if isinstance(raised, dict):
        return bounded(f"{raised.get('exc_type', '')}: {raised.get('exc_value', '')}")
    return so_far or bounded(str(told.get("event", "")))


def bounded(text: str) -> str:
    """At most MAX_ERROR characters, all of which can be stored and published."""
    storable = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return storable if len(storable) <= MAX_ERROR else storable[: MAX_ERROR - 1] + "…"


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"


def _attempt(row: Mapping[str, Any]) -> TaskAttempt:
    return TaskAttempt(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        task_id=row["task_id"],
        map_index=row["map_index"],
        try_number=row["try_number"],
        state=row["state"] or "",
        id=UUID(row["id"]) if row.get("id") else None,
        max_tries=row["max_tries"],
        operator=row["operator_name"] or row["operator"] or "",
        start_at=moment(row["start_date"]),
        end_at=moment(row["end_date"]),
        duration_s=row["duration"],
    )


def _event_log_row(row: Mapping[str, Any]) -> EventLogRow:
    return EventLogRow(
        id=row["event_log_id"],
        at=datetime.fromisoformat(row["when"]),
        event=row["event"],
        dag_id=row["dag_id"] or "",
        run_id=row["run_id"] or "",
        task_id=row["task_id"] or "",
        map_index=-1 if row["map_index"] is None else row["map_index"],
        try_number=row["try_number"],
        extra=row["extra"] or "",
    )
