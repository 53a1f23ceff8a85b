"""Approvals among Airflow's Required Actions; used when TRADELOOP_AIRFLOW_APPROVALS names desks."""

from __future__ import annotations

from tradeloop.airflow.approval_dag import approval_dag

dag = approval_dag()
