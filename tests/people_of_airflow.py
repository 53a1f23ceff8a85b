"""People on Airflow's own pages: they answer, mark and clear, each signed in as themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

from tradeloop.airflow.client import AirflowClient
from tradeloop.stack.airflow_home import passwords_file

if TYPE_CHECKING:
    from tradeloop.stack import Stack

DAG = "tradeloop_approval"
TASK = "answer"
REASON = "the second source says the same"


def signed_in(stack: Stack, user: str) -> AirflowClient:
    """Airflow's API as that user; the fixture names the users, Airflow itself made their passwords."""
    passwords = json.loads(passwords_file(stack.home).read_text())
    return AirflowClient(stack.settings.airflow_url, user, passwords[user])


async def answer(
    stack: Stack, user: str, run_id: str, option: str, params: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """What the form of Required Actions does."""
    given = {"reason": REASON, "facts": ""} if params is None else dict(params)
    async with signed_in(stack, user) as airflow:
        path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{TASK}/-1/hitlDetails"
        told: Mapping[str, Any] = await airflow.patch(path, {"chosen_options": [option], "params_input": given})
        return told


async def mark(stack: Stack, user: str, run_id: str, state: str = "success") -> None:
    """Mark the task."""
    async with signed_in(stack, user) as airflow:
        await airflow.patch(f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{TASK}", {"new_state": state})


async def clear(stack: Stack, user: str, run_id: str) -> None:
    """Clear the task."""
    async with signed_in(stack, user) as airflow:
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [TASK], "only_failed": False}
        await airflow.post(f"/dags/{DAG}/clearTaskInstances", body)


async def ui(stack: Stack, user: str, path: str) -> Any:
    """What Airflow's own page asks its server for."""
    passwords = json.loads(passwords_file(stack.home).read_text())
    async with httpx.AsyncClient(base_url=stack.settings.airflow_url, trust_env=False) as client:
        told = await client.post("/auth/token", json={"username": user, "password": passwords[user]})
        headers = {"Authorization": f"Bearer {told.json()['access_token']}"}
        return (await client.get(f"/ui{path}", headers=headers, timeout=30)).json()
