"""The README's own DAG and graph, run as a reader would run them: real Airflow, Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tradeloop.airflow.client import AirflowClient
from tradeloop.stack import Stack

ROOT = Path(__file__).parents[2]
WITHIN_S = 120


def _tradeloop(stack: Stack, *words: str) -> Any:
    environment = os.environ | {"TRADELOOP_HOME": str(stack.settings.home), "TRADELOOP_INSTANCE": "tests"}
    result = subprocess.run(
        [sys.executable, "-m", "tradeloop", *words, "--json"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


async def _trigger(stack: Stack, dag_id: str, run_id: str) -> None:
    async with AirflowClient.from_settings(stack.settings) as airflow:
        deadline = time.monotonic() + WITHIN_S
        while await airflow.dag_problem(dag_id):
            assert time.monotonic() < deadline, f"Airflow did not read {dag_id}"
            await asyncio.sleep(0.3)
        await airflow.trigger_dag(dag_id, run_id, {})


async def test_the_dag_and_the_graph_of_the_readme_meet(airflow_stack: Stack) -> None:
    shutil.copy(ROOT / "examples" / "hello_dag.py", airflow_stack.settings.dags_folder)
    workflow = f"{ROOT / 'examples' / 'hello_desk.py'}:workflow"
    others = [one for one in airflow_stack.settings.workflows if one != workflow]
    airflow_stack.restart("worker", environment={"TRADELOOP_WORKFLOWS": ",".join([workflow, *others])})

    await _trigger(airflow_stack, "hello", "readme-1")
    deadline = time.monotonic() + WITHIN_S
    done: list[Any] = []
    while not done and time.monotonic() < deadline:
        done = [run for run in _tradeloop(airflow_stack, "runs", "list") if run["event_type"] == "hello.loaded"]
        done = [run for run in done if run["state"] == "done"]

    (run,) = done
    assert (run["subject"], run["decision"]["outcome"], run["decision"]["reasons"]) == ("hello", "ACCEPT", ["3 rows"])
    shown = _tradeloop(airflow_stack, "runs", "show", run["decision_id"][:10])
    assert [step["nodes"] for step in shown["steps"]] == [["decide"], ["act"]]
    report = _tradeloop(airflow_stack, "audit", "capture", "--since", "1h")
    assert (report["missing"], report["doubled"], report["phantom"]) == ([], [], [])
