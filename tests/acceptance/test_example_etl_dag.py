"""The example DAG on the real Airflow: by schedule and by hand, with good, wrong and malformed rows."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from walking import decided, end_of, eventually, log_of, start, states

from tradeloop.airflow.client import AirflowClient
from tradeloop.stack import Stack

DAGS = Path(__file__).parents[2] / "dags"
HEAD = "Date,Open,High,Low,Close,Volume"
ROWS = [
    "7/1/2009,920.820007,931.919983,920.820007,923.330017,3919400000",
    "7/2/2009,921.23999,921.23999,896.419983,896.419983,3931000000",
    "7/6/2009,894.27002,898.719971,886.359985,898.719971,4712580000",
]


@pytest.fixture(scope="module")
async def airflow(airflow_stack: Stack) -> AsyncIterator[AirflowClient]:
    """Airflow with the project's own DAGs."""
    for dag in DAGS.glob("*.py"):
        shutil.copy(dag, airflow_stack.settings.dags_folder)
    async with AirflowClient.from_settings(airflow_stack.settings) as client:
        yield client


def deliver(stack: Stack, name: str, *rows: str) -> dict[str, str]:
    """Put a file where the DAG finds it; the conf that loads it."""
    incoming = stack.settings.reference_root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / name).write_text("\n".join([HEAD, *rows]) + "\n")
    return {"file": name, "symbol": name.removesuffix(".csv").upper(), "month": "2009-07"}


async def test_it_starts_by_itself_on_the_first_of_a_month_to_come_and_not_before(airflow: AirflowClient) -> None:
    await start(airflow, "example_etl_dag", {"month": "2009-07"})

    dag = await airflow.get("/dags/example_etl_dag/details")
    runs = (await airflow.get("/dags/example_etl_dag/dagRuns", limit=100))["dag_runs"]

    assert (dag["is_paused"], dag["catchup"]) == (False, False)
    following = datetime.fromisoformat(dag["next_dagrun_run_after"])
    assert following > datetime.now(UTC)
    assert (following.day, following.hour) == (1, 6)
    assert {run["run_type"] for run in runs} == {"manual"}


async def test_a_scheduled_run_loads_a_month_that_the_source_has(airflow_stack: Stack, airflow: AirflowClient) -> None:
    text = (DAGS / "example_etl_dag.py").read_text()
    at_once = text.replace('"example_etl_dag"', '"example_etl_scheduled"').replace(
        'CronTriggerTimetable("0 6 1 * *", timezone="UTC", run_immediately=timedelta(0))', '"@once"'
    )
    assert at_once.count("@once") == 1
    (airflow_stack.settings.dags_folder / "example_etl_scheduled.py").write_text(at_once)

    async def scheduled() -> list[dict[str, Any]]:
        if await airflow.dag_problem("example_etl_scheduled"):
            return []
        return list((await airflow.get("/dags/example_etl_scheduled/dagRuns", limit=10))["dag_runs"])

    (run,) = await eventually(scheduled, "a run that the scheduler started")
    assert run["run_type"] == "scheduled"
    assert await end_of(airflow, "example_etl_scheduled", run["dag_run_id"]) == "success"
    answer = await decided(airflow_stack, "marketdata.batch.loaded", run["dag_run_id"])
    month = datetime.fromisoformat(run["run_after"]).month - 1 or 12
    assert answer["subject"] == f"SPX/2018-{month:02d}"


async def test_by_hand_it_loads_the_month_that_it_is_told(airflow_stack: Stack, airflow: AirflowClient) -> None:
    run_id = await start(airflow, "example_etl_dag", {"month": "2009-07"})

    assert await end_of(airflow, "example_etl_dag", run_id) == "success"
    assert set((await states(airflow, "example_etl_dag", run_id)).values()) == {"success"}
    answer = await decided(airflow_stack, "marketdata.batch.loaded", run_id)
    assert (answer["subject"], answer["decision"]["outcome"]) == ("SPX/2009-07", "ACCEPT")


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        (
            "letters",
            "7/7/2009,898.599976,898.599976,879.929993,abc,4673300000",
            'row 4 (2009-07-07): close "abc" is no',
        ),
        ("undated", "soon,898.599976,898.599976,879.929993,881.030029,4673300000", 'row 4 (soon): date "soon" is not'),
        ("short", "7/7/2009,898.599976,898.599976,879.929993,881.030029", "row 4 (2009-07-07): 6 columns instead of 7"),
    ],
)
async def test_a_malformed_row_fails_validate_which_names_it(
    airflow_stack: Stack, airflow: AirflowClient, name: str, row: str, told: str
) -> None:
    run_id = await start(airflow, "example_etl_dag", deliver(airflow_stack, f"{name}.csv", *ROWS, row))

    assert await end_of(airflow, "example_etl_dag", run_id) == "failed"
    assert await states(airflow, "example_etl_dag", run_id) == {
        "extract": "success",
        "transform": "success",
        "validate": "failed",
        "load": "upstream_failed",
        "publish_completion": "upstream_failed",
    }
    assert told in (await log_of(airflow, "example_etl_dag", run_id, "validate")).replace('\\"', '"')
    events = await airflow.get("/assets/events", source_dag_id="example_etl_dag", source_run_id=run_id, limit=10)
    assert events["asset_events"] == []


async def test_a_plausible_and_wrong_value_passes_and_the_desk_decides(
    airflow_stack: Stack, airflow: AirflowClient
) -> None:
    wrong = "7/7/2009,898.599976,1.599976,879.929993,881.030029,4673300000"
    run_id = await start(airflow, "example_etl_dag", deliver(airflow_stack, "wrong.csv", *ROWS, wrong))

    assert await end_of(airflow, "example_etl_dag", run_id) == "success"
    answer = await decided(airflow_stack, "marketdata.batch.loaded", run_id)
    assert answer["subject"] == "WRONG/2009-07"
    assert answer["decision"]["outcome"] != "ACCEPT"
    assert "MD03" in {finding["rule"] for finding in answer["decision"]["findings"]}
