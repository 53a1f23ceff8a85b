"""Side effects through the ledger: written down before the call, settled by asking when the answer is unclear."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol  # Any: JSON for a graph's state
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.actions import Action, Effect, EffectState
from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.runs import Claim
from tradeloop.errors import (
    AirflowForbidden,
    AirflowRefused,
    AirflowUnreachable,
    DagUnavailable,
    DecisionInvalid,
    EffectConflict,
    RunLost,
)
from tradeloop.ports import AirflowApi, DagRunView, EffectLedger

PREFLIGHT_KEPT_S: Final = 5.0
"""How long a DAG that could start is believed to: longer would show a paused DAG as startable."""
CONFLICT: Final = 409
NO_ANSWERS: Final = frozenset({408, 425, 429})
"""Refusals below 500 that say nothing of what was asked: time-out, too early, too many."""
MAX_DEPTH: Final = 8
"""A chain of decisions and events longer than this is a loop; a person looks at it."""


class Effector(Protocol):
    """Carries out one kind of action at its target."""

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Do it, or find it done; returns what the target says of it.

        Raises:
            EffectConflict: the target holds something else under our key.
            AirflowRefused: no, for good; its retriable subclasses: no, for now.
            AirflowUnreachable: no answer; whether it happened is not known.
        """
        ...


class TriggerDag:
    """Effect `trigger_dag`: one DAG run whose id is the decision's.

    Whatever is not a 200 is settled by reading the run of that id and comparing the digest in its conf: a 409 alone
    does not say that our run exists.
    """

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


def _is_final(problem: AirflowRefused) -> bool:
    """Whether the refusal of a POST is a definite no: 409 says that something exists, and 5xx says nothing."""
    return isinstance(problem, DagUnavailable) or (
        problem.status < 500 and problem.status not in NO_ANSWERS and problem.status != CONFLICT
    )


def _dag_run_id(effect: Effect) -> str:
    return str(effect.decision_id) if effect.slot == "act" else f"{effect.decision_id}.{effect.slot}"


def _conf(effect: Effect, cause: WorkflowEvent) -> dict[str, JsonValue]:
    return {
        **effect.action.params,
        "decision_id": str(effect.decision_id),
        "action_digest": effect.action.digest,
        "correlation_id": str(cause.correlation_id or cause.event_id),
        "causation_id": str(effect.decision_id),
        "depth": _depth(cause) + 1,
    }


def _depth(event: WorkflowEvent) -> int:
    depth = (event.metadata.model_extra or {}).get("chain_depth", 0)
    return depth if isinstance(depth, int) else 0


def _settled(effect: Effect, run: DagRunView) -> Mapping[str, JsonValue]:
    if run.conf.get("action_digest") != effect.action.digest:
        raise EffectConflict(f"DAG run {run.run_id} of {run.dag_id} exists with another action's digest")
    return {"dag_id": run.dag_id, "dag_run_id": run.run_id, "state": run.state}


class LedgeredActing:
    """workflow.Acting for one run: the only way from its graph to an effect."""

    def __init__(
        self,
        ledger: EffectLedger,
        effectors: Mapping[str, Effector],
        owner: UUID,
        claim: Claim,
        decision_id: UUID,
        event: WorkflowEvent,
    ) -> None:
        self._ledger = ledger
        self._effectors = effectors
        self._owner = owner
        self._claim = claim
        self._decision_id = decision_id
        self._event = event

    async def perform(self, slot: str, action: Action) -> dict[str, Any]:
        """Carry the action out, once, through the ledger; returns what became of it.

        Raises:
            RunLost: another worker owns the run.
            TradeloopError: with `retriable` set when the same call may succeed later.
        """
        effector = self._effectors.get(action.kind)
        if effector is None:
            raise DecisionInvalid(f"no effect is called {action.kind!r}; known: {', '.join(sorted(self._effectors))}")
        if _depth(self._event) >= MAX_DEPTH:
            raise DecisionInvalid(f"the chain of events and decisions is {MAX_DEPTH} long: a loop is likely")
        effect = await self._ledger.prepare(self._owner, self._claim, slot, self._decision_id, action)
        if effect.state in (EffectState.EXECUTED, EffectState.FAILED):
            return _view(effect, effect.state, effect.result, effect.error)
        if not await self._ledger.start(self._owner, self._claim, effect.key):
            raise RunLost(f"run {self._claim.run_id} belongs to another worker")
        try:
            result = await effector.execute(effect, self._event)
        except (AirflowForbidden, DagUnavailable) as problem:
            await self._ledger.block(effect.key, problem.message)
            raise
        except (AirflowRefused, EffectConflict) as problem:
            await self._ledger.finish(effect.key, executed=False, result={}, error=problem.message)
            return _view(effect, EffectState.FAILED, {}, problem.message)
        await self._ledger.finish(effect.key, executed=True, result=result, error="")
        return _view(effect, EffectState.EXECUTED, result, "")


def _view(effect: Effect, state: EffectState, result: Mapping[str, JsonValue], error: str) -> dict[str, Any]:
    return {
        "key": effect.key,
        "kind": effect.action.kind,
        "target": effect.action.target,
        "digest": effect.action.digest,
        "state": state.value,
        "result": dict(result),
        "error": error,
    }
