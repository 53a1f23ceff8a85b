"""`tradeloop graphs`, `runs cancel` and `runs move`: versions of graphs, and what a person wants of a live run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph.types import interrupt

from tradeloop import Workflow, WorkflowEvent
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.engine.graph_check import check_run
from tradeloop.ports import Arrival
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.live_runs import RUN_ORDERS_STREAM
from tradeloop.store.runs import PostgresRuns
from tradeloop.workflow import load_workflows

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
Call = Callable[..., tuple[int, str, str]]
DESK = """
from tradeloop import Decision, Workflow

def look(state):
    return {"facts": {"rows": 3}}

def decide(state):
    raise RuntimeError("not today")

workflow = Workflow.chain("hello.loaded", look, decide, desk="hello")
"""
RENAMED = DESK.replace("decide", "judge")
BETTER = DESK.replace('raise RuntimeError("not today")', 'return {"decision": Decision(outcome="ACCEPT")}')


def event() -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "hello.loaded",
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "airflow",
            "workflow_id": "hello",
            "workflow_run_id": "manual__1",
            "subject": f"hello/{uuid4().hex[:6]}",
        }
    )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Call) -> Callable[[str], str]:
    """Make this the installation's code; returns its version."""

    def make(text: str) -> str:
        name = f"desk_{uuid4().hex[:8]}.py"
        (tmp_path / name).write_text(text)
        monkeypatch.setenv("TRADELOOP_WORKFLOWS", f"{name}:workflow")
        return load_workflows([f"{name}:workflow"])["hello.loaded"].version

    return make


@pytest.fixture
def live(install: Callable[[str], str], database_url: str) -> Claim:
    """A run whose graph broke off before its second node."""
    version = install(DESK)
    return asyncio.run(_break_off(database_url, version))


async def _break_off(database_url: str, version: str) -> Claim:
    owner, sent = uuid4(), event()
    name = next(Path().glob("desk_*.py"))
    workflow = load_workflows([f"{name}:workflow"])["hello.loaded"]
    async with Database(database_url, size=2) as database:
        await PostgresRuns(database).enlist(owner, "test", 600)
        received = Received("workflow-events", TOPIC, 0, 0, b"k", sent.to_json().encode())
        came = Arrival(received, sent.event_id, sent.event_type, "hello", sent.subject, new_run_id())
        [claim] = await PostgresInbox(database).accept("g", owner, [came], [], 1)
        async with CheckpointStore(database) as saver:
            with pytest.raises(RuntimeError):
                await workflow.graph.compile(checkpointer=saver).ainvoke(
                    {"event": sent.to_dict()},
                    {"configurable": {"thread_id": str(claim.run_id)}, "metadata": {"graph_version": version}},
                    durability="sync",
                )
        await database.rows("UPDATE work SET graph_version = %s", (version,))
        return claim


def change(database_url: str, sql: str, *arguments: Any) -> list[Any]:
    async def ask() -> list[Any]:
        async with Database(database_url, size=1) as database:
            return await database.rows(sql, arguments)

    return asyncio.run(ask())


def test_graphs_are_listed_with_their_versions_and_live_runs(
    call: Call, live: Claim, install: Callable[[str], str], database_url: str
) -> None:
    [old] = {row["version"] for row in json.loads(call("graphs", "list", "--json")[1]) if row["live"]}
    change(database_url, "UPDATE workers SET graphs = ARRAY[%s]", old)
    new = install(BETTER)
    rows = [row for row in json.loads(call("graphs", "list", "--json")[1]) if row["event_type"] == "hello.loaded"]
    found = {row["version"]: (row["here"], row["workers"], row["live"], row["states"]) for row in rows}
    assert found == {old: (False, True, 1, {"running": 1}), new: (True, False, 0, {})}
    code, out, _ = call("graphs", "list")
    assert (code, new in out, "marketdata.batch.loaded" in out) == (0, True, True)


def test_a_run_of_the_same_code_goes_on(call: Call, live: Claim) -> None:
    code, out, _ = call("graphs", "check")
    assert (code, out) == (0, "1 runs: 1 goes on, 0 can be moved, 0 breaks\n")
    assert call("graphs", "check", "--json")[1] == "[]\n"


def test_a_run_whose_state_fits_other_code_can_be_moved(call: Call, live: Claim, install: Callable[[str], str]) -> None:
    new = install(BETTER)
    code, out, err = call("graphs", "check")
    assert (code, out) == (0, "1 runs: 0 goes on, 1 can be moved, 0 breaks\n")
    assert f"tradeloop runs move {live.run_id} --to-version {new}" in err
    [found] = json.loads(call("graphs", "check", "--json")[1])
    assert (found["verdict"], found["next_steps"], found["version_here"]) == ("can be moved", ["decide"], new)


def test_a_step_that_is_gone_breaks_its_run(call: Call, live: Claim, install: Callable[[str], str]) -> None:
    install(RENAMED)
    code, out, _ = call("graphs", "check")
    assert code == 6
    assert out.splitlines() == [
        "1 runs: 0 goes on, 0 can be moved, 1 breaks",
        f"  1 hello.loaded: its next step 'decide' is gone   for example {live.run_id}",
    ]


def test_a_run_without_a_workflow_breaks(call: Call, live: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_WORKFLOWS", "")
    code, out, _ = call("graphs", "check")
    assert (code, "no workflow of this installation answers hello.loaded" in out) == (6, True)


def end(database_url: str, claim: Claim) -> None:
    async def record() -> None:
        async with Database(database_url, size=1) as database:
            [row] = await database.rows("SELECT owner FROM work")
            outcome = Outcome(claim, RunState.CANCELLED, uuid4(), "hello", "another")
            await PostgresRuns(database).record(row["owner"], [outcome], "decisions")

    asyncio.run(record())


def test_runs_that_ended_lately_are_checked_when_asked(call: Call, live: Claim, database_url: str) -> None:
    end(database_url, live)
    assert call("graphs", "check")[1].startswith("0 runs")
    [found] = json.loads(call("graphs", "check", "--since", "1h", "--json")[1])
    assert (found["run_id"], found["state"], found["verdict"]) == (str(live.run_id), "cancelled", "can be moved")


async def test_a_state_whose_types_changed_does_not_fit(database: Database) -> None:
    def ask(state: Any) -> dict[str, Any]:
        return {"decision": interrupt("may I?")}

    workflow, thread = Workflow.chain("hello.loaded", ask, desk="hello"), uuid4()
    async with CheckpointStore(database) as saver:
        graph = workflow.graph.compile(checkpointer=saver)
        await graph.ainvoke({"event": {}, "facts": {"n": 1}}, {"configurable": {"thread_id": str(thread)}})
    assert (await check_run(workflow, "hello.loaded", saver, thread)).problems == []
    await database.rows("UPDATE checkpoint_blobs SET type = 'msgpack', blob = '\\x2a'::bytea WHERE channel = 'facts'")
    found = await check_run(workflow, "hello.loaded", saver, thread)
    assert found.problems == ["facts does not fit: input should be a valid dictionary"]
    await database.rows("UPDATE checkpoint_blobs SET blob = '\\xc1'::bytea WHERE channel = 'facts'")
    found = await check_run(workflow, "hello.loaded", saver, thread)
    assert [problem.partition(":")[0] for problem in found.problems] == ["its checkpoint cannot be read"]


async def test_a_run_that_has_not_begun_has_no_problem(database: Database) -> None:
    def decide(state: Any) -> dict[str, Any]:
        return {}

    workflow = Workflow.chain("hello.loaded", decide, desk="hello")
    found = await check_run(workflow, "hello.loaded", CheckpointStore(database), uuid4())
    assert (found.stamped, found.next_steps, found.problems) == ("", (), [])


def test_a_cancel_is_asked_with_a_reason_and_audited(call: Call, live: Claim, database_url: str) -> None:
    code, out, _ = call("runs", "cancel", str(live.run_id), "--reason", "wrong batch", "--by", "anna.k", "--json")
    assert (code, json.loads(out)["state"]) == (0, "running")
    assert change(database_url, "SELECT cancel FROM work") == [{"cancel": "wrong batch"}]
    [record] = change(database_url, "SELECT kind, body FROM audit_records WHERE stream_id = %s", RUN_ORDERS_STREAM)
    assert record == {
        "kind": "run_cancel_asked",
        "body": {"run_id": str(live.run_id), "by": "anna.k", "reason": "wrong batch"},
    }
    assert f"run {live.run_id} is asked to end" in call("runs", "cancel", str(live.run_id), "--reason", "r")[1]


def test_a_run_that_ended_cannot_be_cancelled(call: Call, live: Claim, database_url: str) -> None:
    end(database_url, live)
    code, _, err = call("runs", "cancel", str(live.event_id), "--reason", "r")
    assert (code, f"run {live.run_id} has ended" in err) == (5, True)
    assert call("runs", "cancel", str(live.event_id), "--reason", " ")[0] == 2


def test_a_run_without_its_version_is_moved_and_audited(
    call: Call, live: Claim, install: Callable[[str], str], database_url: str
) -> None:
    old = change(database_url, "UPDATE work SET state = 'v', owner = NULL RETURNING graph_version")[0]["graph_version"]
    new = install(BETTER)
    code, _, err = call("runs", "move", str(live.run_id), "--to-version", "beef")
    assert (code, f"no worker and no code here has version 'beef'; known: {new}" in err) == (3, True)
    code, out, _ = call("runs", "move", str(live.run_id), "--to-version", new, "--by", "anna.k")
    assert (code, out) == (0, f"run {live.run_id} goes on with {new}, no longer {old}\n")
    [row] = change(database_url, "SELECT state::text AS state, graph_version FROM work")
    assert row == {"state": "q", "graph_version": new}
    [record] = change(database_url, "SELECT kind, body FROM audit_records WHERE stream_id = %s", RUN_ORDERS_STREAM)
    assert (record["kind"], record["body"]["from"], record["body"]["to"]) == ("run_moved", old, new)


def test_a_run_that_waits_for_no_version_is_not_moved(
    call: Call, live: Claim, install: Callable[[str], str], database_url: str
) -> None:
    version = install(BETTER)
    code, *_ = call("runs", "move", str(live.run_id), "--to-version", version, "--json")
    assert code == 5
    change(database_url, "UPDATE work SET state = 'v', owner = NULL")
    code, out, _ = call("runs", "move", str(live.run_id), "--to-version", version, "--json")
    assert (code, json.loads(out)["to_version"]) == (0, version)
