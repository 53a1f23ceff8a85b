"""The events that Airflow's own life makes, without any task saying a word."""

from __future__ import annotations

from enum import StrEnum


class LifecycleType(StrEnum):
    """What becomes of DAG runs and of attempts at tasks."""

    WORKFLOW_TRIGGERED = "workflow.triggered"
    WORKFLOW_COMPLETED = "workflow.completed"
    WORKFLOW_FAILED = "workflow.failed"
    TASK_FAILED = "task.failed"
    TASK_RETRIED = "task.retried"
    TASK_SKIPPED = "task.skipped"
    TASK_AWAITING_INPUT = "task.awaiting_input"
