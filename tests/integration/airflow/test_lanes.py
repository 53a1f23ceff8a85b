"""Which lane brings an event when a part is killed, stopped or switched off, and what brings none at all."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from capture import Arrived, arrived, eventually, rows_of, run_dag, told
from kafka import KafkaConsumer, TopicPartition

from tradeloop.airflow.capture_audit import audit_capture
from tradeloop.airflow.client import AirflowClient
from tradeloop.store.captures import PostgresCaptureHistory
from tradeloop.store.database import Database

if TYPE_CHECKING:
    from tradeloop.stack import Stack

ENABLED = "AIRFLOW__TRADELOOP__ENABLED"


def on_the_log(stack: Stack) -> list[dict[str, Any]]:
    """All events on Kafka, as a client that knows nothing of tradeloop reads them."""
    topic = stack.settings.events_topic
    consumer = KafkaConsumer(bootstrap_servers=stack.settings.kafka_bootstrap, auto_offset_reset="earliest")
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        found = []
        while any(consumer.position(place) < end for place, end in ends.items()):
            for records in consumer.poll(timeout_ms=1000).values():
                found += [{"key": r.key, "value": r.value, **dict(r.headers)} for r in records]
        return found
    finally:
        consumer.close()


async def test_a_plain_consumer_reads_the_event_and_its_headers(
    airflow_stack: Stack, airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    run_id = await run_dag(airflow, "edge_retry")
    (event,) = await arrived(inbox, told(await rows_of(airflow, run_id), instance))

    records = await asyncio.to_thread(on_the_log, airflow_stack)
    record = next(r for r in records if r["ce_id"].decode() == str(event.event_id))

    body = json.loads(record["value"])
    assert record["value"].decode() == event.body
    assert record["key"].decode() == body["subject"] == f"edge_retry/{run_id}"
    headers = {name: value.decode() for name, value in record.items() if name not in ("key", "value")}
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": body["event_id"],
        "ce_type": "edge.retried",
        "ce_source": "airflow",
        "ce_subject": body["subject"],
        "ce_time": body["timestamp"],
        "content-type": "application/json",
        "tradeloop_lane": "fast",
    }


async def test_an_event_that_rest_creates_comes_by_the_sweep_alone(
    airflow_stack: Stack, airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    since = datetime.now(UTC)
    (asset_id,) = [
        asset["id"]
        for asset in (await airflow.get("/assets", name_pattern="tradeloop.edge.rest"))["assets"]
        if asset["name"] == "tradeloop.edge.rest"
    ]
    extra = {"symbol": "SPX", "price": "1.10"}
    await airflow._call("POST", "/assets/events", body={"asset_id": asset_id, "extra": extra})
    page = await airflow.asset_events(since, datetime.now(UTC) + timedelta(seconds=5), limit=100)
    (row,) = [row for row in page.rows if row.asset_name == "tradeloop.edge.rest"]

    (event,) = await arrived(inbox, told([row], instance))

    assert event.lane == "sweep"
    assert json.loads(event.body)["payload"]["data"] == extra
    assert [r["tradeloop_lane"] for r in await asyncio.to_thread(on_the_log, airflow_stack) if is_of(r, event)] == [
        b"sweep"
    ]


def is_of(record: dict[str, Any], event: Arrived) -> bool:
    return bool(record["ce_id"].decode() == str(event.event_id))


@pytest.fixture(scope="module")
def logs(airflow_stack: Stack) -> Path:
    return airflow_stack.home.root / "airflow" / "logs" / "dag_id=edge_failing"


async def test_a_task_that_fails_announces_nothing_and_its_log_says_why(airflow: AirflowClient, logs: Path) -> None:
    run_id = await run_dag(airflow, "edge_failing", "failed")

    said = {
        task_id: (logs / f"run_id={run_id}" / f"task_id={task_id}" / "attempt=1.log").read_text()
        for task_id in ("not_a_number", "undeclared")
    }
    assert (
        "emit: data.bars[1].close is nan, which JSON does not have; leave it out, or give None" in said["not_a_number"]
    )
    assert "declare it: outlets=[event('edge.nobody_declared')]" in said["undeclared"]
    assert await rows_of(airflow, run_id) == []


async def test_marking_a_task_as_success_announces_nothing(airflow: AirflowClient) -> None:
    run_id = await run_dag(airflow, "edge_failing", "failed")
    path = f"/dags/edge_failing/dagRuns/{run_id}/taskInstances/marked"

    await airflow._call("PATCH", path, body={"new_state": "success"})

    assert (await airflow.get(path))["state"] == "success"
    assert await rows_of(airflow, run_id) == []


@pytest.fixture(scope="module")
async def killed(airflow_stack: Stack) -> AsyncIterator[str]:
    """A run whose events were on no log when the API server was killed; it is back, and its fast lane is off."""
    async with AirflowClient.from_settings(airflow_stack.settings) as client:
        airflow_stack.signal("kafka", signal.SIGSTOP)
        try:
            run_id = await run_dag(client, "edge_events")
            airflow_stack.signal("api-server", signal.SIGKILL)
        finally:
            airflow_stack.signal("kafka", signal.SIGCONT)
    await asyncio.to_thread(airflow_stack.restart, "api-server", environment={ENABLED: "false"})
    yield run_id
    await asyncio.to_thread(airflow_stack.restart, "api-server", environment={ENABLED: "true"})


async def test_an_api_server_that_is_killed_with_the_broker_stopped_loses_nothing(
    airflow: AirflowClient, inbox: Database, instance: str, killed: str
) -> None:
    events = told(await rows_of(airflow, killed), instance)

    found = await arrived(inbox, events)

    assert len(events) == 10
    # At most five requests were on their way: the stopped broker reads those later, the others died with the process.
    fast_ones = {event.event_id for event in events if event.has_fast_lane}
    assert "sweep" in {event.lane for event in found if event.event_id in fast_ones}


async def test_with_the_fast_lane_off_the_sweep_brings_everything(
    airflow: AirflowClient, inbox: Database, instance: str, killed: str
) -> None:
    run_id = await run_dag(airflow, "edge_events")

    found = await arrived(inbox, told(await rows_of(airflow, run_id), instance))

    assert run_id != killed
    assert {event.lane for event in found} == {"sweep"}


async def test_after_all_that_nothing_is_missing_doubled_or_phantom(
    airflow: AirflowClient, inbox: Database, instance: str
) -> None:
    history = PostgresCaptureHistory(inbox)

    async def settled() -> Any:
        now = datetime.now(UTC)
        report = await audit_capture(airflow, history, instance, now - timedelta(minutes=15), now)
        return None if report.missing or report.pending else report

    report = await eventually(settled, "an audit without a missing event")

    assert report.is_complete
    assert report.in_airflow == report.accepted + report.dead_lettered
    assert set(report.by_lane) == {"fast", "sweep"}
