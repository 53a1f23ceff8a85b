"""What the demo says when a leg of its road does not come through; what it looks at is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from tradeloop import Action, Decision
from tradeloop.demo import road as road_module
from tradeloop.demo.legs import ETL, ETL_TASKS, OTHER_DESKS, Batch, Leg, LegBroken
from tradeloop.demo.road import FOLLOW_UPS, Road, follow, run_dag, wait_for_dags
from tradeloop.domain.records import Delivery
from tradeloop.domain.runs import RunState, RunView
from tradeloop.ports import DagRunView
from tradeloop.settings import Settings

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BATCH = Batch("B", "2009-08", "one bar x 100", frozenset({"REFETCH"}), "refetch_batch")
EVENT_ID, DECISION_ID = str(uuid4()), uuid4()
ENVELOPE = {"tradeloop": 1, "events": [{"id": EVENT_ID, "body": "{}"}]}


@dataclass
class Looking:
    """Airflow, the runs' history, checkpoints and the decisions' topic, as they are found."""

    problem: str = ""
    tasks: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(ETL_TASKS, "success"))
    run_state: str = "success"
    extra: object = field(default_factory=lambda: ENVELOPE)
    view: RunView | None = None
    published: Delivery | None = field(default_factory=lambda: Delivery(0, 7))
    followed: str | None = "success"
    runs: int = 1

    async def dag_problem(self, dag_id: str) -> str:
        return self.problem if dag_id == ETL else ""

    async def trigger_dag(self, *_: object) -> None: ...

    async def get(self, path: str, **_: object) -> dict[str, Any]:
        if path.endswith("/taskInstances"):
            return {"task_instances": [{"task_id": name, "state": state} for name, state in self.tasks.items()]}
        if path == "/assets/events":
            return {"asset_events": [{"timestamp": NOON.isoformat(), "extra": self.extra}]}
        made = self.runs if FOLLOW_UPS[0] in path else 0
        return {"dag_runs": [{"conf": {"decision_id": str(DECISION_ID)}} for _ in range(made)]}

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        state = self.run_state if dag_id == ETL else self.followed
        return DagRunView(dag_id, run_id, state, {}, NOON, NOON + timedelta(seconds=2)) if state else None

    async def of_event(self, _: object) -> RunView | None:
        return self.view

    async def place(self, *_: object) -> Delivery | None:
        return self.published


def view_of(state: RunState = RunState.DONE, outcome: str | None = "REFETCH", error: str = "") -> RunView:
    action = Action(kind="trigger_dag", target="refetch_batch")
    return RunView(
        run_id=uuid4(), state=state, desk="marketdata", subject="s", event_id=uuid4(), event_type="t", graph="g",
        graph_version="v", appended_at=NOON, received_at=NOON, finished_at=NOON, decision_id=DECISION_ID,
        decision=Decision(outcome=outcome, action=action) if outcome else None, effect={}, error=error, lane="fast",
        topic="workflow-events", partition=0, offset=1,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road_module, "LEG_WITHIN_S", 0.05)
    monkeypatch.setattr(road_module, "DAG_WITHIN_S", 0.05)
    monkeypatch.setattr(road_module, "POLL_S", 0.01)

    async def no_steps(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(road_module, "steps_of", no_steps)


def road(looking: Looking) -> Road:
    played = cast(Any, looking)
    return Road(Settings(_env_file=None), played, played, played, played, played, played)


async def test_a_road_without_a_hole_is_told_leg_by_leg() -> None:
    told: list[Leg] = []
    looking = Looking(view=view_of())
    await wait_for_dags(road(looking), [BATCH])
    leg = await run_dag(road(looking), BATCH, "run-1", lambda *_: None)
    await follow(road(looking), BATCH, "run-1", told.append)
    assert [one.name for one in (leg, *told)] == ["dag", "event", "graph", "decision", "back"]


async def test_the_examples_of_other_desks_need_their_own_dags() -> None:
    asked: list[str] = []
    looking = Looking()

    async def dag_problem(dag_id: str) -> str:
        asked.append(dag_id)
        return ""

    played = cast(Any, looking)
    played.dag_problem = dag_problem
    await wait_for_dags(road(looking), OTHER_DESKS)
    assert asked == [
        "reconciliation_batch", "post_adjustment", "limits_check", "limits_case", "settlement_status",
        "chase_counterparty",
    ]  # fmt: skip
    assert [batch.run_conf for batch in OTHER_DESKS] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("looking", "message", "log"),
    [
        (Looking(problem="does not import"), "cannot be started: does not import", "dag-processor"),
        (Looking(run_state="running"), "did not end within", "scheduler"),
        (Looking(run_state="failed", tasks=dict.fromkeys(ETL_TASKS, "failed")), "ended as failed", "scheduler"),
    ],
)
async def test_a_dag_that_does_not_come_through_names_its_log(looking: Looking, message: str, log: str) -> None:
    async def walk() -> None:
        await wait_for_dags(road(looking), [BATCH])
        await run_dag(road(looking), BATCH, "run-1", lambda *_: None)

    with pytest.raises(LegBroken, match=message) as broken:
        await walk()
    assert broken.value.where.endswith(f"{log}.log")


@pytest.mark.parametrize(
    ("looking", "message", "log"),
    [
        (Looking(extra=None), "Airflow has no event of DAG run run-1", "api-server"),
        (Looking(), "did not reach the inbox", "relay"),
        (Looking(view=view_of(RunState.RUNNING, None)), "did not end: running", "worker"),
        (Looking(view=view_of(RunState.RETRYING, None, "Airflow is away")), "did not end: Airflow is away", "worker"),
        (Looking(view=view_of(RunState.FAILED, None, "KeyError: rows")), "failed: KeyError: rows", "worker"),
        (Looking(view=view_of(), published=None), "did not appear on workflow-decisions", "relay"),
        (Looking(view=view_of(outcome="ACCEPT")), "decided as ACCEPT; REFETCH is right", "worker"),
        (Looking(view=view_of(), followed=None), "did not succeed", "scheduler"),
        (Looking(view=view_of(), runs=2), "has 2 runs of this decision; 1 is right", "worker"),
    ],
)
async def test_what_does_not_come_through_is_named_with_its_log(looking: Looking, message: str, log: str) -> None:
    with pytest.raises(LegBroken, match=message) as broken:
        await follow(road(looking), BATCH, "run-1", lambda _: None)
    assert broken.value.where.endswith(f"{log}.log")
