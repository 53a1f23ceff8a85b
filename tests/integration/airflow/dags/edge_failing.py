"""Tasks that fail: because of what they tried to emit, or for a reason of their own."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from tradeloop.airflow import emit, event


@dag(dag_id="edge_failing", schedule=None)
def failing() -> None:
    @task(outlets=[event("edge.failing")])
    def not_a_number(*, outlet_events: Any = None) -> None:
        emit(outlet_events, "edge.failing", {"bars": [{"close": 1.5}, {"close": float("nan")}]})

    @task(outlets=[event("edge.failing")])
    def undeclared(*, outlet_events: Any = None) -> None:
        emit(outlet_events, "edge.failing", {"said": "before the refusal"})
        emit(outlet_events, "edge.nobody_declared", {})

    @task(outlets=[event("edge.marked")])
    def marked(*, outlet_events: Any = None) -> None:
        emit(outlet_events, "edge.marked", {})
        raise ValueError("its work is not done")

    not_a_number()
    undeclared()
    marked()


failing()
