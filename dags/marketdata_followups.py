"""What tradeloop starts after a decision on a market-data batch: publish it, fetch it again, set rows aside."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

SHOWN = ("decision_id", "action_digest", "symbol", "period", "quarantined")


def followup(dag_id: str, done: str) -> None:
    """Define one DAG of a single task; a firm puts its own steps in its place."""

    @dag(dag_id=dag_id, schedule=None, max_active_runs=16, tags=["tradeloop", "started by tradeloop"])
    def started_by_tradeloop() -> None:
        @task(task_id=dag_id)
        def log_decision(*, dag_run: Any = None) -> None:
            conf = dag_run.conf or {}
            print(done, *(f"{name}={conf[name]}" for name in SHOWN if name in conf))

        log_decision()

    started_by_tradeloop()


followup("publish_batch", "published")
followup("refetch_batch", "asked the vendor again")
followup("quarantine_rows", "set rows aside, nothing published")
