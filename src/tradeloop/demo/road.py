"""Drives one batch and observes each leg of its road."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final  # Any: JSON of Airflow's answers

from tradeloop.airflow.client import AirflowClient
from tradeloop.airflow.envelope import envelopes
from tradeloop.demo.legs import Batch, Leg, LegBroken
from tradeloop.domain.approvals import ApprovalFilter
from tradeloop.domain.runs import RunState, RunView
from tradeloop.engine.steps import Step, steps_of
from tradeloop.kafka.reader import TopicReader
from tradeloop.settings import Settings
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.history import RunHistory
from tradeloop.store.live_runs import PostgresLiveRuns

FOLLOW_UPS: Final = ("publish_batch", "refetch_batch", "quarantine_rows")
POLL_S: Final = 0.2
RUN_PREFIX: Final = "demo-"
"""Of the DAG runs that the demo starts."""
DAG_WITHIN_S: Final = 180.0
LEG_WITHIN_S: Final = 90.0
Tell = Callable[[Leg], None]


@dataclass(frozen=True)
class Road:
    """The parts that are looked at."""

    settings: Settings
    airflow: AirflowClient
    history: RunHistory
    checkpoints: CheckpointStore
    decisions: TopicReader
    approvals: PostgresApprovals
    live: PostgresLiveRuns

    def log(self, part: str) -> str:
        """Where a part's log is."""
        return str(Path(self.settings.home) / "logs" / f"{part}.log")


@asynccontextmanager
async def open_road(settings: Settings) -> AsyncIterator[Road]:
    """Connect to everything that will be observed."""
    async with AsyncExitStack() as stack:
        airflow = await stack.enter_async_context(AirflowClient.from_settings(settings))
        database = await stack.enter_async_context(Database.of(settings, size=3))
        decisions = await stack.enter_async_context(TopicReader(settings.kafka_bootstrap, settings.decisions_topic))
        history = RunHistory(database, settings.instance)
        approvals, live = PostgresApprovals(database), PostgresLiveRuns(database)
        yield Road(settings, airflow, history, CheckpointStore(database), decisions, approvals, live)


def follow_ups(batch: Batch) -> tuple[str, ...]:
    """The DAGs that a decision on this batch may start."""
    return FOLLOW_UPS if batch.month else (batch.dag,)


async def wait_for_dags(road: Road, batches: Sequence[Batch]) -> None:
    """Wait until Airflow has read the DAGs of these batches.

    Raises:
        LegBroken: it did not, or one does not import.
    """
    wanted = [dag_id for batch in batches for dag_id in (batch.source, *follow_ups(batch))]
    for dag_id in dict.fromkeys(wanted):

        async def startable(dag_id: str = dag_id) -> bool:
            return not await road.airflow.dag_problem(dag_id)

        if not await _until(startable, LEG_WITHIN_S):
            problem = await road.airflow.dag_problem(dag_id)
            raise LegBroken("dag", f"DAG {dag_id} cannot be started: {problem}", log=road.log("dag-processor"))


async def run_dag(road: Road, batch: Batch, run_id: str, on_task: Callable[[str, str], None]) -> Leg:
    """Start the batch's DAG run and watch its tasks end.

    Raises:
        LegBroken: a task failed, or the run did not end in time.
    """
    await road.airflow.trigger_dag(batch.source, run_id, batch.run_conf)
    told: set[str] = set()
    state: dict[str, Any] = {}

    async def ended() -> bool:
        answer = await road.airflow.get(f"/dags/{batch.source}/dagRuns/{run_id}/taskInstances", limit=100)
        states = {ti["task_id"]: ti["state"] for ti in answer["task_instances"]}
        for task in batch.tasks:
            if task not in told and states.get(task) in ("success", "failed", "upstream_failed", "skipped"):
                told.add(task)
                on_task(task, states[task])
        run = await road.airflow.dag_run(batch.source, run_id)
        state["run"] = run
        return run is not None and run.state in ("success", "failed") and len(told) == len(batch.tasks)

    if not await _until(ended, DAG_WITHIN_S):
        raise LegBroken("dag", f"DAG run {run_id} did not end within {DAG_WITHIN_S:.0f} s", log=road.log("scheduler"))
    run = state["run"]
    if run.state != "success":
        raise LegBroken("dag", f"DAG run {run_id} ended as {run.state}", log=road.log("scheduler"))
    elapsed_s = (run.end_at - run.start_at).total_seconds() if run.end_at and run.start_at else None
    return Leg(batch.name, "dag", " ".join(f"✓ {task}" for task in batch.tasks), elapsed_s, {"dag_run_id": run_id})


async def follow(road: Road, batch: Batch, run_id: str, tell: Tell) -> RunView:
    """Observe event, graph, decision and the way back; each leg is told as soon as it was seen.

    Raises:
        LegBroken: a leg did not come through, or the decision is not the right one.
    """
    announced_at, event_id = await _announced(road, batch.source, run_id)
    view = await _recorded(road, event_id)
    steps = await steps_of(road.checkpoints, view.run_id)
    tell(_event_leg(batch, view, announced_at))
    tell(_graph_leg(batch, view, steps))
    if view.state is RunState.PARKED:
        return await _asked(road, batch, view, tell)
    place = await road.decisions.place(str(view.decision_id), LEG_WITHIN_S)
    if place is None:
        topic = road.settings.decisions_topic
        raise LegBroken("decision", f"the decision was recorded and did not appear on {topic}", log=road.log("relay"))
    where = f"{road.settings.decisions_topic}[{place.partition}]@{place.offset}"
    tell(_decision_leg(batch, view, where))
    outcome = view.decision.outcome if view.decision else view.state.value
    if outcome not in batch.outcomes:
        expected = " or ".join(sorted(batch.outcomes))
        raise LegBroken(
            "decision", f"batch {batch.name} was decided as {outcome}; {expected} is right", log=road.log("worker")
        )
    tell(await _back_leg(road, batch, view))
    return view


async def put_aside(road: Road) -> int:
    """Cancel what earlier demos still ask people: their batches would hold the same ones of this demo back."""
    count = 0
    for one in await road.approvals.matching(ApprovalFilter(desk="marketdata", limit=1000)):
        if str(one.context.get("workflow_run_id", "")).startswith(RUN_PREFIX):
            await road.live.cancel(one.run_id, by="demo", reason="a newer demo delivers the same batch")
            count += 1
    return count


async def _asked(road: Road, batch: Batch, view: RunView, tell: Tell) -> RunView:
    """The legs of a batch that waits for people; the demo goes on without them."""
    (question,) = await road.approvals.of_run(view.run_id)
    outcome = str(question.context["outcome"])
    short = str(question.approval_id)[:8]
    until = question.deadline_at.strftime("%H:%M:%SZ")
    words = f"{outcome}    waits for a person until {until}: {question.action.kind} {question.action.target}?"
    facts = {
        "decision_id": str(view.decision_id),
        "outcome": outcome,
        "reasons": question.context["reasons"],
        "approval_id": str(question.approval_id),
        "digest": question.digest,
    }
    look = f"look: tradeloop approvals show {short}   (the demo goes on without you)"
    reasons = [str(reason) for reason in question.context["reasons"][:2]]
    tell(Leg(batch.name, "decision", "\n".join([words, *reasons, look]), None, facts))
    if outcome not in batch.outcomes:
        raise LegBroken("decision", f"batch {batch.name} was decided as {outcome}", log=road.log("worker"))
    count = await _runs_of(road, follow_ups(batch), str(view.decision_id))
    if count:
        raise LegBroken("back", f"Airflow has {count} runs of this decision; 0 is right", log=road.log("worker"))
    tell(
        Leg(
            batch.name,
            "back",
            "no DAG run (Airflow asked: 0) before a person has said yes",
            None,
            {"dag": None, "dag_run_id": None, "dag_runs": 0},
        )
    )
    return view


async def _announced(road: Road, dag_id: str, run_id: str) -> tuple[datetime, str]:
    found: list[tuple[datetime, str]] = []

    async def seen() -> bool:
        answer = await road.airflow.get("/assets/events", source_dag_id=dag_id, source_run_id=run_id, limit=10)
        for row in answer["asset_events"]:
            found.extend((datetime.fromisoformat(row["timestamp"]), e.id) for e in envelopes(row["extra"] or {}))
        return bool(found)

    if not await _until(seen, LEG_WITHIN_S):
        raise LegBroken("event", f"Airflow has no event of DAG run {run_id}", log=road.log("api-server"))
    return found[0]


async def _recorded(road: Road, event_id: str) -> RunView:
    from uuid import UUID

    views: list[RunView] = []

    async def ended() -> bool:
        view = await road.history.of_event(UUID(event_id))
        views[:] = [view] if view else []
        return view is not None and (view.state.is_final or view.state is RunState.PARKED)

    if not await _until(ended, LEG_WITHIN_S):
        if not views:
            raise LegBroken("event", f"event {event_id} did not reach the inbox", log=road.log("relay"))
        waiting = views[0].error or views[0].state.value
        raise LegBroken("graph", f"run of event {event_id} did not end: {waiting}", log=road.log("worker"))
    if views[0].state is RunState.PARKED:
        return views[0]
    if views[0].decision is None:
        raise LegBroken("graph", f"run of event {event_id} failed: {views[0].error}", log=road.log("worker"))
    return views[0]


def _event_leg(batch: Batch, view: RunView, announced_at: datetime) -> Leg:
    words = f"{view.event_type} {str(view.event_id)[:8]} {view.topic}[{view.partition}]@{view.offset}, {view.lane} lane"
    elapsed_s = (view.appended_at - announced_at).total_seconds()
    facts = {
        "event_id": str(view.event_id),
        "event_type": view.event_type,
        "topic": view.topic,
        "partition": view.partition,
        "offset": view.offset,
        "lane": view.lane,
    }
    return Leg(batch.name, "event", words, max(0.0, elapsed_s), facts)


def _graph_leg(batch: Batch, view: RunView, steps: list[Step]) -> Leg:
    waits = view.state is RunState.PARKED
    names = ["+".join(step.nodes) for step in steps] + ([] if waits else ["record"])
    by = "no model set: decided by policy" if view.decision and view.decision.decided_by == "policy" else ""
    words = f"{' '.join(f'{name} ✓' for name in names)}{' act ◷' if waits else ''}    {by}".rstrip()
    return Leg(batch.name, "graph", words, None, {"steps": names, "graph_version": view.graph_version})


def _decision_leg(batch: Batch, view: RunView, where: str) -> Leg:
    decision = view.decision
    assert decision is not None  # noqa: S101 - _recorded saw it
    elapsed_s = (view.finished_at - view.appended_at).total_seconds() if view.finished_at else None
    reasons = decision.reasons or ["no reason given"]
    words = "\n".join([f"{decision.outcome}    recorded on {where}", *reasons[:2]])
    facts = {
        "decision_id": str(view.decision_id),
        "outcome": decision.outcome,
        "reasons": decision.reasons,
        "findings": len(decision.findings),
        "published_at": where,
    }
    return Leg(batch.name, "decision", words, elapsed_s, facts)


async def _back_leg(road: Road, batch: Batch, view: RunView) -> Leg:
    decision_id = str(view.decision_id)
    wanted = [view.decision.action.target] if view.decision and view.decision.action else []
    ends: list[datetime] = []

    async def ended() -> bool:
        run = await road.airflow.dag_run(wanted[0], decision_id)
        if run and run.state == "success" and run.end_at:
            ends.append(run.end_at)
        return bool(ends)

    if wanted and not await _until(ended, LEG_WITHIN_S):
        raise LegBroken("back", f"{wanted[0]} run {decision_id} did not succeed", log=road.log("scheduler"))
    count = await _runs_of(road, follow_ups(batch), decision_id)
    if count != len(wanted) or wanted != ([batch.dag] if batch.dag else []):
        raise LegBroken(
            "back", f"Airflow has {count} runs of this decision; {len(wanted)} is right", log=road.log("worker")
        )
    facts = {"dag": wanted[0] if wanted else None, "dag_run_id": decision_id if wanted else None, "dag_runs": count}
    if not wanted:
        return Leg(batch.name, "back", "no DAG run (Airflow asked: 0): a person decides", None, facts)
    elapsed_s = (ends[0] - view.finished_at).total_seconds() if view.finished_at else None
    return Leg(
        batch.name,
        "back",
        f"{wanted[0]} run = decision {decision_id[:8]} (Airflow asked: {count} run)",
        elapsed_s,
        facts,
    )


async def _runs_of(road: Road, dag_ids: Sequence[str], decision_id: str) -> int:
    """How many DAG runs name this decision, whatever their id: counted in Airflow, not in our tables."""
    count = 0
    for dag_id in dag_ids:
        answer = await road.airflow.get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=100)
        count += sum((run.get("conf") or {}).get("decision_id") == decision_id for run in answer["dag_runs"])
    return count


async def _until(condition: Callable[[], Any], within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while loop.time() < deadline:
        if await condition():
            return True
        await asyncio.sleep(POLL_S)
    return False
