"""A DAG that is scheduled on an asset which is none of tradeloop's."""

from __future__ import annotations

from airflow.sdk import Asset, dag, task

READY = Asset(name="edge/prices_ready", uri="x-edge://prices/ready")


@dag(dag_id="edge_scheduled_on_asset", schedule=[READY])
def scheduled() -> None:
    @task
    def nothing() -> None: ...

    nothing()


scheduled()
