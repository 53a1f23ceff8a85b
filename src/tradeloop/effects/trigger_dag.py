"""Effect `trigger_dag`: one DAG run whose id is the decision's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import JsonValue

from tradeloop.domain.actions import Effect, EffectState, TargetClass
from tradeloop.domain.events import WorkflowEvent
from tradeloop.effects.effector import provenance
from tradeloop.errors import (
    AirflowForbidden,
    AirflowRefused,
    AirflowUnreachable,
    DagUnavailable,
    EffectConflict,
    OutcomeUnknown,
)
from tradeloop.ports import AirflowApi, DagRunView

PREFLIGHT_KEPT_S: Final = 5.0
"""How long a DAG that could start is believed to: longer would show a paused DAG as startable."""
CONFLICT: Final = 409
NO_ANSWERS: Final = frozenset({408, 425, 429})
"""Refusals below 500 that say nothing of what was asked: time-out, too early, too many."""
MAY_BE_DELETED_AFTER: Final = timedelta(hours=24)
"""A run that an unanswered call made may have been deleted by then (`airflow db clean`), and would start again."""


class TriggerDag:
    """Starts one DAG run; Airflow keeps its id unique.

    Whatever is not a 200 is settled by reading the run of that id and comparing the digest in its conf: a 409 alone
    does not say that our run exists.
    """

    kind = "trigger_dag"
    target_class = TargetClass.KEYED

    def __init__(self, airflow: AirflowApi) -> None:
        self._airflow = airflow
        self._startable: dict[str, float] = {}

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Start the run, or find it started."""
        dag_id, run_id = effect.action.target, _dag_run_id(effect)
        if effect.calls > 0:
            found = await self._find(dag_id, run_id)
            if found is not None:
                return _settled(effect, found)
            if _is_long_unanswered(effect):
                raise OutcomeUnknown(f"DAG run {run_id} of {dag_id} is not there; it may have been, and been deleted")
        await self._preflight(dag_id)
        try:
            return _settled(effect, await self._airflow.trigger_dag(dag_id, run_id, _conf(effect, cause)))
        except AirflowForbidden:
            raise
        except (AirflowRefused, AirflowUnreachable) as problem:
            found = await self._find(dag_id, run_id)
            if found is not None:
                return _settled(effect, found)
            if isinstance(problem, AirflowRefused) and not _is_final(problem):
                raise AirflowUnreachable(f"{problem.message}; there is no run {run_id}: asked again") from problem
            raise

    async def _find(self, dag_id: str, run_id: str) -> DagRunView | None:
        try:
            return await self._airflow.dag_run(dag_id, run_id)
        except AirflowForbidden:
            raise
        except AirflowRefused as problem:  # a question that is refused does not say that nothing happened
            raise AirflowUnreachable(f"whether DAG run {run_id} exists is not known: {problem.message}") from problem

    async def _preflight(self, dag_id: str) -> None:
        if time.monotonic() - self._startable.get(dag_id, -PREFLIGHT_KEPT_S) < PREFLIGHT_KEPT_S:
            return
        try:
            problem = await self._airflow.dag_problem(dag_id)
        except AirflowForbidden:
            raise
        except AirflowRefused as refusal:
            problem = refusal.message
        if problem:
            self._startable.pop(dag_id, None)
            raise DagUnavailable(f"DAG {dag_id}: {problem}", hint="the run is started as soon as the DAG can be")
        self._startable[dag_id] = time.monotonic()


def _is_long_unanswered(effect: Effect) -> bool:
    """Whether a call was left open for long; one that a person wants done (`prepared`) is not open any more."""
    at = effect.executing_at
    return effect.state is EffectState.EXECUTING and at is not None and datetime.now(UTC) - at > MAY_BE_DELETED_AFTER


def _is_final(problem: AirflowRefused) -> bool:
    """Whether the refusal of a POST is a definite no: 409 says that something exists, and 5xx says nothing."""
    return isinstance(problem, DagUnavailable) or (
        problem.status < 500 and problem.status not in NO_ANSWERS and problem.status != CONFLICT
    )


def _dag_run_id(effect: Effect) -> str:
    return str(effect.decision_id) if effect.slot == "act" else f"{effect.decision_id}.{effect.slot}"


def _conf(effect: Effect, cause: WorkflowEvent) -> dict[str, JsonValue]:
    return {**effect.action.params, **provenance(effect, cause)}


def _settled(effect: Effect, run: DagRunView) -> Mapping[str, JsonValue]:
    if run.conf.get("action_digest") != effect.action.digest:
        raise EffectConflict(f"DAG run {run.run_id} of {run.dag_id} exists with another action's digest")
    return {"dag_id": run.dag_id, "dag_run_id": run.run_id, "state": run.state}
