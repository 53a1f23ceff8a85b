"""The DAG that shows approvals among Airflow's Required Actions. A ballot box: nothing comes after its only task.

In a firm's DAG folder:

    from tradeloop.airflow.approval_dag import approval_dag

    dag = approval_dag()
"""

from __future__ import annotations

from typing import Any  # Any: arguments of a DAG

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Param

OPTIONS = ["Approve", "Reject", "Answered elsewhere"]
"""The last one is tradeloop's own: Airflow's record must not show a service as the one who approved."""


def approval_dag(dag_id: str = "tradeloop_approval", **arguments: Any) -> DAG:
    """The DAG; `arguments` are the DAG's own, such as `access_control` and `tags`.

    tradeloop starts one run of it for each question to people of the desks in TRADELOOP_AIRFLOW_APPROVALS, and takes a
    recorded answer over as one vote of the person who gave it. The task's own end means nothing to it.
    """
    given: dict[str, Any] = {
        "schedule": None,
        "catchup": False,
        "max_active_runs": 1000,
        "max_active_tasks": 1000,
        "tags": ["tradeloop", "approvals"],
        **arguments,
    }
    with DAG(dag_id=dag_id, **given) as dag:
        HITLOperator(
            task_id="answer",
            subject="{{ dag_run.conf.get('subject') or 'Started by hand: nothing is asked' }}",
            body="{{ dag_run.conf.get('body') or 'tradeloop starts this DAG itself; an answer counts as nothing.' }}",
            options=OPTIONS,
            defaults=["Reject"],
            params={
                # Without null among its types the form requires it; a least length, and Airflow refuses to start the
                # task with nothing typed yet. What is too short is turned down when it is taken over.
                "reason": Param("", type="string", title="Reason", description="10 to 500 characters, required."),
                "facts": Param(
                    "", type=["string", "null"], title="Facts you rely on", description="Ids, such as F-01, F-03."
                ),
            },
            retries=0,
        )
    return dag
