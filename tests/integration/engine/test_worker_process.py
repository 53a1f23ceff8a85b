"""`tradeloop worker` as a process: killed in the middle, stopped, started against the wrong things."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from real_parts import Names, event, make_topic, new_names, send, until

WORKFLOWS = """
import os, time
from pathlib import Path
from tradeloop import Action, Decision, Workflow

FOLDER = Path(os.environ["STEPS_FOLDER"])

def step(name):
    def node(state):
        with (FOLDER / "steps").open("a") as file:
            file.write(f"{name}\\n")
        while (FOLDER / f"hang in {name}").exists():
            time.sleep(0.02)
        if name == "decide":
            return {"decision": Decision(outcome="REFETCH", action=Action(kind="trigger_dag", target="refetch"))}
        return {"facts": {**state.get("facts", {}), name: True}}
    node.__name__ = name
    return node

workflow = Workflow.chain("prices.loaded", step("first"), step("second"), step("decide"), desk="prices")
"""


class Airflow(ThreadingHTTPServer):
    """As much of Airflow's API as a run needs; remembers its runs, and can keep an answer back."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.runs: dict[str, dict[str, Any]] = {}
        self.posts = 0
        self.keeps_answers_back = False
        self.released = threading.Event()


class Answers(BaseHTTPRequestHandler):
    server: Airflow
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        run = self.server.runs.get(unquote(self.path).rpartition("/")[2])
        if "/dagRuns/" not in self.path:
            self._answer(200, {"has_import_errors": False, "is_stale": False, "is_paused": False})
        elif run:
            self._answer(200, run)
        else:
            self._answer(404, {"detail": "not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            self._answer(201, {"access_token": "opaque"})
            return
        self.server.posts += 1
        run_id = body["dag_run_id"]
        if run_id in self.server.runs:
            self._answer(409, {"detail": "exists"})
            return
        self.server.runs[run_id] = {
            "dag_id": "refetch",
            "dag_run_id": run_id,
            "state": "queued",
            "conf": body["conf"],
            "start_date": None,
            "end_date": None,
        }
        if self.server.keeps_answers_back:
            self.server.released.wait(60)
        self._answer(200, self.server.runs[run_id])

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    server = Airflow()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


class Place:
    """The environment that workers of one test share."""

    def __init__(self, folder: Path, names: Names, database_url: str, airflow: Airflow) -> None:
        self.folder, self.names, self.database_url = folder, names, database_url
        (folder / "workflows.py").write_text(WORKFLOWS)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRADELOOP_")},
            "STEPS_FOLDER": str(folder),
            "TRADELOOP_HOME": str(folder / "home"),
            "TRADELOOP_DATABASE_URL": database_url,
            "TRADELOOP_KAFKA_BOOTSTRAP": names.bootstrap,
            "TRADELOOP_AIRFLOW_URL": f"http://127.0.0.1:{airflow.server_port}",
            "TRADELOOP_AIRFLOW_PASSWORD": "secret",
            "TRADELOOP_GROUP": names.group,
            "TRADELOOP_EVENTS_TOPIC": names.events,
            "TRADELOOP_DECISIONS_TOPIC": names.decisions,
            "TRADELOOP_DEAD_LETTERS_TOPIC": names.dead_letters,
            "TRADELOOP_WORKFLOWS": f"{folder}/workflows.py:workflow",
            "TRADELOOP_LEASE_S": "3",
            "TRADELOOP_LOG_FORMAT": "json",
        }

    @contextmanager
    def worker(self, *, log_to: str = "", **environment: str) -> Iterator[subprocess.Popen[str]]:
        with Path(log_to or self.folder / f"worker-{uuid4().hex[:4]}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tradeloop", "worker"],
                env=self.environment | environment,
                cwd=self.folder,
                stderr=log,
                stdout=subprocess.DEVNULL,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    def hang_in(self, step: str) -> Path:
        file = self.folder / f"hang in {step}"
        file.touch()
        return file

    def steps(self) -> list[str]:
        file = self.folder / "steps"
        return file.read_text().split() if file.exists() else []

    def rows(self, sql: str) -> list[dict[str, Any]]:
        options = "-c search_path=tradeloop"
        with psycopg.connect(self.database_url, options=options, row_factory=dict_row) as connection:
            return connection.execute(sql.encode()).fetchall()

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("worker-*.log")))


@pytest.fixture
def place(tmp_path: Path, kafka_bootstrap: str, database_url: str, airflow: Airflow) -> Place:
    names = new_names(kafka_bootstrap)
    make_topic(kafka_bootstrap, names.events)
    return Place(tmp_path, names, database_url, airflow)


@pytest.mark.parametrize(
    ("dies_in", "steps"),
    [
        ("second", ["first", "second", "second", "decide"]),
        ("the effect", ["first", "second", "decide"]),
    ],
)
async def test_what_a_killed_worker_had_in_hand_is_finished_by_another_once(
    place: Place, airflow: Airflow, dies_in: str, steps: list[str]
) -> None:
    airflow.keeps_answers_back = dies_in == "the effect"
    hanging = place.hang_in(dies_in)
    sent = event("SPX/2009-07")
    with place.worker() as dying:
        await send(place.names.bootstrap, place.names.events, sent)
        await until(lambda: dies_in in place.steps() or airflow.runs)
        dying.send_signal(signal.SIGKILL)
        dying.wait(10)
    hanging.unlink()
    airflow.keeps_answers_back = False
    with place.worker():
        await until(lambda: place.rows("SELECT 1 FROM runs"), limit_s=60)
    (run,) = place.rows("SELECT state, fence, decision_id, effect FROM runs")
    assert (run["state"], run["fence"]) == ("done", 2), place.logs()
    assert place.steps() == steps
    assert (list(airflow.runs), airflow.posts) == ([str(run["decision_id"])], 1)
    assert run["effect"]["state"] == "executed"
    assert place.rows("SELECT outcome FROM attempts") == [{"outcome": "taken_over"}]
    (waiting,) = place.rows("SELECT key FROM outbox")
    assert bytes(waiting["key"]) == b"SPX/2009-07"
    assert place.rows("SELECT kind FROM audit") == [{"kind": "run_done"}]


async def test_a_worker_that_is_asked_to_stop_finishes_what_it_has_and_ends_well(place: Place) -> None:
    hanging = place.hang_in("second")
    with place.worker() as process:
        await send(place.names.bootstrap, place.names.events, event())
        await until(lambda: "second" in place.steps())
        process.send_signal(signal.SIGTERM)
        hanging.unlink()
        assert process.wait(30) == 0
    assert [row["state"] for row in place.rows("SELECT state FROM runs")] == ["done"]
    assert place.rows("SELECT state FROM workers") == [{"state": "dead"}]
    told = [json.loads(line) for line in place.logs().splitlines() if line.startswith("{")]
    assert [line["recorded"] for line in told if line["event"] == "worker_stopped"] == [1]


async def test_a_full_disk_for_the_log_stops_nobody(place: Place) -> None:
    with place.worker(log_to="/dev/full") as process:
        await send(place.names.bootstrap, place.names.events, event("a"), event("b"))
        await until(lambda: len(place.rows("SELECT 1 FROM runs")) == 2, limit_s=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [row["state"] for row in place.rows("SELECT state FROM runs")] == ["done", "done"]


async def test_a_database_that_refuses_connections_for_a_while_is_waited_for(
    place: Place, servers: dict[str, str]
) -> None:
    name = place.database_url.rpartition("/")[2]

    def allow(*, connections: bool) -> None:
        with psycopg.connect(servers["administrator_url"], autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {str(connections).lower()}'.encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    with place.worker() as process:
        await send(place.names.bootstrap, place.names.events, event("before"))
        await until(lambda: place.rows("SELECT 1 FROM runs"), limit_s=60)
        allow(connections=False)
        await send(place.names.bootstrap, place.names.events, event("meanwhile"))
        await until(lambda: "database_did_not_answer" in place.logs())
        assert process.poll() is None, place.logs()
        allow(connections=True)
        await until(lambda: len(place.rows("SELECT 1 FROM runs")) == 2, limit_s=60)
    states = place.rows("SELECT r.state, i.subject FROM runs r JOIN inbox i USING (run_id) ORDER BY i.received_at")
    assert [(row["subject"], row["state"]) for row in states] == [("before", "done"), ("meanwhile", "done")]


async def test_a_node_that_never_returns_does_not_keep_a_stopped_worker_alive(place: Place) -> None:
    place.hang_in("second")
    with place.worker(TRADELOOP_DRAIN_S="0.5") as process:
        await send(place.names.bootstrap, place.names.events, event())
        await until(lambda: "second" in place.steps())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [row["state"] for row in place.rows("SELECT state::text FROM work")] == ["q"]
    assert "threads_left_behind" in place.logs()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TRADELOOP_DATABASE_URL": ""}, "TRADELOOP_DATABASE_URL is not set"),
        ({"TRADELOOP_LEASE_S": "1"}, "TRADELOOP_LEASE_S is '1'; input should be greater than or equal to 3"),
        ({"TRADELOOP_WORKFLOWS": "nowhere:workflow"}, "workflow 'nowhere:workflow' cannot be loaded"),
    ],
)
def test_a_worker_that_cannot_work_says_why_in_a_sentence(
    place: Place, environment: dict[str, str], words: str
) -> None:
    with place.worker(**environment) as process:
        assert process.wait(30) in {1, 2}
    assert words in place.logs()
    assert "Traceback" not in place.logs()


def test_a_worker_on_a_database_without_our_schema_says_what_to_do(place: Place, servers: dict[str, str]) -> None:
    base, _, _ = servers["database_url"].rpartition("/")
    name = f"bare_{uuid4().hex[:8]}"
    with psycopg.connect(servers["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" OWNER tradeloop'.encode())
    with place.worker(TRADELOOP_DATABASE_URL=f"{base}/{name}") as process:
        assert process.wait(30) == 2
    assert "next: tradeloop db migrate" in place.logs()
    assert "Traceback" not in place.logs()


def test_a_worker_whose_database_is_away_ends_when_it_is_asked_to(place: Place) -> None:
    with place.worker(TRADELOOP_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none") as process:
        place_logs = threading.Event()
        while not place_logs.wait(0.05) and "database_did_not_answer" not in place.logs():
            assert process.poll() is None, place.logs()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
