"""A DAG that asks before it publishes. The workflow of `hello.loaded` answers (examples/hello_desk.py)."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from tradeloop.airflow.operators import AskAgentOperator


@dag(dag_id="ask_agent_example", schedule=None, tags=["tradeloop", "example"])
def ask_agent_example() -> None:
    @task
    def load() -> dict[str, Any]:
        return {"rows": 3}

    ask = AskAgentOperator(
        task_id="ask",
        event_type="hello.loaded",
        data=load(),
        subject="hello",
        timeout=4 * 3600,
        on_silence="policy",
        fail_on=["REJECT"],
    )

    @task.branch
    def choose(answer: dict[str, Any]) -> str:
        return "publish" if answer["outcome"] == "ACCEPT" else "fetch_again"

    @task
    def publish() -> None:
        print("published")

    @task
    def fetch_again() -> None:
        print("fetched again")

    choose(ask.output) >> [publish(), fetch_again()]


ask_agent_example()
