"""What Airflow's history of runs and attempts promises; run against memory and the real Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tradeloop.ports import DagRunView, TaskAttempt
from tradeloop.testing.airflow_runs import MemoryRunHistory

if TYPE_CHECKING:
    from tradeloop.stack import Stack

DAG = "edge_lifecycle"
"""Fails at first and is retried; always fails; has a task that is left out and one whose upstream failed."""
INSTANT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


@dataclass
class History:
    api: Any
    run: str
    """A run of the DAG that has ended."""
    clear: Callable[[], Awaitable[None]]
    delete: Callable[[], Awaitable[None]]

    async def view(self) -> DagRunView:
        found: DagRunView | None = await self.api.dag_run(DAG, self.run)
        assert found is not None
        return found

    async def tasks(self, since: datetime) -> dict[str, TaskAttempt]:
        found = await self.api.task_instances(DAG, self.run, since=since)
        return {attempt.task_id: attempt for attempt in found}


@pytest.fixture(params=["memory", "airflow"])
async def history(request: pytest.FixtureRequest) -> AsyncIterator[History]:
    if request.param == "memory":
        yield _memory()
        return
    from tradeloop.airflow.client import AirflowClient

    stack: Stack = request.getfixturevalue("airflow_stack")
    async with AirflowClient.from_settings(stack.settings) as client:
        yield await _real(client)


def _memory() -> History:
    api, run, now = MemoryRunHistory(), f"test-{uuid4()}", datetime.now(UTC)
    at = [now + timedelta(milliseconds=number) for number in range(20)]
    api.trigger(DAG, run, at[0])
    for number, (task_id, state) in enumerate(
        [
            ("fails_at_first", "running"),
            ("fails_at_first", "up_for_retry"),
            ("always_fails", "running"),
            ("always_fails", "failed"),
            ("never_starts", "upstream_failed"),
            ("left_out", "skipped"),
            ("fails_at_first", "running"),
            ("fails_at_first", "success"),
        ]
    ):
        api.task(DAG, run, task_id, state, at[number + 1])
    api.errors = {("always_fails", 1): "RuntimeError: no prices today"}
    api.end(DAG, run, "failed", at[10])

    async def clear() -> None:
        api.clear(DAG, run, at[11])

    async def delete() -> None:
        api.delete_run(DAG, run)

    return History(api, run, clear, delete)


async def _real(client: Any) -> History:
    from tradeloop.airflow.run_history import AirflowRunHistory

    run = f"test-{uuid4()}"
    path = f"/dags/{DAG}/dagRuns/{run}"
    async with asyncio.timeout(90):
        while await client.dag_problem(DAG):
            await asyncio.sleep(0.2)
        await client.trigger_dag(DAG, run, {})
        while (await client.dag_run(DAG, run)).end_at is None:
            await asyncio.sleep(0.2)

    async def clear() -> None:
        await client._call("POST", f"{path}/clear", body={"dry_run": False})

    async def delete() -> None:
        await client._http.delete(f"/api/v2{path}", headers={"Authorization": f"Bearer {await client._bearer()}"})

    return History(AirflowRunHistory(client), run, clear, delete)


async def test_a_run_that_changed_is_in_the_window_of_its_change(history: History) -> None:
    view = await history.view()
    assert view.end_at
    assert view.queued_at

    found = await history.api.dag_runs(view.queued_at, datetime.now(UTC) + HOUR)
    later = await history.api.dag_runs(datetime.now(UTC) + HOUR, datetime.now(UTC) + 2 * HOUR)
    bound = await history.api.dag_runs(view.queued_at, datetime.now(UTC) + HOUR, run_after=view.end_at + HOUR)

    assert [run for run in found if run.run_id == history.run] == [view]
    assert history.run not in {run.run_id for run in [*later, *bound]}


async def test_a_clear_renews_the_queueing_and_takes_the_end_away(history: History) -> None:
    before = await history.view()

    await history.clear()

    after = await history.view()
    assert before.queued_at
    assert after.queued_at
    assert after.queued_at > before.queued_at
    assert after.end_at is None or after.end_at > after.queued_at  # it may have ended again


async def test_each_task_shows_its_present_attempt_alone(history: History) -> None:
    view = await history.view()
    assert view.queued_at

    tasks = await history.tasks(view.queued_at)
    nothing = await history.tasks(datetime.now(UTC) + HOUR)

    states = {task_id: (task.state, task.try_number) for task_id, task in tasks.items()}
    assert states["fails_at_first"] == ("success", 2)
    assert states["always_fails"] == ("failed", 1)
    assert states["left_out"] == ("skipped", 0)
    assert states["never_starts"][0] == "upstream_failed"
    assert all(task.id for task in tasks.values())
    assert nothing == {}


async def test_a_clear_gives_every_task_a_new_id(history: History) -> None:
    view = await history.view()
    assert view.queued_at
    before = await history.tasks(view.queued_at)

    await history.clear()

    after = await history.tasks(view.queued_at)
    assert not {task.id for task in before.values()} & {task.id for task in after.values()}


async def test_the_history_tells_a_retried_attempt_as_failed_and_without_an_id(history: History) -> None:
    tries = await history.api.tries(DAG, history.run, "fails_at_first", -1)

    assert [(attempt.try_number, attempt.state, attempt.id) for attempt in tries] == [
        (1, "failed", None),
        (2, "success", None),
    ]
    assert all(attempt.start_at and attempt.end_at for attempt in tries)


async def test_the_event_log_tells_what_tasks_reported_and_not_what_was_left_out(history: History) -> None:
    view = await history.view()
    assert view.queued_at
    events = ("failed", "up_for_retry", "awaiting_input", "skipped", "upstream_failed")

    rows = await history.api.event_log(view.queued_at, datetime.now(UTC) + HOUR, events)

    ours = [row for row in rows if row.run_id == history.run]
    assert {(row.event, row.task_id, row.map_index, row.try_number) for row in ours} == {
        ("up_for_retry", "fails_at_first", -1, 1),
        ("failed", "always_fails", -1, 1),
    }
    assert all("host_name" in row.extra for row in ours)


async def test_the_event_logs_window_is_closed_at_its_beginning_and_open_at_its_end(history: History) -> None:
    view = await history.view()
    assert view.queued_at
    rows = await history.api.event_log(view.queued_at, datetime.now(UTC) + HOUR, ["up_for_retry"])
    (row,) = [row for row in rows if row.run_id == history.run]

    at = await history.api.event_log(row.at, row.at + INSTANT, ["up_for_retry"])
    before = await history.api.event_log(row.at - INSTANT, row.at, ["up_for_retry"])
    after = await history.api.event_log(row.at + INSTANT, row.at + 2 * INSTANT, ["up_for_retry"])

    assert ([found.id for found in at], before, after) == ([row.id], [], [])


async def test_an_attempt_says_why_it_failed(history: History) -> None:
    view = await history.view()
    assert view.queued_at
    tasks = await history.tasks(view.queued_at)

    assert await history.api.attempt_error(tasks["always_fails"]) == "RuntimeError: no prices today"
    assert await history.api.attempt_error(tasks["left_out"]) == ""


async def test_of_a_run_that_was_deleted_nothing_is_left_but_its_log(history: History) -> None:
    view = await history.view()
    assert view.queued_at

    await history.delete()

    assert await history.api.dag_run(DAG, history.run) is None
    assert await history.tasks(view.queued_at) == {}
    assert await history.api.tries(DAG, history.run, "always_fails", -1) == []
    rows = await history.api.event_log(view.queued_at, datetime.now(UTC) + HOUR, ["failed"])
    assert history.run in {row.run_id for row in rows}
