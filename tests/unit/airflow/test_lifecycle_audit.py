"""Ended runs against the inbox, and the events that programs outside tasks give to Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from histories import NOON, MemoryHistory, after, settings

from tradeloop import WorkflowEvent
from tradeloop.airflow.candidates import candidates
from tradeloop.airflow.envelope import envelope_of, envelopes
from tradeloop.airflow.lifecycle_audit import LifecycleReport, audit_lifecycle
from tradeloop.airflow.transitions import of_run
from tradeloop.testing.airflow import MemoryAirflow
from tradeloop.testing.airflow_runs import MemoryRunHistory

NOW = after(600)


@pytest.fixture
def airflow() -> MemoryRunHistory:
    history = MemoryRunHistory()
    for number, dag_id, state in ((1, "load", "success"), (2, "load", "failed"), (3, "other", "failed")):
        history.trigger(dag_id, f"r{number}", after(number))
        history.end(dag_id, f"r{number}", state, after(10 * number))
    history.trigger("load", "running", after(5))
    return history


async def audit(airflow: MemoryRunHistory, inbox: MemoryHistory, **given: str) -> LifecycleReport:
    return await audit_lifecycle(airflow, inbox, settings(**given), NOON, NOW)


async def take_all(airflow: MemoryRunHistory, inbox: MemoryHistory, unless: str = "") -> None:
    for run in await airflow.dag_runs(NOON, NOW):
        for told in of_run(run, "local"):
            if run.run_id != unless:
                inbox.take(told.event_id, told.at + timedelta(seconds=1), lane="sweep")


async def test_runs_whose_end_was_told_are_complete(airflow: MemoryRunHistory) -> None:
    inbox = MemoryHistory()
    await take_all(airflow, inbox)

    report = await audit(airflow, inbox)

    assert report == LifecycleReport(ended=3, told=3)
    assert json.loads(json.dumps(report.as_json()))["is_complete"] is True


async def test_a_run_whose_end_was_not_told_is_missing_by_its_name(airflow: MemoryRunHistory) -> None:
    inbox = MemoryHistory()
    await take_all(airflow, inbox, unless="r2")

    report = await audit(airflow, inbox)

    assert report.missing == ["load/r2"]
    assert not report.is_complete


async def test_only_what_is_chosen_can_be_missing(airflow: MemoryRunHistory) -> None:
    report = await audit(airflow, MemoryHistory(), lifecycle_types="workflow.failed", lifecycle_dags="lo*")

    assert report.missing == ["load/r2"]


async def test_a_run_of_this_moment_is_pending(airflow: MemoryRunHistory) -> None:
    airflow.trigger("eod", "r9", after(590))
    airflow.end("eod", "r9", "success", after(595))

    report = await audit(airflow, MemoryHistory(), lifecycle_dags="eod")

    assert (report.ended, report.pending, report.missing) == (1, 1, [])


@pytest.fixture
def event() -> Callable[[str], WorkflowEvent]:
    def made(name: str) -> WorkflowEvent:
        return WorkflowEvent(
            event_id=f"00000000-0000-4000-8000-00000000000{name}",
            event_type="prices.loaded",
            timestamp=NOON,
            source="vendor",
            workflow_id="vendor",
            workflow_run_id=name,
            subject="SPX/Zürich",
            payload={"data": {"close": "1.10", "token": "not a secret"}},
        )

    return made


def test_an_envelope_from_outside_a_task_is_read_byte_by_byte(event: Callable[[str], WorkflowEvent]) -> None:
    extra = json.loads(
        json.dumps(envelope_of(event("1"), event("2"), traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"))
    )

    found = list(envelopes(extra))

    assert [envelope.body for envelope in found] == [event("1").to_json(), event("2").to_json()]
    assert all(envelope.is_intact for envelope in found)
    assert {envelope.traceparent[:3] for envelope in found} == {"00-"}


def test_rest_made_events_with_an_envelope_are_the_sweeps_alone(event: Callable[[str], WorkflowEvent]) -> None:
    row = MemoryAirflow().create_event_by_rest("tradeloop.prices.loaded", envelope_of(event("1")), NOON)

    (candidate,) = candidates(row, "local", "development", "workflow-events")

    assert candidate.record is not None
    assert candidate.record.value.decode() == event("1").to_json()
    assert candidate.record.key == "SPX/Zürich".encode()
    assert not candidate.has_fast_lane
