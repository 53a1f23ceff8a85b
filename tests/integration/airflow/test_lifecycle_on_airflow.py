"""What becomes of runs and tasks on the real Airflow, in the inbox: each once, also after a clear and a restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from capture import eventually, run_dag, start_dag

from tradeloop import WorkflowEvent
from tradeloop.airflow.capture_audit import audit_capture
from tradeloop.airflow.client import AirflowClient
from tradeloop.airflow.envelope import envelope_of
from tradeloop.airflow.lifecycle import BEGAN
from tradeloop.airflow.lifecycle_audit import LifecycleReport, audit_lifecycle
from tradeloop.airflow.run_history import AirflowRunHistory
from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.store.captures import PostgresCaptureHistory, PostgresCaptures
from tradeloop.store.database import Database

if TYPE_CHECKING:
    from tradeloop.stack import Stack

ROUND = timedelta(seconds=1)
Told = tuple[str, str, int]
"""Type, task and try; of a run no task and 0."""

ONE_PASS: dict[Told, int] = {
    ("workflow.triggered", "", 0): 1,
    ("task.retried", "fails_at_first", 1): 1,
    ("task.failed", "always_fails", 1): 1,
    ("task.skipped", "left_out", 0): 1,
    ("workflow.failed", "", 0): 1,
}


async def events_of(inbox: Database, dag_id: str, run_id: str) -> list[WorkflowEvent]:
    rows = await inbox.rows(
        "SELECT payload FROM inbox WHERE subject = %s AND event_type = ANY(%s)",
        (f"{dag_id}/{run_id}", [kind.value for kind in LifecycleType]),
    )
    return [WorkflowEvent.from_json(bytes(row["payload"])) for row in rows]


def what(event: WorkflowEvent) -> Told:
    data: dict[str, Any] = dict(event.payload.data)
    return event.event_type, data.get("task_id", ""), data.get("try_number", 0)


async def told(inbox: Database, dag_id: str, run_id: str, expected: dict[Told, int]) -> list[WorkflowEvent]:
    """The run's lifecycle events, once all that are expected are there."""

    async def all_of_them() -> list[WorkflowEvent]:
        found = await events_of(inbox, dag_id, run_id)
        return found if not Counter(expected) - Counter(map(what, found)) else []

    return list(await eventually(all_of_them, f"{expected} of {dag_id}"))


async def sweep_again(stack: Stack, inbox: Database) -> None:
    """Start the relay anew, and wait until it has read the whole overlap."""
    await asyncio.to_thread(stack.restart, "relay")
    started_at = datetime.now(UTC)

    async def has_swept() -> Any:
        return await inbox.rows("SELECT 1 FROM capture_cursors WHERE name = 'lifecycle' AND at > %s", (started_at,))

    await eventually(has_swept, "a whole look of the new relay")


async def test_every_end_of_a_run_and_its_tasks_is_told_once(
    airflow_stack: Stack, airflow: AirflowClient, inbox: Database
) -> None:
    run_id = await run_dag(airflow, "edge_lifecycle", "failed")
    await told(inbox, "edge_lifecycle", run_id, ONE_PASS)
    await sweep_again(airflow_stack, inbox)

    found = await events_of(inbox, "edge_lifecycle", run_id)

    assert Counter(map(what, found)) == ONE_PASS
    by_type = {event.event_type: event for event in found}
    failed, retried = by_type["task.failed"].payload.data, by_type["task.retried"].payload.data
    assert failed["error"] == "RuntimeError: no prices today"
    assert (failed["state"], retried["state"]) == ("failed", "up_for_retry")
    assert "_PythonDecoratedOperator" in str(failed["operator"]) or "@task" in str(failed["operator"])
    assert str(retried["error"]).startswith("ValueError: the vendor refused the key ***: xxx")
    assert len(str(retried["error"])) == 2_000
    assert all(failed[name] for name in ("start_at", "end_at"))
    assert float(str(failed["duration_s"])) > 0
    assert not any("a-secret-of-the-firm" in event.to_json() for event in found)
    ended = by_type["workflow.failed"].payload.data
    assert (ended["failed_tasks"], ended["upstream_failed_tasks"]) == (["always_fails"], ["never_starts"])


async def test_a_cleared_run_is_told_a_second_time_and_no_more(
    airflow_stack: Stack, airflow: AirflowClient, inbox: Database
) -> None:
    run_id = await run_dag(airflow, "edge_lifecycle", "failed")
    await told(inbox, "edge_lifecycle", run_id, ONE_PASS)
    await airflow._call("POST", f"/dags/edge_lifecycle/dagRuns/{run_id}/clear", body={"dry_run": False})
    # The tries go on: 3 of the task that was retried, which is odd and fails again.
    second = {
        ("workflow.triggered", "", 0): 2,
        ("task.retried", "fails_at_first", 1): 1,
        ("task.retried", "fails_at_first", 3): 1,
        ("task.failed", "always_fails", 1): 1,
        ("task.failed", "always_fails", 2): 1,
        ("task.skipped", "left_out", 0): 2,
        ("workflow.failed", "", 0): 2,
    }
    await told(inbox, "edge_lifecycle", run_id, second)
    await sweep_again(airflow_stack, inbox)

    assert Counter(map(what, await events_of(inbox, "edge_lifecycle", run_id))) == second


async def test_what_a_person_marks_is_told_as_it_is_then(airflow: AirflowClient, inbox: Database) -> None:
    run_id = await run_dag(airflow, "edge_marked")
    await told(inbox, "edge_marked", run_id, {("workflow.completed", "", 0): 1})

    await airflow._call(
        "PATCH", f"/dags/edge_marked/dagRuns/{run_id}/taskInstances/succeeds", body={"new_state": "failed"}
    )
    await airflow._call("PATCH", f"/dags/edge_marked/dagRuns/{run_id}", body={"state": "failed"})

    expected = {
        ("workflow.triggered", "", 0): 1,
        ("workflow.completed", "", 0): 1,
        ("task.failed", "succeeds", 1): 1,
        ("workflow.failed", "", 0): 1,
    }
    assert Counter(map(what, await told(inbox, "edge_marked", run_id, expected))) == expected


async def test_a_task_that_waits_for_a_person_is_told(
    airflow_stack: Stack, airflow: AirflowClient, inbox: Database
) -> None:
    run_id = await start_dag(airflow, "edge_asks")
    path = f"/dags/edge_asks/dagRuns/{run_id}/taskInstances/ask"

    async def waits() -> bool:
        """The scheduler has looked since, too: an answer within its round makes it fail the task (state mismatch)."""
        rows = (await airflow.get("/eventLogs", run_id=run_id, event="awaiting_input", order_by="when"))["event_logs"]
        looked_at = (await airflow.get(f"/dags/edge_asks/dagRuns/{run_id}"))["last_scheduling_decision"]
        return bool(rows) and datetime.fromisoformat(looked_at) > datetime.fromisoformat(rows[0]["when"]) + ROUND

    await eventually(waits, "a task that waits")
    await airflow._call("PATCH", f"{path}/-1/hitlDetails", body={"chosen_options": ["yes"]})
    expected = {
        ("workflow.triggered", "", 0): 1,
        ("task.awaiting_input", "ask", 1): 1,
        ("workflow.completed", "", 0): 1,
    }
    await told(inbox, "edge_asks", run_id, expected)
    await sweep_again(airflow_stack, inbox)

    assert Counter(map(what, await events_of(inbox, "edge_asks", run_id))) == expected


async def test_a_run_that_a_decision_started_carries_it_on(airflow: AirflowClient, inbox: Database) -> None:
    decision, first = str(uuid4()), str(uuid4())
    await run_dag(airflow, "edge_marked")  # the DAG is there
    conf = {"decision_id": decision, "correlation_id": first, "causation_id": decision, "depth": 2}
    await airflow.trigger_dag("edge_marked", decision, conf)

    found = await told(
        inbox, "edge_marked", decision, {("workflow.triggered", "", 0): 1, ("workflow.completed", "", 0): 1}
    )

    for event in found:
        assert (str(event.correlation_id), str(event.causation_id)) == (first, decision)
        assert event.payload.data["decision_id"] == decision
        assert (event.metadata.model_extra or {})["chain_depth"] == 2


async def test_an_event_that_a_program_gives_to_airflows_rest_api_arrives_as_it_was_written(
    airflow: AirflowClient, inbox: Database
) -> None:
    event = WorkflowEvent(
        event_id=uuid4(),
        event_type="edge.rest",
        timestamp=datetime.now(UTC),
        source="vendor-loader",
        workflow_id="vendor-loader",
        workflow_run_id="2026-11-23",
        subject="SPX/Zürich",
        payload={"data": {"close": "1.10", "token": "not a secret", "n": 12345678901234567890}},
    )
    assets = (await airflow.get("/assets", name_pattern="tradeloop.edge.rest"))["assets"]
    (asset_id,) = [asset["id"] for asset in assets if asset["name"] == "tradeloop.edge.rest"]

    await airflow._call("POST", "/assets/events", body={"asset_id": asset_id, "extra": envelope_of(event)})

    async def there() -> list[dict[str, Any]]:
        return await inbox.rows("SELECT payload, lane FROM inbox WHERE event_id = %s", (event.event_id,))

    (row,) = await eventually(there, "the event in the inbox")
    assert bytes(row["payload"]).decode() == event.to_json()
    assert row["lane"] == "sweep"


async def test_the_audit_finds_every_end_of_a_run_and_takes_no_lifecycle_event_for_a_phantom(
    airflow_stack: Stack, airflow: AirflowClient, inbox: Database
) -> None:
    settings, store = airflow_stack.settings, PostgresCaptureHistory(inbox)
    await run_dag(airflow, "edge_lifecycle", "failed")
    began = await PostgresCaptures(inbox).cursor(BEGAN)
    assert began

    async def complete() -> LifecycleReport | None:
        report = await audit_lifecycle(AirflowRunHistory(airflow), store, settings, began, datetime.now(UTC))
        return report if report.ended and report.told == report.ended else None

    report = await eventually(complete, "every end of a run")
    now = datetime.now(UTC)
    capture = await audit_capture(airflow, store, settings.instance, now - timedelta(minutes=10), now)

    assert report.is_complete
    assert capture.phantom == []
