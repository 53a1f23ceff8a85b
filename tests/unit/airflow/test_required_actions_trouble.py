"""What the doctor says of Airflow's Required Actions, against a server that refuses."""

from __future__ import annotations

import pytest
from airflow_server import Answer, server, token

from tradeloop.airflow.client import AirflowClient
from tradeloop.airflow.required_actions import AirflowRequiredActions


@pytest.mark.parametrize(
    ("dag", "reading", "answering", "said"),
    [
        ((200, {"is_paused": False}), 200, 404, ""),
        ((200, {"is_paused": True}), 200, 404, "DAG ask is paused, or hidden from the account"),
        ((404, {"detail": "no"}), 200, 404, "DAG ask is missing, or hidden from the account"),
        ((200, {}), 403, 404, "the account may not read or not answer the questions of DAG ask"),
        ((200, {}), 200, 403, "the account may not read or not answer the questions of DAG ask"),
    ],
)
async def test_what_keeps_questions_from_being_asked_is_said(
    dag: Answer, reading: int, answering: int, said: str
) -> None:
    def answer(method: str, path: str, bearer: str, number: int) -> Answer:
        if path == "/auth/token":
            return 201, {"access_token": token(1)}
        if "hitlDetails" not in path:
            return dag
        if method == "GET":
            return reading, {"hitl_details": [], "total_entries": 0}
        return answering, {"detail": "no"}

    async with server(answer) as asked, AirflowClient(asked.url, "u", "p") as client:
        assert await AirflowRequiredActions(client, "ask").trouble() == said
        changing = [path for method, path, _ in asked.requests if method == "PATCH"]
    assert all("/dagRuns/no-such-run/" in path for path in changing)
