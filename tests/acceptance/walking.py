"""DAG runs on the stack's real Airflow, and what tradeloop's command line says became of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tradeloop.airflow.client import AirflowClient
from tradeloop.stack import Stack

WITHIN_S = 90.0


async def eventually(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """The first answer that is not false."""
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while not (found := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {WITHIN_S:.0f} s: {what}"
        await asyncio.sleep(0.2)
    return found


async def start(airflow: AirflowClient, dag_id: str, conf: dict[str, Any] | None = None) -> str:
    """Start the DAG by hand once Airflow has read it; the run's id."""

    async def is_startable() -> bool:
        return not await airflow.dag_problem(dag_id)

    await eventually(is_startable, f"DAG {dag_id}")
    run_id = f"by-hand-{uuid4()}"
    await airflow.trigger_dag(dag_id, run_id, conf or {})
    return run_id


async def end_of(airflow: AirflowClient, dag_id: str, run_id: str) -> str:
    """The state in which the DAG run ends."""

    async def ended() -> str | None:
        run = await airflow.dag_run(dag_id, run_id)
        return run.state if run and run.state in ("success", "failed") else None

    return str(await eventually(ended, f"the end of {dag_id}"))


async def states(airflow: AirflowClient, dag_id: str, run_id: str) -> dict[str, str]:
    """State of each task."""
    found = await airflow.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)
    return {task["task_id"]: task["state"] for task in found["task_instances"]}


async def log_of(airflow: AirflowClient, dag_id: str, run_id: str, task_id: str) -> str:
    """What a person reads on Airflow's page of the task."""
    found = await airflow.get(
        f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1", full_content="true", map_index=-1
    )
    return str(found["content"])


def tradeloop(stack: Stack, *words: str) -> Any:
    """What a command prints as JSON."""
    environment = os.environ | {"TRADELOOP_HOME": str(stack.settings.home), "TRADELOOP_INSTANCE": "tests"}
    result = subprocess.run(
        [sys.executable, "-m", "tradeloop", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


async def decided(stack: Stack, event_type: str, dag_run_id: str) -> dict[str, Any]:
    """The run that the event of this DAG run caused, once it has ended."""

    async def is_done() -> dict[str, Any] | None:
        for run in await asyncio.to_thread(tradeloop, stack, "runs", "list", "--limit", "200"):
            if run["event_type"] == event_type and run["state"] == "done":
                shown = await asyncio.to_thread(tradeloop, stack, "events", "show", run["event_id"])
                if dag_run_id in json.dumps(shown):
                    return dict(run)
        return None

    return dict(await eventually(is_done, f"a decision on {event_type} of {dag_run_id}"))
