"""Airflow's runs, tasks and event log in memory, with what Airflow (3.3) forgets and overwrites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from uuid import UUID

from tradeloop.errors import AirflowForbidden, AirflowUnreachable
from tradeloop.ports import DagRunView, EventLogRow, TaskAttempt

Key = tuple[str, str]
FINAL = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass
class _Task:
    now: TaskAttempt
    changed_at: datetime
    past: dict[int, TaskAttempt] = field(default_factory=dict)
    """By try number: Airflow keeps the first attempt of each, and no id."""


@dataclass
class _Run:
    view: DagRunView
    changed_at: datetime
    tasks: dict[tuple[str, int], _Task] = field(default_factory=dict)


@dataclass
class MemoryRunHistory:
    """ports.RunHistory, and what happens in an Airflow: runs begin and end, tasks fail, wait, are cleared."""

    is_away: bool = False
    is_forbidden: bool = False
    errors: dict[tuple[str, int], str] = field(default_factory=dict)
    """What the logs say, by task and try."""
    before_request: Callable[[], None] = lambda: None
    """Called before each call is answered: for what happens between two of them."""
    requests: list[str] = field(default_factory=list)
    _runs: dict[Key, _Run] = field(default_factory=dict)
    _log: list[EventLogRow] = field(default_factory=list)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def trigger(self, dag_id: str, run_id: str, at: datetime, conf: Mapping[str, object] | None = None) -> None:
        """A run is made and starts."""
        view = DagRunView(
            dag_id, run_id, "running", conf or {}, start_at=at, queued_at=at, run_after=at, run_type="manual"
        )
        self._runs[dag_id, run_id] = _Run(view, at)

    def end(self, dag_id: str, run_id: str, state: str, at: datetime) -> None:
        """The scheduler ends the run."""
        self._change_run(replace(self._runs[dag_id, run_id].view, state=state, end_at=at), at)

    def task(self, dag_id: str, run_id: str, task_id: str, state: str, at: datetime, map_index: int = -1) -> None:
        """The task comes into a state; what a task process reports of itself is logged, with its host."""
        task = self._task(dag_id, run_id, task_id, map_index, at)
        logged = state in ("running", "failed", "up_for_retry", "awaiting_input", "success")
        attempt = task.now
        if state == "running" and attempt.state != "awaiting_input":
            attempt = replace(attempt, try_number=attempt.try_number + 1, start_at=at, end_at=None)
        if state in FINAL or state == "up_for_retry":
            attempt = replace(attempt, start_at=attempt.start_at or at, end_at=attempt.end_at or at)
        task.now, task.changed_at = replace(attempt, state=state), at
        if logged:
            self._note(state, at, task.now, extra='{"host_name": "h"}')
        if state == "up_for_retry":
            self._archive(task)

    def scheduler_fails(self, dag_id: str, run_id: str, task_id: str, at: datetime, map_index: int = -1) -> None:
        """The task's process died: the scheduler logs `failed`, and lets it try again when it may."""
        task = self._task(dag_id, run_id, task_id, map_index, at)
        may = task.now.try_number <= task.now.max_tries
        task.now = replace(task.now, state="up_for_retry" if may else "failed", end_at=at)
        task.changed_at = at
        self._note("state mismatch", at, task.now, extra="the executor says success, the task says running")
        self._note("failed", at, task.now)
        if may:
            self._archive(task)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, at: datetime, map_index: int = -1) -> None:
        """A person sets the state; logged under the call's name, without a try."""
        task = self._task(dag_id, run_id, task_id, map_index, at)
        task.now = replace(task.now, state=state, start_at=task.now.start_at or at, end_at=task.now.end_at or at)
        task.changed_at = at
        self._note("patch_task_instance", at, replace(task.now, try_number=0))

    def clear(self, dag_id: str, run_id: str, at: datetime, task_ids: Sequence[str] = ()) -> None:
        """A person clears these tasks, or all: new ids, the attempts go into the history, the run begins again."""
        run = self._runs[dag_id, run_id]
        self._log.append(EventLogRow(next(self._ids), at, "clear_dag_run", dag_id, run_id))
        for (task_id, _), task in run.tasks.items():
            if not task_ids or task_id in task_ids:
                self._archive(task)
                task.now, task.changed_at = replace(task.now, state="", max_tries=task.now.try_number + 1), at
        began = at if run.view.end_at else run.view.start_at
        self._change_run(replace(run.view, state="queued", queued_at=at, start_at=began, end_at=None), at)

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """DELETE dagRuns: its tasks go with it, its log stays."""
        del self._runs[dag_id, run_id]

    def set_tries(self, dag_id: str, run_id: str, task_id: str, retries: int, at: datetime) -> None:
        """Declare the task's retries."""
        task = self._task(dag_id, run_id, task_id, -1, at)
        task.now = replace(task.now, max_tries=retries)

    async def dag_runs(
        self, since: datetime, until: datetime, *, run_after: datetime | None = None
    ) -> list[DagRunView]:
        """Runs whose row changed in this time."""
        self._answer("dag_runs")
        found = [run for run in self._runs.values() if since <= run.changed_at < until]
        views = [run.view for run in sorted(found, key=lambda run: run.changed_at)]
        return [v for v in views if run_after is None or v.run_after is None or v.run_after >= run_after]

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run of that id."""
        self._answer("dag_run")
        run = self._runs.get((dag_id, run_id))
        return run.view if run else None

    async def event_log(self, since: datetime, until: datetime, events: Sequence[str]) -> list[EventLogRow]:
        """Rows of these events, by time."""
        self._answer("event_log")
        return sorted((r for r in self._log if since <= r.at < until and r.event in events), key=lambda r: r.at)

    async def task_instances(self, dag_id: str, run_id: str, *, since: datetime) -> list[TaskAttempt]:
        """The present attempt at each task that changed since then."""
        self._answer("task_instances")
        run = self._runs.get((dag_id, run_id))
        return [task.now for task in run.tasks.values() if task.changed_at >= since] if run else []

    async def tries(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> list[TaskAttempt]:
        """All attempts at the task, without ids."""
        self._answer("tries")
        run = self._runs.get((dag_id, run_id))
        task = run.tasks.get((task_id, map_index)) if run else None
        if task is None:
            return []
        present = [] if task.now.state == "up_for_retry" else [replace(task.now, id=None)]
        return [*task.past.values(), *present]

    async def attempt_error(self, attempt: TaskAttempt) -> str:
        """What the attempt's log says."""
        self.requests.append("attempt_error")
        return self.errors.get((attempt.task_id, attempt.try_number), "")

    def _archive(self, task: _Task) -> None:
        state = task.now.state if task.now.state in FINAL else "failed"
        task.past.setdefault(task.now.try_number, replace(task.now, state=state, id=None))
        task.now = replace(task.now, id=self._new_id())

    def _task(self, dag_id: str, run_id: str, task_id: str, map_index: int, at: datetime) -> _Task:
        tasks = self._runs[dag_id, run_id].tasks
        if (task_id, map_index) not in tasks:
            made = TaskAttempt(dag_id, run_id, task_id, map_index, 0, "", id=self._new_id(), operator="PythonOperator")
            tasks[task_id, map_index] = _Task(made, at)
        return tasks[task_id, map_index]

    def _new_id(self) -> UUID:
        return UUID(int=next(self._ids))

    def _change_run(self, view: DagRunView, changed_at: datetime) -> None:
        run = self._runs[view.dag_id, view.run_id]
        run.view, run.changed_at = view, changed_at

    def _note(self, event: str, at: datetime, of: TaskAttempt, extra: str = "") -> None:
        place = (of.dag_id, of.run_id, of.task_id, of.map_index)
        self._log.append(EventLogRow(next(self._ids), at, event, *place, of.try_number, extra))

    def _answer(self, call: str) -> None:
        self.requests.append(call)
        self.before_request()
        if self.is_away:
            raise AirflowUnreachable("Airflow does not answer")
        if self.is_forbidden:
            raise AirflowForbidden("Airflow answered 403: Forbidden", status=403)
