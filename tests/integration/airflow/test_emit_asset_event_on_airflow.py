"""The effect `emit_asset_event` on the real Airflow: found again by its key, and seen by the DAG that waits for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from capture import eventually

from tradeloop import Action, WorkflowEvent
from tradeloop.airflow.client import AirflowClient
from tradeloop.domain.actions import Effect, EffectState
from tradeloop.effects.asset_event import MARK, EmitAssetEvent
from tradeloop.errors import AirflowUnreachable, EffectBlocked, EffectRefused

READY = "edge/prices_ready"


def effect(name: str = READY, **params: Any) -> Effect:
    return Effect(
        key=uuid4().hex * 2,
        run_id=uuid4(),
        decision_id=uuid4(),
        slot="act",
        action=Action(kind="emit_asset_event", target=name, params=params),
        state=EffectState.EXECUTING,
        prepared_at=datetime.now(UTC),
    )


def cause() -> WorkflowEvent:
    return WorkflowEvent(
        event_id=uuid4(),
        event_type="edge.asked",
        timestamp=datetime.now(UTC),
        source="test",
        workflow_id="edge",
        workflow_run_id="1",
    )


@pytest.fixture
async def target(airflow: AirflowClient) -> AirflowClient:
    """Airflow, once it knows the asset."""

    async def is_known() -> bool:
        return await airflow.asset_id(READY) is not None

    await eventually(is_known, f"asset {READY}")
    return airflow


async def found(emitting: EmitAssetEvent, wanted: Effect) -> Any:
    """The effect as Airflow tells it, once it can: as long as the run that it caused is queued, it answers 500."""

    async def look() -> Any:
        try:
            return await emitting.find(wanted)
        except AirflowUnreachable:
            return None

    return await eventually(look, "the event")


async def test_an_emitted_event_starts_the_dag_and_is_found_by_its_key(target: AirflowClient) -> None:
    emitting, wanted = EmitAssetEvent(target), effect(rows=22, password="kept")

    assert await emitting.find(wanted) is None
    made = await emitting.execute(wanted, cause())
    assert made == await found(emitting, wanted)

    async def has_run() -> bool:
        runs = await target.get("/dags/edge_scheduled_on_asset/dagRuns", limit=1)
        return bool(runs["total_entries"]) and not await target.holds_back_rows()

    await eventually(has_run, "the DAG that is scheduled on the asset")
    asset_id = await target.asset_id(READY)
    assert asset_id is not None
    ((event_id, extra),) = [
        row
        for row in await target.extras_of(asset_id, wanted.prepared_at or datetime.now(UTC), limit=100, offset=0)
        if row[1].get(MARK) == wanted.key
    ]
    assert (event_id, extra["rows"]) == (made["asset_event_id"], 22)
    assert extra["decision_id"] == str(wanted.decision_id)


async def test_an_event_whose_answer_was_lost_is_found_and_not_made_again(target: AirflowClient) -> None:
    wanted = effect()

    class Losing(AirflowClient):
        async def create_asset_event(self, asset_id: int, extra: Any) -> int:
            await super().create_asset_event(asset_id, extra)
            raise AirflowUnreachable("the answer was lost")

    async with Losing(target._url, target._username, target._password) as losing:
        with pytest.raises(AirflowUnreachable):
            await EmitAssetEvent(losing).execute(wanted, cause())

    assert await found(EmitAssetEvent(target), wanted)


async def test_an_asset_that_no_dag_has_can_come_and_one_of_ours_is_refused(target: AirflowClient) -> None:
    for name in ("edge/prices", "edge/prices_ready_not", "no such asset"):
        with pytest.raises(EffectBlocked, match="no DAG of Airflow has an asset"):
            await EmitAssetEvent(target).execute(effect(name), cause())
    with pytest.raises(EffectRefused, match="would answer itself"):
        await EmitAssetEvent(target).execute(effect("tradeloop.edge.rest"), cause())
