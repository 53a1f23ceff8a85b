"""The effect `emit_asset_event` against an Airflow in memory: one event, found again by its key."""

from __future__ import annotations

from typing import Any

import pytest
from hand import DECISION, Hand

from tradeloop import Action
from tradeloop.domain.actions import TargetClass
from tradeloop.effects import asset_event
from tradeloop.effects.asset_event import MARK, EmitAssetEvent
from tradeloop.engine import effects
from tradeloop.errors import (
    AirflowForbidden,
    AirflowRefused,
    AirflowUnreachable,
    EffectBlocked,
    NotFound,
    OutcomeUnknown,
)
from tradeloop.testing.airflow import MemoryAirflow

READY = Action(kind="emit_asset_event", target="prices/ready", params={"rows": 22})


class Failing(MemoryAirflow):
    """Breaks one post off, before or after the event was made."""

    before: list[Exception]
    after: list[Exception]

    async def create_asset_event(self, asset_id: int, extra: Any) -> int:
        if self.before:
            raise self.before.pop()
        made = await super().create_asset_event(asset_id, extra)
        if self.after:
            raise self.after.pop()
        return made


@pytest.fixture
async def hand() -> Hand:
    airflow = Failing(assets=["prices/ready", "tradeloop.prices"])
    airflow.before, airflow.after = [], []
    found = await Hand(EmitAssetEvent(airflow)).begin()
    found.airflow = airflow
    return found


async def test_the_event_carries_the_params_the_decision_and_the_key(hand: Any) -> None:
    view = await hand.perform(READY)
    (row,) = hand.airflow.foreign
    assert view["result"] == {"asset": "prices/ready", "asset_event_id": row.id}
    assert row.extra == {
        "rows": 22,
        "decision_id": str(DECISION),
        "action_digest": READY.digest,
        "correlation_id": str(hand.cause.event_id),
        "causation_id": str(DECISION),
        "depth": 1,
        MARK: hand.effect.key,
        "from_rest_api": True,
    }
    assert await hand.perform(READY) == view


@pytest.mark.parametrize("name", ["tradeloop.prices", "tradeloop"])
async def test_an_asset_that_carries_events_to_us_is_refused(hand: Any, name: str) -> None:
    view = await hand.perform(Action(kind="emit_asset_event", target=name))
    assert view["state"] == "failed"
    assert "would answer itself" in view["error"]
    assert hand.airflow.requests == 0


@pytest.mark.parametrize(
    "problem", [AirflowUnreachable("reset"), AirflowRefused("500", status=500), AirflowRefused("429", status=429)]
)
async def test_a_post_that_breaks_off_after_it_was_done_is_found(
    hand: Any, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asset_event, "PAGE", 2)
    for _ in range(5):
        hand.airflow.create_event_by_rest("prices/ready", {"other": True})
    hand.airflow.after = [problem]
    view = await hand.perform(READY)
    assert view["state"] == "executed"
    assert len(hand.airflow.foreign) == 6


async def test_a_post_that_nobody_answers_is_asked_for_and_then_left_to_a_person(
    hand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(effects.WITHIN_S, TargetClass.QUERYABLE, -1.0)
    hand.airflow.before = [AirflowUnreachable("reset")]
    with pytest.raises(Exception, match="asked again"):
        await hand.perform(READY)
    await hand.taken_over()
    hand.airflow.assets.remove("prices/ready")  # an asset that is gone knows nothing
    with pytest.raises(OutcomeUnknown):
        await hand.perform(READY)
    assert hand.airflow.foreign == []


async def test_an_asset_that_no_dag_has_blocks_the_effect_until_one_has(hand: Any) -> None:
    hand.airflow.assets = []
    with pytest.raises(EffectBlocked, match="no DAG of Airflow has an asset named prices/ready"):
        await hand.perform(READY)
    assert hand.state == "prepared"
    hand.airflow.assets = ["prices/ready"]
    hand.airflow.before = [NotFound("Asset with ID: `0` was not found")]
    with pytest.raises(EffectBlocked, match="was not found"):
        await hand.perform(READY)
    assert (await hand.perform(READY))["state"] == "executed"


async def test_an_airflow_that_is_away_or_forbids_was_not_asked_for_anything_yet(hand: Any) -> None:
    hand.airflow.is_away = True
    with pytest.raises(EffectBlocked):
        await hand.perform(READY)
    hand.airflow.is_away, hand.airflow.is_forbidden = False, True
    with pytest.raises(AirflowForbidden):
        await hand.perform(READY)
    assert (hand.state, hand.effect.calls) == ("prepared", 0)


async def test_a_definite_no_fails_the_effect(hand: Any) -> None:
    hand.airflow.before = [AirflowRefused("Airflow answered 422: extra", status=422)]
    view = await hand.perform(READY)
    assert (view["state"], view["error"]) == ("failed", "Airflow answered 422: extra")
