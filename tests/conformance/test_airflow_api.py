"""What the part of Airflow's API that tradeloop uses promises; run against memory and the real Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tradeloop.errors import AirflowRefused, DagUnavailable
from tradeloop.testing.airflow import MemoryAirflow, MemoryDag

if TYPE_CHECKING:
    from tradeloop.airflow.client import AirflowClient
    from tradeloop.stack import Stack

DAG = "edge_target"
"""A DAG without a schedule that does nothing."""
PAUSED = "edge_paused"


@dataclass
class Airflow:
    api: Any
    create: Callable[[str, dict[str, object]], Awaitable[None]]
    """Make an asset event by REST."""
    delete: Callable[[str, str], Awaitable[None]]
    """Delete a DAG run."""


@pytest.fixture(params=["memory", "airflow"])
async def airflow(request: pytest.FixtureRequest) -> AsyncIterator[Airflow]:
    if request.param == "memory":
        yield _memory()
        return
    from tradeloop.airflow.client import AirflowClient

    stack: Stack = request.getfixturevalue("airflow_stack")
    async with AirflowClient.from_settings(stack.settings) as client:
        yield await _real(client)


def _memory() -> Airflow:
    api = MemoryAirflow(dags={DAG: MemoryDag(), PAUSED: MemoryDag(is_paused=True)})

    async def create(name: str, extra: dict[str, object]) -> None:
        api.create_event_by_rest(name, extra)

    async def delete(dag_id: str, run_id: str) -> None:
        api.delete_run(dag_id, run_id)

    return Airflow(api, create, delete)


async def _real(client: AirflowClient) -> Airflow:
    async with asyncio.timeout(60):
        while await client.dag_problem(DAG) or await client.dag_problem(PAUSED) != "paused":
            await asyncio.sleep(0.2)

    async def create(name: str, extra: dict[str, object]) -> None:
        assets = (await client.get("/assets", name_pattern=name, limit=100))["assets"]
        (asset_id,) = [asset["id"] for asset in assets if asset["name"] == name]
        await client._call("POST", "/assets/events", body={"asset_id": asset_id, "extra": extra})

    async def delete(dag_id: str, run_id: str) -> None:
        await client._http.delete(
            f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", headers={"Authorization": f"Bearer {await client._bearer()}"}
        )

    return Airflow(client, create, delete)


def new_id() -> str:
    return str(uuid4())


async def test_a_run_has_the_id_and_the_conf_that_it_was_given(airflow: Airflow) -> None:
    run_id = new_id()

    made = await airflow.api.trigger_dag(
        DAG, run_id, {"action_digest": "d", "nested": {"price": "1.10", "n": [1, None]}}
    )
    found = await airflow.api.dag_run(DAG, run_id)

    assert (made.dag_id, made.run_id) == (found.dag_id, found.run_id) == (DAG, run_id)
    assert made.conf == found.conf == {"action_digest": "d", "nested": {"price": "1.10", "n": [1, None]}}


async def test_a_run_that_does_not_exist_is_none(airflow: Airflow) -> None:
    assert await airflow.api.dag_run(DAG, new_id()) is None
    assert await airflow.api.dag_run("no_such_dag", new_id()) is None


async def test_the_same_id_again_is_409_whatever_its_conf(airflow: Airflow) -> None:
    run_id = new_id()
    await airflow.api.trigger_dag(DAG, run_id, {"action_digest": "d"})

    for conf in ({"action_digest": "d"}, {"action_digest": "another"}):
        with pytest.raises(AirflowRefused, match=r"409.*Unique constraint") as refused:
            await airflow.api.trigger_dag(DAG, run_id, conf)
        assert refused.value.status == 409

    assert (await airflow.api.dag_run(DAG, run_id)).conf == {"action_digest": "d"}


async def test_of_many_identical_posts_at_once_one_makes_the_run(airflow: Airflow) -> None:
    run_id = new_id()

    answers = await asyncio.gather(
        *(airflow.api.trigger_dag(DAG, run_id, {}) for _ in range(20)), return_exceptions=True
    )

    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert {answer.status for answer in answers if isinstance(answer, AirflowRefused)} == {409}


async def test_a_dag_that_is_not_there_is_unavailable(airflow: Airflow) -> None:
    with pytest.raises(DagUnavailable) as refused:
        await airflow.api.trigger_dag("no_such_dag", new_id(), {})

    assert refused.value.status == 404
    assert await airflow.api.dag_problem("no_such_dag") == "missing"


async def test_a_paused_dag_takes_the_run_and_leaves_it_queued(airflow: Airflow) -> None:
    run_id = new_id()

    await airflow.api.trigger_dag(PAUSED, run_id, {})

    assert (await airflow.api.dag_run(PAUSED, run_id)).state == "queued"
    assert await airflow.api.dag_problem(PAUSED) == "paused"


async def test_a_dag_that_can_start_has_no_problem(airflow: Airflow) -> None:
    assert await airflow.api.dag_problem(DAG) == ""


async def test_a_deleted_run_starts_again_under_its_id(airflow: Airflow) -> None:
    run_id = new_id()
    await airflow.api.trigger_dag(PAUSED, run_id, {})
    await airflow.delete(PAUSED, run_id)

    assert await airflow.api.dag_run(PAUSED, run_id) is None
    assert (await airflow.api.trigger_dag(PAUSED, run_id, {})).run_id == run_id


@pytest.mark.parametrize(
    "run_id", ["a b", "a/b", "..", "x..y", "scheduled__1", "asset_triggered__1", "backfill__1", "x" * 251, "ü"]
)
async def test_ids_that_airflow_does_not_take_are_refused(airflow: Airflow, run_id: str) -> None:
    with pytest.raises(AirflowRefused) as refused:
        await airflow.api.trigger_dag(DAG, run_id, {})

    assert refused.value.status in (400, 422)
    assert not refused.value.retriable


async def test_an_empty_id_makes_a_run_with_an_id_of_airflows_own(airflow: Airflow) -> None:
    made = await airflow.api.trigger_dag(PAUSED, "", {})

    assert made.run_id


async def test_nul_in_the_conf_is_refused(airflow: Airflow) -> None:
    with pytest.raises(AirflowRefused) as refused:
        await airflow.api.trigger_dag(DAG, new_id(), {"text": "a\x00b"})

    assert refused.value.status == 422


async def test_rows_come_by_time_with_the_count_of_their_window(airflow: Airflow) -> None:
    since = datetime.now(UTC)
    for number in range(3):
        await airflow.create("tradeloop.edge.rest", {"number": number})
    until = datetime.now(UTC) + timedelta(seconds=1)

    first = await airflow.api.asset_events(since, until, limit=2)
    second = await airflow.api.asset_events(since, until, limit=2, offset=2)
    nothing = await airflow.api.asset_events(since, until, limit=2, offset=3)

    rows = [*first.rows, *second.rows]
    assert [row.extra for row in rows] == [{"number": number, "from_rest_api": True} for number in range(3)]
    assert [row.timestamp for row in rows] == sorted(row.timestamp for row in rows)
    assert {row.asset_name for row in rows} == {"tradeloop.edge.rest"}
    assert {(row.source_dag_id, row.source_run_id, row.source_task_id) for row in rows} == {("", "", "")}
    assert (first.total, second.total, nothing.total, list(nothing.rows)) == (3, 3, 3, [])


async def test_a_window_is_closed_at_its_beginning_and_open_at_its_end(airflow: Airflow) -> None:
    since = datetime.now(UTC)
    await airflow.create("tradeloop.edge.rest", {})
    (row,) = (await airflow.api.asset_events(since, since + timedelta(minutes=1), limit=100)).rows
    instant = timedelta(microseconds=1)

    at = await airflow.api.asset_events(row.timestamp, row.timestamp + instant, limit=100)
    before = await airflow.api.asset_events(row.timestamp - instant, row.timestamp, limit=100)
    after = await airflow.api.asset_events(row.timestamp + instant, row.timestamp + 2 * instant, limit=100)

    assert [len(page.rows) for page in (at, before, after)] == [1, 0, 0]


async def test_the_oldest_row_is_not_younger_than_any_other(airflow: Airflow) -> None:
    await airflow.create("tradeloop.edge.rest", {})
    page = await airflow.api.asset_events(datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC), limit=1)

    assert await airflow.api.oldest_asset_event_at() == page.rows[0].timestamp
