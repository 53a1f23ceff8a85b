"""DAGs that announce events in every way that Airflow offers, for the tests of capture."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, dag, task

from tradeloop.airflow import EmitRefused, emit, emit_after, event

LOOKERS = 3
"""One less than the workers: the task whose worker was killed keeps its place until the scheduler starts again."""
WAIT_S = 60.0


@dag(dag_id="edge_events", schedule=None)
def events() -> None:
    """Several events of a type, two outlets, mapped tasks, a classic operator, an outlet without a word."""

    @task(outlets=[event("edge.several"), event("edge.other")])
    def several(*, outlet_events: Any = None) -> None:
        for number in range(3):
            emit(outlet_events, "edge.several", {"number": number}, subject=f"edge/{number}")
        emit(
            outlet_events,
            "edge.other",
            {
                "price": Decimal("1.10"),
                "at": datetime(2026, 1, 2, tzinfo=UTC),
                "token": "not a secret",
                "name": "Zürich",
            },
        )

    @task(outlets=[event("edge.mapped")])
    def mapped(number: int, *, outlet_events: Any = None) -> None:
        emit(outlet_events, "edge.mapped", {"number": number})

    @task(outlets=[event("edge.silent")])
    def silent() -> None:
        """Its outlet says that it ran; nothing else."""

    several()
    mapped.expand(number=[0, 1, 2, 3])
    silent()
    BashOperator(
        task_id="classic",
        bash_command="echo done",
        outlets=[event("edge.classic")],
        post_execute=emit_after("edge.classic", lambda result: {"said": result}),
    )


@dag(dag_id="edge_retry", schedule=None)
def retry() -> None:
    @task(retries=1, retry_delay=timedelta(seconds=1), outlets=[event("edge.retried")])
    def fails_once(*, outlet_events: Any = None, ti: Any = None) -> None:
        emit(outlet_events, "edge.retried", {"attempt": ti.try_number})
        if ti.try_number == 1:
            raise ValueError("the first attempt fails after it has emitted")

    fails_once()


@dag(dag_id="edge_refused", schedule=None)
def refused() -> None:
    @task(outlets=[event("edge.refused")])
    def tries(*, outlet_events: Any = None) -> dict[str, str]:
        """What emit says to each thing that it does not take; the task itself succeeds."""
        said = {}
        for name, event_type, data in (
            ("undeclared", "edge.undeclared", {}),
            ("nan", "edge.refused", {"price": float("nan")}),
            ("large", "edge.refused", {"text": "x" * 300_000}),
        ):
            try:
                emit(outlet_events, event_type, data)
            except EmitRefused as problem:
                said[name] = str(problem)
        emit(outlet_events, "edge.refused", {"refused": len(said)})
        return said

    tries()


@dag(dag_id="edge_poison", schedule=None)
def poison() -> None:
    @task(outlets=[Asset(name="tradeloop.edge.poison", uri="x-tradeloop://event/edge.poison", group="tradeloop")])
    def writes_a_list(*, outlet_events: Any = None) -> None:
        """What no task should write: Airflow stores it, and cannot serve a page that holds it."""
        outlet_events[event("edge.poison")].extra = [1, 2]

    writes_a_list()


@dag(dag_id="edge_queueing", schedule=[event("edge.queueing")])
def queueing() -> None:
    @task
    def nothing() -> None:
        """Cleared while the DAG is paused, its run stays queued, and Airflow cannot serve the event that caused it."""

    nothing()


@dag(dag_id="edge_look", schedule=None)
def look() -> None:
    @task(outlets=[event("edge.looked")])
    def inside(number: int, *, run_id: Any = None, outlet_events: Any = None) -> dict[str, Any]:
        """What of ours is in this process after an event was emitted; all wait for each other, one a worker."""
        emit(outlet_events, "edge.looked", {"number": number})
        meeting = Path(os.environ["AIRFLOW_HOME"], "edge_look", run_id.replace("/", "_"))
        meeting.mkdir(parents=True, exist_ok=True)
        (meeting / str(number)).touch()
        limit = time.monotonic() + WAIT_S
        while len(list(meeting.iterdir())) < LOOKERS and time.monotonic() < limit:
            time.sleep(0.1)
        return {
            "modules": sorted(n for n in sys.modules if n == "tradeloop" or n.startswith(("tradeloop.", "confluent"))),
            "threads": sorted(t.name for t in threading.enumerate()),
            "native_threads": sorted(p.read_text().strip() for p in Path("/proc/self/task").glob("*/comm")),
            "sockets": [link for fd in Path("/proc/self/fd").iterdir() if "socket" in (link := link_of(fd))],
            "udp": Path("/proc/self/net/udp").read_text(),
            "tcp": Path("/proc/self/net/tcp").read_text(),
            "worker": os.getppid(),
        }

    inside.expand(number=list(range(LOOKERS)))


def link_of(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


@dag(dag_id="edge_worker_killed", schedule=None)
def worker_killed() -> None:
    @task
    def kills_its_worker(*, run_id: Any = None) -> None:
        """Makes the scheduler, whose hooks have fired for this very run, fork another worker."""
        done = Path(os.environ["AIRFLOW_HOME"], f"killed-{run_id}")
        if not done.exists():  # when the scheduler starts again, it starts this task again
            done.touch()
            os.kill(os.getppid(), signal.SIGKILL)

    kills_its_worker()


events()
retry()
refused()
poison()
queueing()
look()
worker_killed()
