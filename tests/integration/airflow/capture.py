"""Running a DAG on the real Airflow, and finding what became of its events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tradeloop.airflow.candidates import Candidate, candidates
from tradeloop.airflow.client import AirflowClient
from tradeloop.airflow.history import AssetHistory
from tradeloop.ports import AssetEventRow
from tradeloop.store.database import Database

WITHIN_S = 60.0


@dataclass(frozen=True)
class Arrived:
    """A row of the inbox."""

    event_id: UUID
    event_type: str
    lane: str
    subject: str
    body: str


async def eventually(look: Callable[[], Awaitable[Any]], what: str, within_s: float = WITHIN_S) -> Any:
    """The first answer that is not false."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (found := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {within_s:.0f} s: {what}"
        await asyncio.sleep(0.1)
    return found


async def start_dag(airflow: AirflowClient, dag_id: str) -> str:
    """Start the DAG; the run's id."""
    run_id = f"test-{uuid4()}"

    async def is_startable() -> bool:
        return not await airflow.dag_problem(dag_id)

    await eventually(is_startable, f"DAG {dag_id}")
    await airflow.trigger_dag(dag_id, run_id, {})
    return run_id


async def run_dag(airflow: AirflowClient, dag_id: str, ends_as: str = "success") -> str:
    """Run the DAG to its end; the run's id."""
    run_id = await start_dag(airflow, dag_id)

    async def is_over() -> str | None:
        run = await airflow.dag_run(dag_id, run_id)
        return run.state if run and run.state in ("success", "failed") else None

    assert await eventually(is_over, f"the end of {dag_id}") == ends_as
    return run_id


async def returned(airflow: AirflowClient, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
    """What the task returned."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    return (await airflow.get(path, map_index=map_index))["value"]


async def rows_of(airflow: AirflowClient, run_id: str) -> list[AssetEventRow]:
    """The run's asset events, as Airflow tells them."""
    now = datetime.now(UTC)
    parts = AssetHistory(airflow).parts(now - timedelta(minutes=10), now + timedelta(minutes=1))
    return [row async for _, rows in parts for row in rows if row.source_run_id == run_id]


def told(rows: Sequence[AssetEventRow], instance: str) -> list[Candidate]:
    """The events that the rows announce."""
    return [candidate for row in rows for candidate in candidates(row, instance, "development", "workflow-events")]


async def arrived(database: Database, events: Sequence[Candidate]) -> list[Arrived]:
    """The events' rows in the inbox, once every one is there."""
    ids = [candidate.event_id for candidate in events]

    async def all_of_them() -> list[dict[str, Any]]:
        found = await database.rows(
            "SELECT event_id, event_type, lane, subject, payload FROM inbox WHERE event_id = ANY(%s)", (ids,)
        )
        return found if len({row["event_id"] for row in found}) == len(ids) else []

    found = await eventually(all_of_them, f"{len(ids)} events in the inbox")
    return [
        Arrived(row["event_id"], row["event_type"], row["lane"], row["subject"], bytes(row["payload"]).decode())
        for row in found
    ]
