"""The DAG that a decision under chaos starts: no task process, so that hundreds of runs cost little."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("chaos_followup", schedule=None, max_active_runs=256, tags=["bench"]):
    EmptyOperator(task_id="done")
