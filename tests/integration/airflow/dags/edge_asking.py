"""DAGs that ask tradeloop what the run's conf says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from tradeloop.airflow.operators import AskAgentOperator

QUESTION = {"event_type": "edge.question", "tradeloop_conn_id": "tradeloop_edge", "timeout": 120, "poll_s": 1}


@dag(dag_id="edge_asking", schedule=None)
def asking() -> None:
    """Mapped: each instance asks its own, and one asks with words of the run's conf."""
    ask = AskAgentOperator.partial(task_id="ask", **QUESTION).expand(
        data=[{"outcome": "ACCEPT", "number": 1}, {"outcome": "REFETCH", "number": 2}]
    )

    @task
    def read(answers: Any) -> list[str]:
        return [answer["outcome"] for answer in answers]

    read(ask.output)


@dag(dag_id="edge_asking_people", schedule=None)
def asking_people() -> None:
    """One waits for a person, one takes policy's answer instead, one is refused, one meets a dead letter."""
    AskAgentOperator(task_id="waits", data={"outcome": "START", "acts": "{{ run_id }}"}, **QUESTION)
    AskAgentOperator(
        task_id="silent",
        data={"outcome": "START", "acts": "silent {{ run_id }}"},
        on_silence="policy",
        retries=3,  # as a firm has it: a service that is busy for a moment is asked again, and nothing is asked twice
        retry_delay=timedelta(seconds=1),
        **{**QUESTION, "timeout": 5},
    )
    AskAgentOperator(task_id="skips", data={"outcome": "REFETCH"}, skip_on=["REFETCH"], deferrable=False, **QUESTION)
    AskAgentOperator(task_id="unknown", data={}, **{**QUESTION, "event_type": "edge.nobody"})
    AskAgentOperator(task_id="broken", data={"outcome": "x", "breaks": True}, **QUESTION)


asking()
asking_people()
