"""Runs and tasks that come to every end there is, for the tests of lifecycle events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import dag, task
from airflow.sdk.log import mask_secret

SECRET = "a-secret-of-the-firm"


@dag(dag_id="edge_lifecycle", schedule=None)
def lifecycle() -> None:
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def fails_at_first(*, ti: Any = None) -> None:
        mask_secret(SECRET)
        if ti.try_number % 2:
            raise ValueError(f"the vendor refused the key {SECRET}: " + "x" * 5_000)

    @task
    def always_fails() -> None:
        raise RuntimeError("no prices today")

    @task
    def never_starts() -> None: ...

    @task.branch
    def choose() -> str:
        return "taken"

    @task
    def taken() -> None: ...

    @task
    def left_out() -> None: ...

    fails_at_first()
    always_fails() >> never_starts()
    choose() >> [taken(), left_out()]


@dag(dag_id="edge_marked", schedule=None)
def marked() -> None:
    @task
    def succeeds() -> None: ...

    succeeds()


@dag(dag_id="edge_asks", schedule=None)
def asks() -> None:
    HITLOperator(task_id="ask", subject="Publish the batch?", options=["yes", "no"])


lifecycle()
marked()
asks()
