"""A task that asks, on the real Airflow with its triggerer, the real API, worker, relay and gate."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from capture import eventually, returned, run_dag, start_dag

import people_of_airflow as people
from asked import person
from tradeloop.airflow.ballots import run_id_of
from tradeloop.airflow.client import AirflowClient
from tradeloop.domain.approvals import ApprovalFilter, ApprovalState
from tradeloop.domain.people import Principal, Role
from tradeloop.errors import AirflowRefused, Settled
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.database import Database
from tradeloop.store.people import PostgresPeople

if TYPE_CHECKING:
    from tradeloop.stack import Stack

EXAMPLE = Path(__file__).parents[3] / "examples" / "ask_agent_dag.py"
LINKS = ("Run in tradeloop", "Decision in tradeloop", "Approval in tradeloop")


@pytest.fixture(scope="module")
async def connected(airflow_stack: Stack) -> Stack:
    """Airflow with a connection whose key is that of a service, and people who may release."""
    async with Database(airflow_stack.settings.database_url, size=1) as database:
        table = PostgresPeople(database)
        for one in (person("anna.k"), person("ben.o"), Principal(name="etl", kind="service", roles={Role.SERVICE})):
            try:
                await table.add(one, by="test")
            except Settled:
                await table.change(one, by="test")
        key = await table.new_key("etl", label="airflow", expires_at=None, by="test")
    connection = {"conn_type": "tradeloop", "host": airflow_stack.settings.api_url, "password": key.text}
    async with people.signed_in(airflow_stack, "admin") as airflow:
        for name in ("tradeloop_edge", "tradeloop_default"):
            try:
                await airflow.post("/connections", {"connection_id": name, **connection})
            except AirflowRefused:  # it is there
                await airflow.patch(f"/connections/{name}", {"connection_id": name, **connection})
        told = await airflow.post("/connections/test", {"connection_id": "tradeloop_edge", **connection})
    assert told["status"] is True, told
    return airflow_stack


async def state_of(airflow: AirflowClient, dag_id: str, run_id: str, task_id: str) -> str:
    return str((await airflow.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"))["state"])


async def until(airflow: AirflowClient, dag_id: str, run_id: str, task_id: str, *states: str) -> str:
    async def stands() -> str:
        found = await state_of(airflow, dag_id, run_id, task_id)
        return found if found in states else ""

    return str(await eventually(stands, f"{task_id} {states}", 120))


async def log_of(airflow: AirflowClient, dag_id: str, run_id: str, task_id: str) -> str:
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1"
    return str(await airflow.get(path, full_content="true"))


async def events_of(database: Database, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    return await database.rows(
        "SELECT event_id FROM inbox WHERE event_type LIKE 'edge.question' AND position(%s IN subject) > 0", (run_id,)
    )


async def test_each_mapped_task_gets_its_own_decision_and_asks_once(
    connected: Stack, airflow: AirflowClient, inbox: Database
) -> None:
    run_id = await run_dag(airflow, "edge_asking")
    first = await returned(airflow, "edge_asking", run_id, "read")
    before = await returned(airflow, "edge_asking", run_id, "ask", 1)

    body = {
        "dry_run": False,
        "dag_run_id": run_id,
        "task_ids": ["ask"],
        "only_failed": False,
        "include_downstream": True,
    }
    await airflow.post("/dags/edge_asking/clearTaskInstances", body)
    await eventually(lambda: again(airflow, run_id), "the second end")
    after = await returned(airflow, "edge_asking", run_id, "ask", 1)

    assert first == ["ACCEPT", "REFETCH"]
    assert before == after
    assert (before["outcome"], before["is_silent"], before["decision"]["reasons"]) == (
        "REFETCH",
        False,
        ["as it was asked"],
    )
    assert len(await events_of(inbox, "edge_asking", run_id)) == 2


async def again(airflow: AirflowClient, run_id: str) -> bool:
    tasks = (await airflow.get(f"/dags/edge_asking/dagRuns/{run_id}/taskInstances"))["task_instances"]
    return all(one["state"] == "success" and one["try_number"] == 2 for one in tasks)


async def test_a_task_waits_for_a_person_over_a_killed_triggerer_and_goes_on_with_what_they_answered_in_airflow(
    connected: Stack, airflow: AirflowClient, inbox: Database
) -> None:
    dag_id, approvals = "edge_asking_people", PostgresApprovals(inbox)
    run_id = await start_dag(airflow, dag_id)

    async def asked() -> Any:
        found = await approvals.matching(ApprovalFilter(desk="edge"))
        return next((one for one in found if one.action.params.get("by") == run_id), None)

    approval = await eventually(asked, "the question to people")
    links_path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/waits/links"

    async def linked() -> Any:
        found = (await airflow.get(links_path))["extra_links"]
        return found if found.get("Approval in tradeloop") else None

    links = await eventually(linked, "the link to the approval", 120)
    await until(airflow, dag_id, run_id, "waits", "deferred")
    await asyncio.to_thread(connected.signal, "triggerer", signal.SIGKILL)
    await asyncio.to_thread(connected.restart, "triggerer")

    async def shown() -> bool:
        waiting = await airflow.get(f"/dags/{people.DAG}/dagRuns/~/hitlDetails", response_received="false", limit=100)
        runs = [one["task_instance"]["dag_run_id"] for one in waiting["hitl_details"]]
        return run_id_of(approval.approval_id, 1) in runs

    await eventually(shown, "the question among the Required Actions", 120)
    await people.answer(connected, "anna.k", run_id_of(approval.approval_id, 1), "Approve")
    ended = await until(airflow, dag_id, run_id, "waits", "success", "failed")
    answer = await returned(airflow, dag_id, run_id, "waits")
    after = await approvals.get(approval.approval_id)

    assert links["Approval in tradeloop"] == f"{connected.settings.api_url}/approvals/{approval.approval_id}"
    assert links["Run in tradeloop"].startswith(f"{connected.settings.api_url}/runs/")
    assert (ended, answer["outcome"], answer["effect"]["state"]) == ("success", "START", "executed")
    assert (after.state, after.requester) == (ApprovalState.EXECUTED, "etl")
    assert [(vote.principal, vote.channel) for vote in after.votes] == [("anna.k", "airflow")]
    assert await airflow.dag_run("edge_target", answer["decision_id"]) is not None
    await the_others(airflow, dag_id, run_id)
    told = await inbox.rows("SELECT event_type FROM inbox WHERE subject LIKE %s", (f"{people.DAG}/%",))
    assert told == []  # the ballot's own runs are no events


async def the_others(airflow: AirflowClient, dag_id: str, run_id: str) -> None:
    """What the same run's other tasks came to."""
    ends = {
        name: await until(airflow, dag_id, run_id, name, "success", "failed", "skipped")
        for name in ("silent", "skips", "unknown", "broken")
    }
    assert ends == {"silent": "success", "skips": "skipped", "unknown": "failed", "broken": "failed"}
    silent = await returned(airflow, dag_id, run_id, "silent")
    assert (silent["outcome"], silent["is_silent"], silent["effect"]) == ("START", True, {})
    assert "no workflow answers edge.nobody" in await log_of(airflow, dag_id, run_id, "unknown")
    assert "dead letter" in await log_of(airflow, dag_id, run_id, "broken")


async def test_the_example_asks_and_publishes(connected: Stack, airflow: AirflowClient) -> None:
    shutil.copy(EXAMPLE, connected.settings.dags_folder)

    run_id = await run_dag(airflow, "ask_agent_example")

    assert await state_of(airflow, "ask_agent_example", run_id, "publish") == "success"
    assert await state_of(airflow, "ask_agent_example", run_id, "fetch_again") == "skipped"
