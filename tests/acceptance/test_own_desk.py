"""A desk from outside the package: installed, found by its entry point, and walked all the way round."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from walking import decided, end_of, start

from tradeloop.airflow.client import AirflowClient
from tradeloop.stack import Stack

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_desk"
RUN = """
import asyncio, json
from tradeloop.workflow import GraphContext, load_workflows

class Recorder:
    asked = []
    async def perform(self, slot, action, **_):
        self.asked.append([slot, action.kind, action.target, action.params])
        return {"state": "executed"}

found = load_workflows()
graph = found["own.loaded"].graph.compile()
outcomes = {}
for rows in (20, 21):
    event = {"payload": {"data": {"book": "rates", "rows": rows, "expected": 21}}}
    state = asyncio.run(graph.ainvoke({"event": event}, context=GraphContext(acting=Recorder())))
    outcomes[rows] = state["decision"]["outcome"]
print(json.dumps([sorted(found), found["own.loaded"].desk, outcomes, Recorder.asked]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed into a folder of its own, without network."""
    folder = tmp_path_factory.mktemp("own_desk")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable]
    subprocess.run(
        [*command, "--target", str(folder / "target"), str(folder / "source")],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return folder / "target"


def test_an_installed_graph_is_found_and_runs(installed: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed)}

    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    types, desk, outcomes, asked = json.loads(done.stdout)
    assert {"own.loaded", "marketdata.batch.loaded"} <= set(types)
    assert (desk, outcomes) == ("own", {"20": "REFETCH", "21": "ACCEPT"})
    assert asked == [["act", "trigger_dag", "own_refetch", {"missing": 1}]]


def test_graph_and_dag_are_ten_lines_each() -> None:
    graph = (EXAMPLE / "own_desk" / "graph.py").read_text()
    dag = (EXAMPLE / "dags" / "own_desk_dags.py").read_text().partition("\n\n\n@dag\ndef own_refetch")[0]

    assert sum(1 for line in graph.splitlines() if line.strip()) <= 10
    assert sum(1 for line in dag.splitlines() if line.strip()) <= 10


async def test_an_own_dag_and_an_own_graph_go_all_the_way_round(airflow_stack: Stack, installed: Path) -> None:
    shutil.copy(EXAMPLE / "dags" / "own_desk_dags.py", airflow_stack.settings.dags_folder)
    airflow_stack.restart("worker", environment={"PYTHONPATH": str(installed)})
    try:
        async with AirflowClient.from_settings(airflow_stack.settings) as airflow:
            run_id = await start(airflow, "own_load")
            assert await end_of(airflow, "own_load", run_id) == "success"

            answer = await decided(airflow_stack, "own.loaded", run_id)

            assert (answer["subject"], answer["decision"]["outcome"]) == ("rates", "REFETCH")
            assert await end_of(airflow, "own_refetch", answer["decision_id"]) == "success"
    finally:
        airflow_stack.restart("worker", environment={"PYTHONPATH": ""})
