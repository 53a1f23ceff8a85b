"""The effect `trigger_dag` against an Airflow in memory, through the ledger: one DAG run a decision, or a clear no."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from engine_in_memory import event

from tradeloop import Action, WorkflowEvent
from tradeloop.domain.actions import Begun, Effect, EffectState, TargetClass
from tradeloop.domain.records import Received
from tradeloop.domain.runs import new_run_id
from tradeloop.effects.effector import MAX_DEPTH
from tradeloop.effects.trigger_dag import MAY_BE_DELETED_AFTER, TriggerDag
from tradeloop.engine import effects
from tradeloop.engine.effects import LedgeredActing
from tradeloop.errors import (
    ActionDiverged,
    AirflowForbidden,
    AirflowRefused,
    AirflowUnreachable,
    DagUnavailable,
    DecisionInvalid,
    OutcomeUnknown,
    RunLost,
    TradeloopError,
)
from tradeloop.ports import Arrival, DagRunView
from tradeloop.testing.airflow import MemoryAirflow, MemoryDag
from tradeloop.testing.store import MemoryStore

REFETCH = Action(kind="trigger_dag", target="refetch", params={"symbol": "SPX"})
DECISION = UUID("0b1e77aa-0000-5000-8000-000000000001")


@dataclass
class Scene:
    """One run in hand, its ledger and its Airflow."""

    airflow: Any = field(default_factory=lambda: Recording(dags={"refetch": MemoryDag()}))
    store: MemoryStore = field(default_factory=MemoryStore)
    owner: UUID = field(default_factory=uuid4)
    cause: WorkflowEvent = field(default_factory=event)

    async def begin(self) -> Scene:
        received = Received("events", UUID(int=1), 0, 0, b"s", self.cause.to_json().encode())
        run = Arrival(received, self.cause.event_id, self.cause.event_type, "prices", "s", new_run_id())
        (self.claim,) = await self.store.accept("g", self.owner, [run], [], 1)
        self.trigger = TriggerDag(self.airflow)
        return self

    def acting(self, **changes: Any) -> LedgeredActing:
        given: dict[str, Any] = {"owner": self.owner, "claim": self.claim, "event": self.cause} | changes
        effectors = {"trigger_dag": self.trigger}
        return LedgeredActing(self.store, effectors, given["owner"], given["claim"], DECISION, given["event"])

    async def perform(self, action: Action = REFETCH, slot: str = "act") -> dict[str, Any]:
        return await self.acting().perform(slot, action)

    @property
    def effect(self) -> Effect:
        (found,) = self.store.effects.values()
        return found

    @property
    def runs(self) -> dict[str, DagRunView]:
        return self.airflow.dags["refetch"].runs


class Recording(MemoryAirflow):
    """Counts posts, and breaks one off before or after it was acted on."""

    posts = 0
    broken: Callable[[bool], None] = staticmethod(lambda _: None)

    async def trigger_dag(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> DagRunView:
        self.posts += 1
        self.broken(False)
        made = await super().trigger_dag(dag_id, run_id, conf)
        self.broken(True)
        return made

    def breaks_off(self, *, when_done: bool, problem: Exception | None = None) -> None:
        """The next post is broken off, before or after Airflow acted."""

        def broken(is_done: bool) -> None:
            if is_done is when_done:
                self.broken = lambda _: None
                raise problem or AirflowUnreachable("broken off")

        self.broken = broken


async def away(*_: str) -> DagRunView | None:
    raise AirflowUnreachable("away")


@pytest.fixture
async def scene() -> Scene:
    return await Scene().begin()


async def test_the_dag_run_is_named_for_the_decision_and_carries_its_digest(scene: Scene) -> None:
    view = await scene.perform()
    (run,) = scene.runs.values()
    assert run.run_id == str(DECISION) == view["result"]["dag_run_id"]
    assert run.conf == {
        "symbol": "SPX",
        "decision_id": str(DECISION),
        "action_digest": REFETCH.digest,
        "correlation_id": str(scene.cause.event_id),
        "causation_id": str(DECISION),
        "depth": 1,
    }
    assert (view["state"], view["digest"], view["error"]) == ("executed", REFETCH.digest, "")


async def test_a_second_slot_has_a_run_of_its_own(scene: Scene) -> None:
    await scene.perform()
    await scene.perform(slot="2")
    assert set(scene.runs) == {str(DECISION), f"{DECISION}.2"}


async def test_what_was_executed_is_answered_from_the_ledger(scene: Scene) -> None:
    first = await scene.perform()
    assert await scene.perform() == first
    assert scene.airflow.posts == 1


async def test_a_run_that_was_deleted_after_it_was_executed_is_never_posted_again(scene: Scene) -> None:
    await scene.perform()
    scene.airflow.delete_run("refetch", str(DECISION))
    assert (await scene.perform())["state"] == "executed"
    assert scene.runs == {}


@pytest.mark.parametrize("when_done", [True, False])
@pytest.mark.parametrize(
    "problem", [AirflowUnreachable("reset"), AirflowRefused("500", status=500), AirflowRefused("429", status=429)]
)
async def test_a_post_that_breaks_off_is_settled_by_asking(scene: Scene, when_done: bool, problem: Exception) -> None:
    scene.airflow.breaks_off(when_done=when_done, problem=problem)
    if when_done:
        assert (await scene.perform())["state"] == "executed"
    else:
        with pytest.raises(AirflowUnreachable):
            await scene.perform()
        assert scene.effect.state.value == "executing"
        assert (await scene.perform())["state"] == "executed"
    assert list(scene.runs) == [str(DECISION)]


async def test_a_409_with_our_run_is_our_run(scene: Scene) -> None:
    scene.airflow.breaks_off(when_done=True)
    scene.airflow.before_request = lambda: None
    lost = scene.airflow.dag_run

    async def away_once(*_: str) -> DagRunView | None:
        scene.airflow.dag_run = lost
        raise AirflowUnreachable("away")

    scene.airflow.dag_run = away_once
    with pytest.raises(AirflowUnreachable):
        await scene.perform()
    assert (await scene.perform())["state"] == "executed"
    assert scene.airflow.posts == 1  # found before it was posted again


async def test_a_409_without_our_run_is_asked_again(scene: Scene) -> None:
    scene.airflow.breaks_off(when_done=False, problem=AirflowRefused("Airflow answered 409", status=409))
    with pytest.raises(AirflowUnreachable, match="409; there is no run"):
        await scene.perform()
    assert scene.effect.state.value == "executing"
    assert (await scene.perform())["state"] == "executed"


async def test_a_run_of_our_id_with_another_digest_is_a_conflict_and_touched_by_nobody(scene: Scene) -> None:
    foreign = DagRunView("refetch", str(DECISION), "success", {"action_digest": "other"})
    scene.runs[str(DECISION)] = foreign
    view = await scene.perform()
    assert view["state"] == "failed"
    assert "another action's digest" in view["error"]
    assert scene.runs == {str(DECISION): foreign}
    assert (await scene.perform())["state"] == "failed"
    assert scene.airflow.posts == 1


async def test_an_airflow_that_is_away_lets_the_run_rest_with_the_outcome_open(scene: Scene) -> None:
    scene.airflow.is_away = True
    with pytest.raises(AirflowUnreachable) as caught:
        await scene.perform()
    assert caught.value.retriable
    assert scene.effect.state.value == "executing"
    scene.airflow.is_away = False
    assert (await scene.perform())["state"] == "executed"


@pytest.mark.parametrize(
    ("dag", "reason"),
    [
        (MemoryDag(is_paused=True), "paused"),
        (MemoryDag(is_stale=True), "stale"),
        (MemoryDag(has_import_errors=True), "does not import"),
        (None, "missing"),
    ],
)
async def test_a_dag_that_cannot_start_blocks_the_effect_until_it_can(
    scene: Scene, dag: MemoryDag | None, reason: str
) -> None:
    scene.airflow.dags = {"refetch": dag} if dag else {}
    with pytest.raises(DagUnavailable) as caught:
        await scene.perform()
    assert caught.value.retriable
    assert scene.effect.state.value == "prepared"
    assert reason in scene.effect.blocked_reason
    assert scene.airflow.posts == 0
    scene.airflow.dags = {"refetch": MemoryDag()}
    assert (await scene.perform())["state"] == "executed"


async def test_a_dag_that_vanished_behind_the_preflight_blocks_the_effect(scene: Scene) -> None:
    scene.airflow.breaks_off(when_done=False, problem=DagUnavailable("DAG refetch was not found", status=404))
    with pytest.raises(DagUnavailable):
        await scene.perform()
    assert scene.effect.state.value == "prepared"


async def test_a_missing_permission_blocks_the_effect_until_it_is_given(scene: Scene) -> None:
    scene.airflow.is_forbidden = True
    with pytest.raises(AirflowForbidden) as caught:
        await scene.perform()
    assert caught.value.retriable
    assert (scene.effect.state.value, "403" in scene.effect.blocked_reason) == ("prepared", True)
    scene.airflow.is_forbidden = False
    assert (await scene.perform())["state"] == "executed"


async def test_a_definite_no_fails_the_effect_and_is_not_asked_again(scene: Scene) -> None:
    scene.airflow.breaks_off(when_done=False, problem=AirflowRefused("Airflow answered 422: conf", status=422))
    view = await scene.perform()
    assert (view["state"], view["error"]) == ("failed", "Airflow answered 422: conf")
    assert await scene.perform() == view
    assert scene.airflow.posts == 1


async def test_an_airflow_that_is_ill_is_no_definite_no(scene: Scene) -> None:
    scene.airflow.breaks_off(when_done=True)
    scene.airflow.before_request = lambda: setattr(
        scene.airflow, "is_ill", scene.airflow.posts > 0 and bool(scene.runs)
    )
    with pytest.raises(TradeloopError) as caught:
        await scene.perform()
    assert caught.value.retriable
    assert scene.effect.state.value == "executing"
    scene.airflow.before_request = lambda: None
    scene.airflow.is_ill = False
    assert (await scene.perform())["state"] == "executed"
    assert scene.airflow.posts == 1


async def test_whoever_lost_the_run_posts_nothing(scene: Scene) -> None:
    with pytest.raises(RunLost):
        await scene.acting(owner=uuid4()).perform("act", REFETCH)
    assert scene.airflow.requests == 0


async def test_a_run_that_was_lost_between_prepare_and_call_posts_nothing(scene: Scene) -> None:
    class Losing(MemoryStore):
        async def begin(self, owner: UUID, *rest: Any, **_: Any) -> Begun:
            await self.retire(owner)
            return await super().begin(owner, *rest)

    scene.store.__class__ = Losing
    with pytest.raises(RunLost):
        await scene.perform()
    assert scene.airflow.requests == 0


async def test_a_run_that_made_up_its_mind_again_ends_or_adopts_the_first_action(scene: Scene) -> None:
    scene.airflow.is_away = True
    with pytest.raises(AirflowUnreachable):
        await scene.perform()
    scene.airflow.is_away = False
    other = Action(kind="trigger_dag", target="publish")
    with pytest.raises(ActionDiverged, match=r"slot act holds trigger_dag refetch \(executing\), this run wants"):
        await scene.perform(other)
    view = await scene.acting().perform("act", other, adopts=True)
    assert (view["target"], view["digest"], view["state"]) == ("refetch", REFETCH.digest, "executed")
    assert Action.model_validate(view["action"]) == REFETCH
    assert scene.airflow.posts == 1


async def test_a_run_that_may_have_been_deleted_since_is_left_to_a_person(scene: Scene) -> None:
    scene.airflow.breaks_off(when_done=True, problem=AirflowUnreachable("reset"))
    scene.airflow.dag_run = away
    with pytest.raises(AirflowUnreachable):
        await scene.perform()
    del scene.airflow.dag_run
    scene.airflow.delete_run("refetch", str(DECISION))
    long_ago = datetime.now(UTC) - MAY_BE_DELETED_AFTER - timedelta(minutes=1)
    scene.store.effects[scene.effect.key] = scene.effect.model_copy(update={"executing_at": long_ago})
    with pytest.raises(OutcomeUnknown, match="it may have been, and been deleted"):
        await scene.perform()
    assert scene.effect.state is EffectState.OUTCOME_UNKNOWN
    assert scene.runs == {}
    await scene.store.resolve(scene.effect.key, EffectState.PREPARED, "anna", "nothing ran")
    assert (await scene.perform())["state"] == "executed"


async def test_an_airflow_that_stays_away_leaves_the_outcome_to_a_person(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(effects.WITHIN_S, TargetClass.KEYED, -1.0)
    scene.airflow.is_away = True
    with pytest.raises(AirflowUnreachable):
        await scene.perform()
    with pytest.raises(OutcomeUnknown, match="Airflow does not answer"):
        await scene.perform()
    assert scene.effect.state is EffectState.OUTCOME_UNKNOWN


async def test_a_chain_of_events_and_decisions_ends(scene: Scene) -> None:
    deep = WorkflowEvent.model_validate(scene.cause.to_dict() | {"metadata": {"chain_depth": MAX_DEPTH}})
    with pytest.raises(DecisionInvalid, match="a loop is likely"):
        await scene.acting(event=deep).perform("act", REFETCH)
