"""A little day of every desk, decided by the real worker: runs with checkpoints, decisions, effects, a dead letter."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from tradeloop import Workflow, WorkflowEvent
from tradeloop.bench.desks.run import bench_of
from tradeloop.desks.shipped import NAMES
from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.records import Received
from tradeloop.engine.gate import Gate
from tradeloop.engine.intake import Intake
from tradeloop.engine.runner import Runner
from tradeloop.engine.worker import Worker
from tradeloop.engine.workload import WorkerOptions
from tradeloop.gate.policy import PolicySource
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000ae")
SEED = 4711
CASES = {"marketdata": 4, "limits": 2, "reconciliation": 1, "settlement": 1}


class Started:
    """Stands for Airflow: says yes to every DAG run."""

    kind = "trigger_dag"
    target_class = TargetClass.KEYED

    async def execute(self, effect: Effect, _: WorkflowEvent) -> Mapping[str, Any]:
        return {"dag_run_id": str(effect.decision_id)}


class Records:
    """engine.worker.Source from a list."""

    def __init__(self, values: Sequence[tuple[str, bytes]]) -> None:
        self._batches = [
            [Received("workflow-events", TOPIC, 0, at, key.encode(), value) for at, (key, value) in enumerate(values)]
        ]

    async def batch(self) -> list[Received]:
        if self._batches:
            return self._batches.pop()
        await asyncio.sleep(3600)
        return []

    def done(self, batch: Sequence[Received]) -> None:
        """The list forgets by itself."""


def events() -> list[tuple[str, bytes]]:
    """Cases of every desk, and one record that is no event."""
    found = []
    for desk in NAMES:
        bench = bench_of(desk)
        for number, case in enumerate(bench.cases(SEED, 40, "test", None)):
            if number >= CASES[desk]:
                break
            event = WorkflowEvent.model_validate(
                {
                    "event_id": uuid4(),
                    "event_type": bench.desk.event_type,
                    "timestamp": "2026-11-23T16:59:21Z",
                    "source": "airflow",
                    "workflow_id": f"load_{desk}",
                    "workflow_run_id": "scheduled__2026-11-23",
                    "subject": f"{desk}/{case.kind}/{number}",
                    "payload": {"data": case.data},
                    "metadata": {"task_id": "publish", "map_index": number},
                    "correlation_id": uuid4(),
                }
            )
            found.append((event.subject, event.to_json().encode()))
    return [*found, ("broken", b'{"event_id": "no uuid", "note": "<img src=x onerror=alert(1)>"}')]


async def decide(database_url: str, workflows: Mapping[str, Workflow]) -> int:
    """Let a worker decide all of it; returns how many runs ended."""
    values = events()
    async with Database(database_url) as database, CheckpointStore(database) as saver:
        gate = Gate(PolicySource(None), PostgresApprovals(database))
        runner = Runner(
            workflows, saver, PostgresEffects(database), {"trigger_dag": Started()}, instance="local", gate=gate
        )
        intake = Intake(PostgresInbox(database, ""), "g2", {kind: one.desk for kind, one in workflows.items()})
        options = WorkerOptions(tuple(NAMES), "workflow-decisions", lease_s=15, drain_s=5)
        worker = Worker(Records(values), intake, PostgresRuns(database, ""), runner, options)
        stop = asyncio.Event()
        kept = warnings.filters[:]
        warnings.simplefilter("ignore")  # of pandas, beneath the exchanges' calendars: here they would fail a run
        task = asyncio.create_task(worker.run(stop))
        try:
            for _ in range(1200):
                row = await database.row("SELECT count(*) AS n FROM runs")
                parked = await database.row("SELECT count(*) AS n FROM work WHERE state = 'p'")
                ended = (row["n"] if row else 0) + (parked["n"] if parked else 0)
                if ended >= len(values) - 1 or task.done():
                    break
                await asyncio.sleep(0.1)
        finally:
            stop.set()
            await asyncio.wait_for(task, 40)
            warnings.filters[:] = kept
    return int(ended)
