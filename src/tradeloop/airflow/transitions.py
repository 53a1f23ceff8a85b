"""From rows of Airflow to lifecycle events: which event a row tells of, under which id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final  # Any: JSON of an event
from uuid import UUID

from tradeloop.airflow.outlet import TRACEPARENT
from tradeloop.domain.canonical import utc_text
from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.domain.runs import derive_id
from tradeloop.ports import DagRunView, TaskAttempt

OF_RUN: Final = {"success": LifecycleType.WORKFLOW_COMPLETED, "failed": LifecycleType.WORKFLOW_FAILED}
OF_TASK: Final = {
    "failed": LifecycleType.TASK_FAILED,
    "up_for_retry": LifecycleType.TASK_RETRIED,
    "skipped": LifecycleType.TASK_SKIPPED,
    "awaiting_input": LifecycleType.TASK_AWAITING_INPUT,
}
ENDED_BADLY: Final = ("failed", "up_for_retry")
"""An attempt ends in one of these, never in both: they share a binding, whatever a log's word for them is."""
MAX_NAMES: Final = 50
"""Tasks that an event lists by name; a run may have thousands."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A run or an attempt came into a state that is announced."""

    event_id: UUID
    type: LifecycleType
    at: datetime
    run: DagRunView
    attempt: TaskAttempt | None = None
    binding: UUID | None = None
    """Names the attempt for both of its sources: the live row, which has the task instance's id, and the history."""
    tasks: Sequence[TaskAttempt] = ()
    """Of a run that ended: its tasks."""
    note: str = ""
    """What the scheduler wrote of it: all there is to read when the task's process died."""

    @property
    def is_recovered(self) -> bool:
        """Whether only the history told of it: Airflow had overwritten the live row."""
        return self.attempt is not None and self.attempt.id is None

    @property
    def place(self) -> tuple[int, datetime]:
        """Order of a run's events: its beginning, its tasks, its end."""
        phase = 1 if self.attempt else 0 if self.type is LifecycleType.WORKFLOW_TRIGGERED else 2
        return phase, self.at


def of_run(run: DagRunView, instance: str) -> list[Transition]:
    """That the run was triggered, and how it ended when it has: both when nobody looked in between."""
    found = []
    began = run.queued_at or run.run_after or run.start_at
    if began:
        event_id = derive_id(instance, run.dag_id, run.run_id, "triggered", utc_text(began))
        found.append(Transition(event_id, LifecycleType.WORKFLOW_TRIGGERED, began, run))
    if run.state in OF_RUN and run.end_at:
        event_id = derive_id(instance, run.dag_id, run.run_id, run.state, utc_text(run.end_at))
        found.append(Transition(event_id, OF_RUN[run.state], run.end_at, run))
    return found


def of_attempt(attempt: TaskAttempt, run: DagRunView, instance: str, at: datetime | None = None) -> list[Transition]:
    """What the attempt's state announces; nothing for the states of ordinary life."""
    if attempt.state not in OF_TASK:
        return []
    told_at = at or attempt.end_at or attempt.start_at or run.end_at or run.start_at or run.queued_at or run.run_after
    if told_at is None:
        return []
    place = (attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index, attempt.try_number)
    event_id = (
        derive_id(instance, attempt.id, attempt.state) if attempt.id else derive_id(instance, *place, attempt.state)
    )
    kind = "ended" if attempt.state in ENDED_BADLY else attempt.state
    binding = derive_id(instance, "attempt", *place, kind)
    return [Transition(event_id, OF_TASK[attempt.state], told_at, run, attempt, binding)]


def event_of(transition: Transition, environment: str, error: str = "") -> WorkflowEvent:
    """The event that announces it.

    Raises:
        ValueError: Airflow has a name that no event can carry.
    """
    run, attempt = transition.run, transition.attempt
    data = _of_task(attempt, error) if attempt else _of_run(run, transition.tasks)
    metadata: dict[str, Any] = {"environment": environment, **_depth(run)}
    if transition.is_recovered:
        metadata["recovered"] = True
    return WorkflowEvent.model_validate(
        {
            "event_id": transition.event_id,
            "event_type": transition.type.value,
            "timestamp": transition.at,
            "source": "airflow",
            "workflow_id": run.dag_id,
            "workflow_run_id": run.run_id,
            "payload": {"data": {**data, **_decision(run)}},
            "metadata": metadata,
            "correlation_id": _uuid(run.conf.get("correlation_id")),
            "causation_id": _uuid(run.conf.get("causation_id")),
        }
    )


def traceparent_of(run: DagRunView) -> str:
    """The trace that the run belongs to; empty when it was started without one."""
    given = str(run.conf.get("traceparent") or "")
    return given if TRACEPARENT.fullmatch(given) else ""


def _of_task(attempt: TaskAttempt, error: str) -> dict[str, Any]:
    data = {
        "task_id": attempt.task_id,
        "map_index": attempt.map_index,
        "try_number": attempt.try_number,
        "max_tries": attempt.max_tries,
        "state": attempt.state,
        "operator": attempt.operator,
        **_times(attempt.start_at, attempt.end_at, attempt.duration_s),
    }
    return data | ({"error": error} if error else {})


def _of_run(run: DagRunView, tasks: Sequence[TaskAttempt]) -> dict[str, Any]:
    data = {
        "state": run.state,
        "run_type": run.run_type,
        "triggered_by": run.triggered_by,
        "queued_at": utc_text(run.queued_at) if run.queued_at else None,
        **_times(run.start_at, run.end_at, None),
    }
    if run.state == "failed":
        for state in ("failed", "upstream_failed"):
            names = sorted({task.task_id for task in tasks if task.state == state})
            data[f"{state}_tasks"] = names[:MAX_NAMES]
    return data


def _times(start: datetime | None, end: datetime | None, duration_s: float | None) -> dict[str, Any]:
    took = duration_s if duration_s is not None or not (start and end) else (end - start).total_seconds()
    return {
        "start_at": utc_text(start) if start else None,
        "end_at": utc_text(end) if end else None,
        "duration_s": took,
    }


def _decision(run: DagRunView) -> dict[str, Any]:
    """The decision that started the run, when one did."""
    decision_id = _uuid(run.conf.get("decision_id"))
    return {"decision_id": decision_id} if decision_id else {}


def _depth(run: DagRunView) -> dict[str, int]:
    """The chain's length goes on: the engine stops a chain of decisions and runs that has become too long."""
    depth = run.conf.get("depth")
    return {"chain_depth": depth} if isinstance(depth, int) and not isinstance(depth, bool) and depth > 0 else {}


def _uuid(given: object) -> str | None:
    try:
        return str(UUID(given)) if isinstance(given, str) else None
    except ValueError:
        return None
