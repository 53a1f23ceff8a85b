"""A decision whose DAG cannot start: said so in `runs show`, tried again, and started exactly once when it can be."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from capture import eventually

from tradeloop import WorkflowEvent
from tradeloop.airflow.client import AirflowClient
from tradeloop.kafka.messages import to_record
from tradeloop.kafka.producer import KafkaPublisher

if TYPE_CHECKING:
    from tradeloop.stack import Stack

GOOD = """
from airflow.sdk import dag, task
@dag(dag_id="{dag_id}", schedule=None)
def started() -> None:
    @task
    def nothing() -> None: ...
    nothing()
started()
"""
BROKEN = GOOD + "\nimport a_module_that_nobody_has\n"


@pytest.fixture
def stack(airflow_stack: Stack) -> Iterator[Stack]:
    """With a worker that has the desk."""
    workflows = str(Path(__file__).with_name("asking_desk.py")) + ":workflow"
    airflow_stack.restart("worker", environment={"TRADELOOP_WORKFLOWS": workflows})
    yield airflow_stack
    airflow_stack.restart("worker", environment={"TRADELOOP_WORKFLOWS": ""})


@pytest.fixture
async def publisher(stack: Stack) -> AsyncIterator[KafkaPublisher]:
    made = KafkaPublisher(stack.settings.kafka_bootstrap)
    yield made
    made.close()


async def asked(stack: Stack, publisher: KafkaPublisher, dag_id: str) -> str:
    """Ask for a start of the DAG; the event's id."""
    event = WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "edge.asked_to_start",
            "timestamp": "2026-11-23T12:00:00Z",
            "source": "test",
            "workflow_id": "edge",
            "workflow_run_id": "1",
            "subject": dag_id,
            "payload": {"data": {"dag_id": dag_id}},
        }
    )
    await publisher.publish([to_record(event, stack.settings.events_topic)])
    return str(event.event_id)


def show(stack: Stack, event_id: str) -> dict[str, Any]:
    """What `tradeloop runs show` tells of the event's run; empty while there is none."""
    command = [sys.executable, "-m", "tradeloop", "runs", "show", event_id, "--json"]
    environment = os.environ | {"TRADELOOP_HOME": str(stack.settings.home), "TRADELOOP_INSTANCE": "tests"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


async def told(stack: Stack, event_id: str, state: str, words: str = "") -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        shown = await asyncio.to_thread(show, stack, event_id)
        effect = shown.get("effect") or {}
        return shown if effect.get("state") == state and words in (effect.get("error") or "") else None

    return dict(await eventually(look, f"an effect that is {state}: {words}"))


async def test_what_keeps_a_dag_from_starting_is_told_and_its_run_starts_once_when_it_can(
    stack: Stack, airflow: AirflowClient, publisher: KafkaPublisher
) -> None:
    missing, paused, broken = (f"edge_{what}_{uuid4().hex[:8]}" for what in ("missing", "paused", "broken"))
    folder = stack.settings.dags_folder

    def write(dag_id: str, source: str) -> None:
        (folder / f"{dag_id}.py").write_text(source.format(dag_id=dag_id))

    async def is_in(dag_id: str, problem: str) -> None:
        async def has_it() -> bool:
            return await airflow.dag_problem(dag_id) == problem

        await eventually(has_it, f"{dag_id}: {problem or 'startable'}")

    for dag_id in (paused, broken):
        write(dag_id, GOOD)
    for dag_id in (paused, broken):
        await is_in(dag_id, "")
    await airflow._call("PATCH", f"/dags/{paused}", body={"is_paused": True})
    write(broken, BROKEN)
    await is_in(broken, "does not import")

    events = {dag_id: await asked(stack, publisher, dag_id) for dag_id in (missing, paused, broken)}
    await told(stack, events[missing], "blocked", f"DAG {missing}: missing")
    await told(stack, events[paused], "blocked", f"DAG {paused}: paused")
    await told(stack, events[broken], "blocked", f"DAG {broken}: does not import")

    write(missing, GOOD)
    write(broken, GOOD)
    await airflow._call("PATCH", f"/dags/{paused}", body={"is_paused": False})
    for dag_id, event_id in events.items():
        shown = await told(stack, event_id, "executed")
        assert shown["state"] == "done"
        runs = (await airflow.get(f"/dags/{dag_id}/dagRuns"))["dag_runs"]
        assert [run["dag_run_id"] for run in runs] == [shown["decision_id"]]
