"""Airflow's Required Actions, as a ballot box: questions are put up, answers are read, nothing is decided there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from tradeloop.domain.approvals import Approval


@dataclass(frozen=True, slots=True)
class RequiredAction:
    """A question of a DAG run, as Airflow tells it."""

    run_id: str
    subject: str
    body: str
    options: tuple[str, ...]
    is_waiting: bool
    """Whether its task still waits; a task that was marked or failed is over without an answer."""
    is_answered: bool = False
    """Whether an answer was recorded (`response_received`); the task's success is none."""
    chosen: tuple[str, ...] = ()
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    """What was typed; Airflow checks none of it."""
    user_id: str = ""
    user_name: str = ""
    answered_at: datetime | None = None


class RequiredActions(Protocol):
    """Questions of one DAG; every call raises as AirflowApi does."""

    async def put_up(self, run_id: str, conf: Mapping[str, JsonValue]) -> None:
        """Start the run that asks; one run an id, however often it is called.

        Raises:
            DagUnavailable: Airflow has no such DAG.
        """
        ...

    async def waiting(self) -> Sequence[RequiredAction]:
        """Every question without a recorded answer."""
        ...

    async def of_run(self, run_id: str) -> RequiredAction | None:
        """The question as it stands; None when there is no run, or it has not asked yet, or it was cleared."""
        ...

    async def close(self, run_id: str, option: str) -> bool:
        """Answer it ourselves; False when somebody answered before, or it is gone."""
        ...

    async def tell(self, run_id: str, text: str) -> None:
        """Put a note on the run, for people; best effort."""
        ...


class RefusedAnswers(Protocol):
    """Answers that did not count, on record: who gave them and why they are none."""

    async def keep(self, approval: Approval, facts: Mapping[str, JsonValue]) -> None:
        """Add it to the audit of the approval's run; the same again changes nothing.

        `facts`: at least `by`, `channel`, `why` and `airflow_run`.
        """
        ...
