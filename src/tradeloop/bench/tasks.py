"""Plays a task's scheduler and supervisor, so that the API server's part of the task's end can be timed alone."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final  # Any: JSON of Airflow's
from uuid import uuid4

import httpx
import jwt

from tradeloop.bench.stage import Stage
from tradeloop.bench.workflow import NOTED
from tradeloop.domain.canonical import utc_text
from tradeloop.domain.events import EventPayload, WorkflowEvent
from tradeloop.errors import AirflowRefused, AirflowUnreachable
from tradeloop.stack.credentials import load_credentials

DAG_ID: Final = "bench_calls"
AUDIENCE: Final = "urn:airflow.apache.org:task"
"""Airflow's default of [execution_api] jwt_audience."""
TOKEN_LIFE_S: Final = 3600
BARS: Final = 142
"""A month of daily bars and the 120 before it: what a market-data batch carries, some 12 KB."""


@dataclass(frozen=True)
class RunningTask:
    """A task instance that Airflow holds for running; it waits for word of its end."""

    id: str
    task_id: str
    run_id: str
    token: str


class TaskEnds:
    """Real task instances in state `running`, with real execution-API tokens, and no process behind them.

    A DAG run of `bench_calls` is triggered through REST; there is no scheduler on this stage, so its 100 task
    instances are set to `queued` in the database, as a scheduler does, and started through PATCH .../run, as a
    supervisor does. What is then timed is the supervisor's last call alone, PATCH .../state with the outlet events,
    from the first byte sent to the answer read, on a connection that is kept open.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._secret = load_credentials(stage.stack.home).airflow_jwt_secret
        self._clients: dict[str, httpx.Client] = {}
        self._ready = self._tasks()

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def forget_connections(self) -> None:
        """After a restart of the API server."""
        self.close()
        self._clients.clear()

    def reserve(self, count: int) -> list[RunningTask]:
        """So many running tasks, made before the measuring begins."""
        return [next(self._ready) for _ in range(count)]

    def end(self, task: RunningTask, url: str = "") -> float:
        """Report the task's success, with one event; the call's wall time in milliseconds."""
        url = url or self._stage.settings.airflow_url
        payload = {"state": "success", "end_date": utc_text(datetime.now(UTC)), **_outlets(task)}
        client = self._client(url)
        address, headers = f"/execution/task-instances/{task.id}/state", _headers(task)
        begun = time.perf_counter_ns()
        try:
            answer = client.patch(address, json=payload, headers=headers)
        except httpx.HTTPError as problem:
            raise AirflowUnreachable(f"Airflow at {url} did not answer: {problem}") from problem
        wall_ms = (time.perf_counter_ns() - begun) / 1e6
        if answer.status_code != httpx.codes.NO_CONTENT:
            raise AirflowRefused(f"Airflow answered {answer.status_code}: {answer.text}", status=answer.status_code)
        return wall_ms

    def _tasks(self) -> Iterator[RunningTask]:
        while True:
            run_id = self._stage.trigger(DAG_ID)
            answer = self._stage.run(
                self._stage.airflow.get(f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances", limit=100)
            )
            self._stage.airflow_rows(
                "UPDATE task_instance SET state = 'queued', queued_dttm = now() WHERE run_id = %(run)s RETURNING id",
                {"run": run_id},
            )
            for row in answer["task_instances"]:
                task = RunningTask(row["id"], row["task_id"], run_id, self._token(row["id"]))
                self._start(task)
                yield task

    def _start(self, task: RunningTask) -> None:
        answer = self._client(self._stage.settings.airflow_url).patch(
            f"/execution/task-instances/{task.id}/run",
            json={
                "state": "running",
                "hostname": socket.gethostname(),
                "unixname": "bench",
                "pid": os.getpid(),
                "start_date": utc_text(datetime.now(UTC)),
            },
            headers=_headers(task),
        )
        if answer.status_code != httpx.codes.OK:
            raise AirflowRefused(f"Airflow answered {answer.status_code}: {answer.text}", status=answer.status_code)

    def _token(self, task_instance_id: str) -> str:
        now = int(time.time())
        claims = {"sub": task_instance_id, "scope": "execution", "aud": AUDIENCE, "jti": uuid4().hex}
        times = {"nbf": now, "iat": now, "exp": now + TOKEN_LIFE_S}
        return jwt.encode({**claims, **times}, self._secret, algorithm="HS512", headers={"kid": "not-used"})

    def _client(self, url: str) -> httpx.Client:
        if url not in self._clients:
            self._clients[url] = httpx.Client(base_url=url, timeout=60, trust_env=False)
        return self._clients[url]


def _headers(task: RunningTask) -> dict[str, str]:
    return {"Authorization": f"Bearer {task.token}"}


def _outlets(task: RunningTask) -> dict[str, Any]:
    """What a task that called `emit` once reports with its success."""
    asset = {"name": f"tradeloop.{NOTED}", "uri": f"x-tradeloop://event/{NOTED}"}
    extra = {"tradeloop": 1, "events": [_element(task)]}
    return {
        "task_outlets": [{**asset, "type": "Asset"}],
        "outlet_events": [{"dest_asset_key": asset, "extra": extra}],
    }


def _element(task: RunningTask) -> dict[str, str]:
    bar = {"date": "2009-07-14", "open": "900.77", "high": "905.84", "low": "896.50", "close": "905.84"}
    event = WorkflowEvent(
        event_id=uuid4(),
        event_type=NOTED,
        timestamp=datetime.now(UTC),
        source="airflow",
        workflow_id=DAG_ID,
        workflow_run_id=task.run_id,
        subject=f"{DAG_ID}/{task.run_id}",
        payload=EventPayload(data={"task": task.task_id, "bars": [dict(bar) for _ in range(BARS)]}),
    )
    body = event.to_json()
    return {
        "id": str(event.event_id),
        "type": event.event_type,
        "subject": event.subject,
        "time": utc_text(event.timestamp),
        "source": event.source,
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
        "traceparent": "",
        "body": body,
    }
