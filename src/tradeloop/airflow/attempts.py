"""Which attempts at a run's tasks are to be announced: the live rows, and what only the history still knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from tradeloop.airflow.transitions import ENDED_BADLY, OF_TASK, Transition, of_attempt
from tradeloop.ports import DagRunView, EventLogRow, RunHistory, TaskAttempt

EXACT: Final = ("failed", "up_for_retry", "awaiting_input")
"""Rows that are one attempt's change of state, written in its transaction."""
CLEARING: Final = ("clear_dag_run", "post_clear_task_instances")
HINTS: Final = (
    *CLEARING,
    "patch_dag_run",
    "patch_task_instance",
    "patch_task_group_instances",
    "update_hitl_detail",
    "state mismatch",
    "heartbeat timeout",
    "stuck in queued tries exceeded",
    "fail task",
    "skip task",
)
"""Rows after which the run's tasks are looked at. What people do is logged, and committed, before it is done."""
NOTES: Final = ("state mismatch", "heartbeat timeout", "stuck in queued tries exceeded", "fail task")
"""Rows that say why the scheduler ended an attempt."""
EVENTS: Final = (*EXACT, *HINTS)
SLACK: Final = timedelta(minutes=1)
"""Stamps of one transaction differ by the time between its statements."""
MOST_CLEARED: Final = 100
"""Tasks whose earlier attempts are read after a clear: one request each."""


class Attempts:
    """Reads a run's tasks, once and only as far as they changed."""

    def __init__(self, history: RunHistory, instance: str) -> None:
        self._history = history
        self._instance = instance

    async def of_ended(self, run: DagRunView, since: datetime) -> list[TaskAttempt]:
        """The tasks of a run that has ended, as far as they belong to this pass through it.

        A clear renews `queued_at`, one of a run that had ended `start_at` too: tasks that it left alone are older.
        """
        began = min(at for at in (run.queued_at, run.start_at, since) if at)
        return await self._history.task_instances(run.dag_id, run.run_id, since=began - SLACK)

    async def told(self, run: DagRunView, rows: Sequence[EventLogRow], since: datetime) -> list[Transition]:
        """What these rows of the event log, all of this run, announce."""
        first = min(row.at for row in rows)
        live = await self._history.task_instances(run.dag_id, run.run_id, since=first - SLACK)
        by_place = {(attempt.task_id, attempt.map_index): attempt for attempt in live}
        at = {(row.task_id, row.map_index, row.try_number, row.event): row.at for row in rows}
        found = [
            transition
            for a in live
            for transition in self.announce(a, run, at.get((a.task_id, a.map_index, a.try_number, a.state)))
        ]
        for row in rows:
            if row.event in EXACT and row.task_id and row.try_number is not None:
                attempt = by_place.get((row.task_id, row.map_index))
                if attempt is None or not _is_of(row, attempt):
                    found += await self._overwritten(run, row)
        if any(row.event in CLEARING for row in rows):
            found += await self._cleared(run, live, since)
        notes = {(row.task_id, row.map_index, row.try_number): row.extra for row in rows if row.event in NOTES}
        return [replace(known, note=notes.get(_place(known.attempt), "")) for known in found]

    def announce(self, attempt: TaskAttempt, run: DagRunView, at: datetime | None = None) -> list[Transition]:
        """What the attempt's present state announces."""
        return of_attempt(attempt, run, self._instance, at)

    async def _overwritten(self, run: DagRunView, row: EventLogRow) -> list[Transition]:
        """An attempt that the live row does not show any more; the history has its times."""
        tries = await self._history.tries(run.dag_id, run.run_id, row.task_id, row.map_index)
        told = next((attempt for attempt in tries if attempt.try_number == row.try_number), None)
        past = told or TaskAttempt(run.dag_id, run.run_id, row.task_id, row.map_index, row.try_number or 0, row.event)
        state = row.event
        if state == "failed" and not _is_from_task(row) and told and told.try_number <= told.max_tries:
            state = "up_for_retry"  # the scheduler writes `failed`, whether it lets the task try again or not
        return self.announce(replace(past, id=None, state=state), run, row.at)

    async def _cleared(self, run: DagRunView, live: Sequence[TaskAttempt], since: datetime) -> list[Transition]:
        """Attempts that ended in this window and were cleared before anybody looked.

        Older ones were told at their time; who remembers them may have forgotten it.
        """
        found: list[Transition] = []
        for attempt in live[:MOST_CLEARED]:
            for past in await self._history.tries(run.dag_id, run.run_id, attempt.task_id, attempt.map_index):
                is_past = (past.try_number, past.state) != (attempt.try_number, attempt.state)
                if is_past and past.state == "skipped" and past.end_at and past.end_at >= since:
                    found += self.announce(replace(past, id=None), run)
        return found


def _place(attempt: TaskAttempt | None) -> tuple[str, int, int | None]:
    return (attempt.task_id, attempt.map_index, attempt.try_number) if attempt else ("", -1, None)


def _is_of(row: EventLogRow, attempt: TaskAttempt) -> bool:
    """Whether the live row shows the very state that the log tells of."""
    if attempt.try_number != row.try_number or attempt.state not in OF_TASK:
        return False
    either = row.event == "failed" and not _is_from_task(row)
    return attempt.state in ENDED_BADLY if either else attempt.state == row.event


def _is_from_task(row: EventLogRow) -> bool:
    """Whether the task itself reported the state: the API server then notes the host, the scheduler nothing."""
    return "host_name" in row.extra
