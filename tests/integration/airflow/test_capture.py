"""From a task on the real Airflow to the inbox, by both lanes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from capture import arrived, eventually, returned, rows_of, run_dag, start_dag, told

from tradeloop import WorkflowEvent
from tradeloop.airflow.capture_audit import audit_capture
from tradeloop.airflow.client import AirflowClient
from tradeloop.airflow.history import AssetHistory
from tradeloop.ports import AssetEventRow
from tradeloop.store.captures import PostgresCaptureHistory
from tradeloop.store.database import Database

if TYPE_CHECKING:
    from tradeloop.stack import Stack

SWEPT_S = 3
"""The stack's sweep has looked by then, more than once."""
OURS_IN_A_TASK = [
    "tradeloop",
    "tradeloop.airflow",
    "tradeloop.airflow.outlet",
    "tradeloop.airflow.plugin",
    "tradeloop.airflow.xcom",
]
"""The package's two `__init__` files, `event` and `emit`, and what Airflow itself loads: the plugin by its entry point,
the XCom backend because the stack's configuration names it."""


@pytest.fixture(scope="module")
async def run_id(airflow_stack: Stack) -> str:
    """A run of the DAG that announces in every way."""
    async with AirflowClient.from_settings(airflow_stack.settings) as client:
        return await run_dag(client, "edge_events")


async def test_every_kind_of_task_announces_its_events(
    airflow: AirflowClient, inbox: Database, instance: str, run_id: str
) -> None:
    rows = await rows_of(airflow, run_id)
    found = await arrived(inbox, told(rows, instance))

    assert Counter(row.asset_name for row in rows) == {
        "tradeloop.edge.several": 1,
        "tradeloop.edge.other": 1,
        "tradeloop.edge.mapped": 4,
        "tradeloop.edge.silent": 1,
        "tradeloop.edge.classic": 1,
    }
    assert Counter(event.event_type for event in found) == {
        "edge.several": 3,
        "edge.other": 1,
        "edge.mapped": 4,
        "edge.silent": 1,
        "edge.classic": 1,
    }


async def test_the_bytes_that_the_task_wrote_arrive(
    airflow: AirflowClient, inbox: Database, instance: str, run_id: str
) -> None:
    found = await arrived(inbox, told(await rows_of(airflow, run_id), instance))

    bodies = {event.event_type: WorkflowEvent.from_json(event.body) for event in found}
    assert bodies["edge.other"].payload.data == {
        "price": "1.10",
        "at": "2026-01-02T00:00:00.000000Z",
        "token": "not a secret",
        "name": "Zürich",
    }
    assert bodies["edge.classic"].payload.data == {"said": "done"}
    assert bodies["edge.silent"].payload.data == {}
    assert all(WorkflowEvent.from_json(event.body).to_json() == event.body for event in found)
    assert {event.subject for event in found if event.event_type == "edge.several"} == {"edge/0", "edge/1", "edge/2"}


async def test_an_outlet_without_a_word_comes_by_the_sweep_alone(
    airflow: AirflowClient, inbox: Database, instance: str, run_id: str
) -> None:
    found = await arrived(inbox, told(await rows_of(airflow, run_id), instance))

    assert {event.lane for event in found if event.event_type == "edge.silent"} == {"sweep"}
    assert "fast" in {event.lane for event in found if event.event_type != "edge.silent"}


async def test_only_the_attempt_that_succeeds_announces(airflow: AirflowClient, inbox: Database, instance: str) -> None:
    run_id = await run_dag(airflow, "edge_retry")

    (event,) = await arrived(inbox, told(await rows_of(airflow, run_id), instance))

    assert WorkflowEvent.from_json(event.body).payload.data == {"attempt": 2}


async def test_a_refusal_is_one_sentence_that_says_what_to_do(
    airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    run_id = await run_dag(airflow, "edge_refused")

    said = await returned(airflow, "edge_refused", run_id, "tries")
    (event,) = await arrived(inbox, told(await rows_of(airflow, run_id), instance))

    assert said["undeclared"].endswith("declare it: outlets=[event('edge.undeclared')]")
    assert said["nan"].startswith("emit: data.price is nan")
    assert "at most 262,144 are taken; put the data into a file" in said["large"]
    assert WorkflowEvent.from_json(event.body).payload.data == {"refused": 3}


@pytest.fixture
async def looks(airflow_stack: Stack, airflow: AirflowClient) -> AsyncIterator[list[dict[str, Any]]]:
    """What tasks saw in their own processes, one at least in a worker forked after the scheduler's hooks had fired."""
    scheduler = psutil.Process(airflow_stack.part("scheduler").pid)
    first = live_workers(scheduler)
    await start_dag(airflow, "edge_worker_killed")

    async def the_others() -> list[psutil.Process]:
        left = live_workers(scheduler)
        return left if len(left) < len(first) else []

    async def another() -> list[psutil.Process]:
        return [worker for worker in live_workers(scheduler) if worker not in first]

    async def one_is_new() -> list[dict[str, Any]]:
        run_id = await run_dag(airflow, "edge_look")
        found = [await returned(airflow, "edge_look", run_id, "inside", number) for number in range(3)]
        return found if {look["worker"] for look in found} & {worker.pid for worker in await another()} else []

    try:
        # LocalExecutor forks again only when work waits: hold the workers that are left until it has.
        left = await eventually(the_others, "the end of a worker")
        for worker in left:
            worker.suspend()
        await start_dag(airflow, "edge_look")
        await eventually(another, "a worker that was forked after the hooks")
        for worker in left:
            worker.resume()
        yield await eventually(one_is_new, "a task in a worker that was forked after the hooks")
    finally:
        await asyncio.to_thread(airflow_stack.restart, "scheduler")


def live_workers(scheduler: psutil.Process) -> list[psutil.Process]:
    """The executor's worker processes."""
    return [child for child in scheduler.children() if child.status() != psutil.STATUS_ZOMBIE]


async def test_a_task_holds_nothing_of_ours_but_the_stub_and_the_outlet(
    airflow_stack: Stack, looks: list[dict[str, Any]]
) -> None:
    broker = f"{int(airflow_stack.settings.kafka_bootstrap.rpartition(':')[2]):04X}"
    for look in looks:
        assert look["modules"] == OURS_IN_A_TASK
        assert look["threads"] == ["MainThread"]
        assert not [name for name in look["native_threads"] if "rdk" in name or "tradeloop" in name]
        own = {link.partition("[")[2].rstrip("]") for link in look["sockets"]}
        assert not [line for line in open_sockets(look["udp"]) if line[9] in own], "a datagram socket is open"
        assert not [line for line in open_sockets(look["tcp"]) if line[9] in own and line[2].endswith(f":{broker}")]


def open_sockets(table: str) -> list[list[str]]:
    """The lines of /proc/net/tcp or udp: field 2 is the remote address, field 9 the inode."""
    return [line.split() for line in table.splitlines()[1:]]


async def test_a_row_that_airflow_cannot_serve_stops_nothing(
    airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    since = datetime.now(UTC)
    await run_dag(airflow, "edge_poison")
    run_id = await run_dag(airflow, "edge_retry")

    async def buried() -> list[dict[str, Any]]:
        return await inbox.rows(
            "SELECT cause FROM dead_letters WHERE source = 'airflow' AND error_class = 'AirflowRefused'"
        )

    letters = await eventually(buried, "a dead letter for the row")
    now = datetime.now(UTC)
    report = await audit_capture(airflow, PostgresCaptureHistory(inbox), instance, since, now + timedelta(seconds=1))

    assert len(letters) == 1
    assert "500" in letters[0]["cause"]
    assert report.unreadable_rows == 1
    assert (report.missing, report.doubled, report.phantom) == ([], [], [])
    history = await airflow.get("/dags/edge_retry/dagRuns/" + run_id)
    assert history["state"] == "success"


async def test_an_event_whose_own_run_is_queued_is_read_when_that_has_started(
    airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    name, dag = "tradeloop.edge.queueing", "/dags/edge_queueing"

    async def asset() -> int | None:
        return await airflow.asset_id(name)

    async def ended_run() -> str | None:
        runs = (await airflow.get(f"{dag}/dagRuns", state="success"))["dag_runs"]
        return runs[0]["dag_run_id"] if runs else None

    async def is_read() -> bool:
        return not await airflow.holds_back_rows()

    async def told_of_it() -> list[AssetEventRow]:
        rows = [row async for _, part in history.parts(since, datetime.now(UTC)) for row in part]
        return [row for row in rows if row.asset_name == name]

    history, since = AssetHistory(airflow), datetime.now(UTC)
    asset_id = await eventually(asset, name)
    await airflow.create_asset_event(asset_id, {"number": 1})
    run_id = await eventually(ended_run, "the run that the event causes")
    await airflow._call("PATCH", dag, body={"is_paused": True})
    await airflow._call("POST", f"{dag}/dagRuns/{run_id}/clear", body={"dry_run": False})
    assert await airflow.holds_back_rows()
    assert await told_of_it() == []
    assert (len(history.unreadable), history.held_back) == (1, history.unreadable.keys())
    await asyncio.sleep(SWEPT_S)

    await airflow._call("PATCH", dag, body={"is_paused": False})
    await eventually(is_read, "the start of the run")
    rows = await told_of_it()
    assert [row.extra["number"] for row in rows] == [1]
    await arrived(inbox, told(rows, instance))
    letters = await inbox.rows("SELECT cause FROM dead_letters WHERE source = 'airflow' AND created_at >= %s", (since,))
    assert letters == []


async def test_the_audit_finds_every_event_of_the_session(
    airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    await run_dag(airflow, "edge_events")
    history = PostgresCaptureHistory(inbox)

    async def complete() -> Any:
        now = datetime.now(UTC)
        report = await audit_capture(airflow, history, instance, now - timedelta(minutes=10), now)
        return report if report.accepted and not report.missing and not report.pending else None

    report = await eventually(complete, "a complete audit")

    assert report.is_complete
    assert report.in_airflow == report.accepted + report.dead_lettered
    assert set(report.by_lane) <= {"fast", "sweep"}


async def test_the_health_page_asks_who_wants_to_know(airflow_stack: Stack, airflow: AirflowClient) -> None:
    async with httpx.AsyncClient(base_url=airflow_stack.settings.airflow_url, trust_env=False) as http:
        stranger = await http.get("/tradeloop/health")
        token = (
            await http.post(
                "/auth/token",
                json={
                    "username": airflow_stack.settings.airflow_username,
                    "password": airflow_stack.settings.airflow_password.get_secret_value(),
                },
            )
        ).json()["access_token"]
        known = await http.get("/tradeloop/health", headers={"Authorization": f"Bearer {token}"})

    assert stranger.status_code in (401, 403)
    assert known.status_code == 200, known.text
    assert known.json()["fast_lane"] == "on"
    assert known.json()["dropped"] == 0
