"""The DAG that shows approvals, as a firm has it."""

from __future__ import annotations

from tradeloop.airflow.approval_dag import approval_dag

dag = approval_dag()
