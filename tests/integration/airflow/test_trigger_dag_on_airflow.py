"""The effect `trigger_dag` on the real Airflow: one decision, one DAG run."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from capture import eventually

from tradeloop import Action, WorkflowEvent
from tradeloop.airflow.client import AirflowClient
from tradeloop.domain.actions import Effect, EffectState
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, new_run_id
from tradeloop.effects.trigger_dag import TriggerDag
from tradeloop.engine.effects import LedgeredActing
from tradeloop.errors import DagUnavailable, EffectConflict
from tradeloop.ports import Arrival
from tradeloop.testing.store import MemoryStore

DAG, PAUSED = "edge_target", "edge_paused"


def event() -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "edge.asked",
            "timestamp": "2026-11-23T12:00:00Z",
            "source": "test",
            "workflow_id": "edge",
            "workflow_run_id": "1",
        }
    )


def effect(dag_id: str = DAG, decision_id: UUID | None = None, calls: int = 0, **params: str) -> Effect:
    return Effect(
        key="k",
        run_id=uuid4(),
        decision_id=decision_id or uuid4(),
        slot="act",
        action=Action(kind="trigger_dag", target=dag_id, params=params),
        state=EffectState.EXECUTING,
        calls=calls,
    )


@pytest.fixture
async def target(airflow: AirflowClient) -> AirflowClient:
    """Airflow, once both DAGs can be addressed."""

    async def is_there() -> bool:
        return not await airflow.dag_problem(DAG) and await airflow.dag_problem(PAUSED) == "paused"

    await eventually(is_there, "the DAGs")
    return airflow


async def runs_of(airflow: AirflowClient, decision_id: UUID) -> list[dict[str, Any]]:
    answer = await airflow.get(f"/dags/{DAG}/dagRuns", run_id_prefix_pattern=str(decision_id), limit=100)
    return [run for run in answer["dag_runs"] if run["dag_run_id"].startswith(str(decision_id))]


async def test_fifty_executions_at_once_make_one_run(target: AirflowClient) -> None:
    wanted, cause = effect(symbol="SPX"), event()

    results = await asyncio.gather(*(TriggerDag(target).execute(wanted, cause) for _ in range(50)))

    assert {result["dag_run_id"] for result in results} == {str(wanted.decision_id)}
    (run,) = await runs_of(target, wanted.decision_id)
    assert run["logical_date"] is None
    assert run["conf"] == {
        "symbol": "SPX",
        "decision_id": str(wanted.decision_id),
        "action_digest": wanted.action.digest,
        "correlation_id": str(cause.event_id),
        "causation_id": str(wanted.decision_id),
        "depth": 1,
    }


async def test_a_run_with_another_digest_under_our_id_is_a_conflict(target: AirflowClient) -> None:
    first = effect(symbol="SPX")
    await TriggerDag(target).execute(first, event())

    for calls in (0, 1):
        with pytest.raises(EffectConflict, match="another action's digest"):
            await TriggerDag(target).execute(effect(decision_id=first.decision_id, calls=calls, symbol="DAX"), event())


async def test_a_paused_dag_is_not_started_and_says_why(target: AirflowClient) -> None:
    wanted = effect(PAUSED)

    with pytest.raises(DagUnavailable, match="paused"):
        await TriggerDag(target).execute(wanted, event())

    assert await target.dag_run(PAUSED, str(wanted.decision_id)) is None


async def test_a_dag_that_does_not_exist_can_come_later(target: AirflowClient) -> None:
    with pytest.raises(DagUnavailable, match="missing") as refused:
        await TriggerDag(target).execute(effect("edge_not_written_yet"), event())

    assert refused.value.retriable


async def test_only_the_ledger_keeps_a_deleted_run_from_starting_again(target: AirflowClient) -> None:
    store, owner, cause = MemoryStore(), uuid4(), event()
    await store.enlist(owner, "test", 60)
    claim = await claimed(store, owner, cause)
    decision_id = uuid4()
    acting = LedgeredActing(store, {"trigger_dag": TriggerDag(target)}, owner, claim, decision_id, cause)
    action = Action(kind="trigger_dag", target=DAG)
    done = await acting.perform("act", action)
    await delete_run(target, str(decision_id))

    again = await acting.perform("act", action)

    assert (done["state"], again["state"]) == ("executed", "executed")
    assert await target.dag_run(DAG, str(decision_id)) is None


async def claimed(store: MemoryStore, owner: UUID, cause: WorkflowEvent) -> Claim:
    received = Received("events", uuid4(), 0, 0, b"k", cause.to_json().encode())
    arrival = Arrival(received, cause.event_id, cause.event_type, "desk", cause.subject, new_run_id())
    (claim,) = await store.accept("test", owner, [arrival], [], slots=1)
    return claim


async def delete_run(airflow: AirflowClient, run_id: str) -> None:
    async def is_over() -> bool:
        run = await airflow.dag_run(DAG, run_id)
        return run is not None and run.state == "success"

    await eventually(is_over, "the end of the run")  # Airflow 3.3 may answer 500 while it schedules what is deleted
    headers = {"Authorization": f"Bearer {await airflow._bearer()}"}
    (await airflow._http.delete(f"/api/v2/dags/{DAG}/dagRuns/{run_id}", headers=headers)).raise_for_status()
