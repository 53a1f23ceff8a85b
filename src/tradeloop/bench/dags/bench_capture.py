"""The DAGs that the capture benchmark runs: light tasks, so that what is measured is the road and not the work."""

from __future__ import annotations

from typing import Any  # Any: what Airflow hands to a task

from airflow.sdk import DAG, task

from tradeloop.airflow import emit, event

NOTED = "bench.noted"
"""Its decision starts nothing."""
ASKED = "bench.asked"
"""Its decision starts `bench_followup`."""
CALLS = 100
BURST = 3


@task
def work() -> None:
    """Nothing: starting and ending a task is what takes the time."""


@task(outlets=[event(NOTED)])
def note(events: int = 1, *, outlet_events: Any = None) -> None:
    """Emit so many events of one type."""
    for number in range(events):
        emit(outlet_events, NOTED, {"number": number})


@task(outlets=[event(ASKED)])
def ask(*, outlet_events: Any = None) -> None:
    """Emit one event whose decision starts a DAG run."""
    emit(outlet_events, ASKED, {})


def dag(dag_id: str) -> DAG:
    """A DAG that only a trigger starts."""
    return DAG(dag_id, schedule=None, max_active_runs=64, tags=["bench"])


with dag("bench_chain"):
    (
        work.override(task_id="one")()
        >> note.override(task_id="two")()
        >> work.override(task_id="three")()
        >> work.override(task_id="four")()
    )

with dag("bench_plain"):
    (
        work.override(task_id="one")()
        >> work.override(task_id="two")()
        >> work.override(task_id="three")()
        >> work.override(task_id="four")()
    )

with dag("bench_burst"):
    note.override(task_id="burst")(BURST)

with dag("bench_ask"):
    ask()

with dag("bench_followup"):
    work()

# Never run by a scheduler: the benchmark itself reports these tasks as done.
with dag("bench_calls"):
    for call in range(CALLS):
        note.override(task_id=f"call_{call:03}")()
