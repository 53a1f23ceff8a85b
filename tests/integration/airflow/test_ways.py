"""What tasks return: as events, and as XCom for the next task, on the real Airflow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from capture import arrived, returned, rows_of, run_dag, told

from tradeloop import WorkflowEvent
from tradeloop.airflow.client import AirflowClient
from tradeloop.store.database import Database

if TYPE_CHECKING:
    from tradeloop.stack import Stack

AMOUNT = "12345678901234567.890"
VALUES = ["decimal", "model", "moment", "moment_of_offset", "nested", "numbered", "odd", "frame"]


@pytest.fixture(scope="module")
async def announced(airflow_stack: Stack) -> list[tuple[str, str, dict[str, Any]]]:
    """Type, subject and data of every event of one run."""
    settings = airflow_stack.settings
    async with AirflowClient.from_settings(settings) as airflow, Database(settings.database_url, size=1) as inbox:
        run_id = await run_dag(airflow, "edge_ways")
        found = await arrived(inbox, told(await rows_of(airflow, run_id), settings.instance))
        assert await returned(airflow, "edge_ways", run_id, "reads") == f"SPX {AMOUNT}"
    events = [WorkflowEvent.from_json(row.body) for row in found]
    return [(event.event_type, event.subject, dict(event.payload.data)) for event in events]


def of_type(announced: list[tuple[str, str, dict[str, Any]]], name: str) -> list[tuple[str, dict[str, Any]]]:
    return sorted(
        ((subject, data) for kind, subject, data in announced if kind == f"edge.ways.{name}"),
        key=str,
    )


def test_each_way_announces_once(announced: list[tuple[str, str, dict[str, Any]]]) -> None:
    assert Counter(kind.removeprefix("edge.ways.") for kind, _, _ in announced) == {
        "returned": 1,
        "model": 1,
        "mapped": 3,
        "bash": 1,
        "explicit": 1,
        "beside": 1,
        "twice": 2,
        "classic": 1,
        "classic_mapped": 2,
    }


def test_what_a_task_returns_is_the_event_and_the_next_task_reads_it(
    announced: list[tuple[str, str, dict[str, Any]]],
) -> None:
    assert of_type(announced, "returned") == [("SPX", {"symbol": "SPX", "amount": AMOUNT})]
    assert of_type(announced, "model") == [
        ("trade", {"amount": AMOUNT, "booked_at": "2026-01-02T00:00:00.000000Z", "legs": {}})
    ]


def test_each_instance_of_a_mapped_task_announces_its_own(announced: list[tuple[str, str, dict[str, Any]]]) -> None:
    assert of_type(announced, "mapped") == [(f"edge/{number}", {"number": number}) for number in range(3)]
    assert [data for _, data in of_type(announced, "classic_mapped")] == [{"line": "a"}, {"line": "b"}]


def test_bash_tasks_announce_what_they_printed_or_what_they_were_told(
    announced: list[tuple[str, str, dict[str, Any]]],
) -> None:
    assert [data for _, data in of_type(announced, "bash")] == [{"line": "last"}]
    assert [data for _, data in of_type(announced, "explicit")] == [{"before": "the command"}]


def test_a_classic_operator_announces_its_result(announced: list[tuple[str, str, dict[str, Any]]]) -> None:
    assert of_type(announced, "classic") == [("SPX", {"symbol": "SPX"})]


def test_explicit_and_returned_events_of_one_task_are_both_there(
    announced: list[tuple[str, str, dict[str, Any]]],
) -> None:
    assert [data["number"] for _, data in of_type(announced, "twice")] == ["first", "second"]


async def test_a_task_that_returns_no_mapping_fails_and_announces_nothing(airflow: AirflowClient) -> None:
    run_id = await run_dag(airflow, "edge_ways_failing", "failed")

    log = await airflow.get(
        f"/dags/edge_ways_failing/dagRuns/{run_id}/taskInstances/returns_no_mapping/logs/1", full_content="true"
    )

    assert "emit: data is int, a mapping is expected" in str(log)
    assert await rows_of(airflow, run_id) == []


@pytest.fixture(scope="module")
async def taken(airflow_stack: Stack) -> dict[str, dict[str, Any]]:
    """What the reading tasks found."""
    async with AirflowClient.from_settings(airflow_stack.settings) as airflow:
        run_id = await run_dag(airflow, "edge_xcom")
        return {name: await returned(airflow, "edge_xcom", run_id, f"takes_{name}") for name in VALUES}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_to_the_next_task_equal_and_of_the_same_type(taken: dict[str, dict[str, Any]], name: str) -> None:
    assert taken[name]["equal"] is True
    assert taken[name]["kinds"] == taken[name]["given_kinds"]


def test_a_decimal_keeps_its_twenty_digits_and_its_scale(taken: dict[str, dict[str, Any]]) -> None:
    assert taken["decimal"]["text"] == f"Decimal('{AMOUNT}')"
    assert f"amount=Decimal('{AMOUNT}')" in taken["model"]["text"]
    assert f"Decimal('{AMOUNT}')" in taken["nested"]["text"]
    assert taken["frame"]["text"] == f"[Decimal('{AMOUNT}'), None]"
