"""DAGs that decisions start, and an asset whose events are made by REST."""

from __future__ import annotations

from airflow.sdk import dag, task

from tradeloop.airflow import event


@dag(dag_id="edge_target", schedule=None, max_active_runs=100)
def target() -> None:
    @task(outlets=[event("edge.rest")])
    def nothing() -> None:
        """Its outlet makes the asset known to Airflow; it is only ever skipped over."""

    @task.short_circuit
    def never() -> bool:
        return False

    never() >> nothing()


@dag(dag_id="edge_paused", schedule=None, is_paused_upon_creation=True)
def paused() -> None:
    @task
    def waits() -> None: ...

    waits()


target()
paused()
