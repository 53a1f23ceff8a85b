"""`tradeloop dlq`: looking at dead letters, and answering them."""

from __future__ import annotations

import asyncio
import getpass
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop import WorkflowEvent
from tradeloop.domain.letters import DEAD_LETTER_STREAM
from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
Call = Callable[..., tuple[int, str, str]]
DESK = """
from tradeloop import Decision, Workflow

def decide(state):
    rows = state["event"]["payload"]["data"]["rows"]
    return {"decision": Decision(outcome="ACCEPT", reasons=[f"{rows} rows"])}

workflow = Workflow.chain("hello.loaded", decide, desk="hello")
"""


class Terminal(io.StringIO):
    """A person who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _own_desk(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("hello_replayed.py").write_text(DESK)
    monkeypatch.setenv("TRADELOOP_WORKFLOWS", "hello_replayed.py:workflow")


@pytest.fixture
def runs(database_url: str) -> dict[str, WorkflowEvent]:
    """Letters 1 and 2: failed runs, of which today's code decides the first; 3: bytes that are no event."""
    events = {"good": _event(rows=3), "bad": _event()}
    asyncio.run(_seed(database_url, list(events.values())))
    return events


def _event(**data: Any) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "hello.loaded",
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "airflow",
            "workflow_id": "hello",
            "workflow_run_id": "manual__1",
            "subject": f"hello/{uuid4().hex[:6]}",
            "payload": {"data": data},
        }
    )


async def _seed(database_url: str, events: list[WorkflowEvent]) -> None:
    owner = uuid4()
    async with Database(database_url, size=1) as database:
        store, inbox = PostgresRuns(database), PostgresInbox(database)
        await store.enlist(owner, "test", 60)
        arrivals = [
            Arrival(
                Received("workflow-events", TOPIC, 0, offset, b"k", one.to_json().encode()),
                one.event_id,
                one.event_type,
                "hello",
                one.subject,
                new_run_id(),
            )
            for offset, one in enumerate(events)
        ]
        claims = await inbox.accept("g", owner, arrivals, [], 10)
        for claim in sorted(claims, key=lambda claim: claim.event_id != events[0].event_id):
            await store.record(owner, [_failed(claim)], "workflow-decisions")
        broken = Received("workflow-events", TOPIC, 0, 9, b"k", b"\x00{")
        letter = DeadLetter(
            "kafka", "not JSON: \x07", "EventNotJson", b"\x00{", "workflow-events", TOPIC, 0, 9, uuid4()
        )
        await inbox.accept("g", owner, [], [(broken, letter)], 0)


def _failed(claim: Claim) -> Outcome:
    return Outcome(
        claim,
        RunState.FAILED,
        uuid4(),
        "hello",
        "v1",
        error="the desk's table was empty",
        error_class="ValueError",
        stack_hash="abcd",
    )


def audit_of(database_url: str) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        async with Database(database_url, size=1) as database:
            return await database.rows(
                "SELECT kind, body FROM audit_records WHERE stream_id = %s ORDER BY n", (DEAD_LETTER_STREAM,)
            )

    return asyncio.run(ask())


def states(call: Call) -> dict[int, str]:
    return {row["id"]: row["state"] for row in json.loads(call("dlq", "list", "--state", "all", "--json")[1])}


def test_letters_are_grouped_by_kind_source_and_place_in_the_code(call: Call, runs: Any) -> None:
    _, out, _ = call("dlq", "list", "--group", "--json")
    groups = json.loads(out)
    assert [(g["error_class"], g["source"], g["stack_hash"], g["count"], g["example"]) for g in groups] == [
        ("ValueError", "run", "abcd", 2, 2),
        ("EventNotJson", "kafka", "", 1, 3),
    ]
    assert "ValueError" in call("dlq", "list", "--group")[1]


def test_the_list_is_narrowed_and_a_runs_letter_has_its_place(call: Call, runs: Any) -> None:
    _, out, _ = call("dlq", "list", "--cause", "TABLE WAS", "--json")
    assert [(row["id"], row["place"], row["graph_version"], row["attempts"]) for row in json.loads(out)] == [
        (2, "workflow-events[0]@1", "v1", 1),
        (1, "workflow-events[0]@0", "v1", 1),
    ]
    code, out, err = call("dlq", "list", "--kind", "Nothing")
    assert (code, out, "No dead letter is open." in err) == (0, "", True)


def test_a_letter_is_shown_by_number_event_or_run(call: Call, runs: dict[str, WorkflowEvent], tmp_path: Path) -> None:
    event_id = str(runs["good"].event_id)
    by_number, by_event = call("dlq", "show", "1"), call("dlq", "show", event_id[:13])
    assert by_number == by_event
    assert "stack     abcd" in by_number[1]
    shown = json.loads(call("dlq", "show", "1", "--json", "--raw", str(tmp_path / "raw"))[1])
    assert call("dlq", "show", shown["run_id"])[1] == by_number[1]
    assert (tmp_path / "raw").read_bytes() == runs["good"].to_json().encode()


def test_no_command_of_a_terminal_comes_out_of_a_letter(call: Call, runs: Any) -> None:
    for words in (("list",), ("show", "3")):
        _, out, _ = call("dlq", *words)
        assert {c for c in out if not c.isprintable()} == {"\n"}


def test_a_dry_run_counts_what_would_pass_and_changes_nothing(call: Call, runs: Any, database_url: str) -> None:
    code, out, _ = call("dlq", "replay", "--source", "run", "--dry-run")
    assert code == 6
    assert out.splitlines() == ["with today's code 1 of 2 would pass", "  1 would not: KeyError: KeyError: 'rows'"]
    assert states(call) == {1: "open", 2: "open", 3: "open"}
    assert audit_of(database_url) == []


def test_a_replay_makes_one_run_of_the_next_generation(
    call: Call, runs: dict[str, WorkflowEvent], database_url: str
) -> None:
    code, out, _ = call("dlq", "replay", "1", "--json", "--by", "anna.k")
    report = json.loads(out)
    assert (code, report["matched"], [one["generation"] for one in report["replayed"]]) == (0, 1, [1])
    assert states(call)[1] == "replayed"
    run = json.loads(call("runs", "show", report["replayed"][0]["run_id"], "--json")[1])
    assert (run["state"], run["event_id"], run["offset"]) == ("queued", str(runs["good"].event_id), 0)
    [record] = audit_of(database_url)
    assert (record["kind"], record["body"]["by"], record["body"]["letter"]) == ("dead_letter_replayed", "anna.k", 1)
    assert "by anna.k" in call("dlq", "show", "1")[1]


def test_what_was_replayed_before_is_said_so(call: Call, runs: Any) -> None:
    assert call("dlq", "replay", "1")[0] == 0
    code, out, err = call("dlq", "replay", "1")
    assert (code, out.splitlines()) == (5, ["0 of 1 replayed"])
    assert "dead letter 1: was replayed or discarded before   next: tradeloop dlq show 1" in err


def test_what_today_s_code_cannot_read_is_left_and_told(call: Call, runs: Any) -> None:
    code, out, _ = call("dlq", "replay", "--kind", "EventNotJson", "--yes")
    assert code == 6
    assert "0 of 1 replayed" in out
    assert "1 would not: EventNotJson: not JSON" in out
    assert states(call)[3] == "open"


def test_only_those_that_pass_are_replayed_when_asked(call: Call, runs: Any) -> None:
    assert call("dlq", "replay", "--cause", "table", "--passing", "--rate", "1000", "--yes")[0] == 6
    assert states(call) == {1: "replayed", 2: "open", 3: "open"}


def test_an_event_that_came_in_another_way_is_to_be_discarded(call: Call, database_url: str) -> None:
    event = _event(rows=1)

    async def seed() -> None:
        place = Received("workflow-events", TOPIC, 0, 0, b"k", event.to_json().encode())
        letter = DeadLetter("kafka", "was unreadable", "EventInvalid", place.value, place.topic, TOPIC, 0, 0)
        later = Received("workflow-events", TOPIC, 0, 1, b"k", place.value)
        came = Arrival(later, event.event_id, event.event_type, "hello", event.subject, new_run_id())
        async with Database(database_url, size=1) as database:
            await PostgresInbox(database).accept("g", uuid4(), [came], [(place, letter)], 0)

    asyncio.run(seed())
    code, _, err = call("dlq", "replay", "1")
    assert (code, "its event came in another way: discard it" in err) == (5, True)


def test_a_discard_keeps_the_letter_with_its_reason(call: Call, runs: Any, database_url: str) -> None:
    code, out, _ = call("dlq", "discard", "3", "--reason", "test data")
    assert (code, out) == (0, "1 discarded\n")
    shown = json.loads(call("dlq", "show", "3", "--json")[1])
    assert (shown["state"], shown["reason"], shown["decided_by"], shown["size_bytes"]) == (
        "discarded",
        "test data",
        getpass.getuser(),
        2,
    )
    [record] = audit_of(database_url)
    assert (record["kind"], record["body"]["reason"]) == ("dead_letter_discarded", "test data")
    code, out, err = call("dlq", "discard", "3", "--reason", "test data")
    assert (code, out, "settled before" in err) == (5, "0 discarded\n", True)


def test_many_are_discarded_by_a_filter(call: Call, runs: Any) -> None:
    code, out, _ = call("dlq", "discard", "--source", "run", "--since", "1h", "--reason", "r", "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"discarded": [1, 2], "settled_before": []})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("replay",), 2, "which ones?"),
        (("replay", "77"), 3, "there is no dead letter 77"),
        (("replay", "0" * 12), 3, "no dead letter's event or run begins with"),
        (("replay", "--cause", "table"), 2, "there is no terminal to ask it on"),
        (("replay", "1", "--rate", "fast"), 2, "'fast' is no rate"),
        (("discard", "1"), 2, "--reason"),
        (("discard", "1", "--reason", " "), 2, "a reason is required"),
        (("discard", "--cause", "table", "--reason", "r"), 2, "there is no terminal to ask it on"),
        (("list", "--state", "gone"), 2, "'gone' is no state"),
        (("list", "--source", "moon"), 2, "'moon' is no source"),
    ],
)
def test_a_question_that_makes_no_sense_changes_nothing(
    call: Call, runs: Any, words: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = call("dlq", *words)
    assert (found, out) == (code, "")
    assert message in " ".join(err.replace("│", " ").split())
    assert states(call) == {1: "open", 2: "open", 3: "open"}


def test_a_beginning_that_several_letters_have_lists_them(call: Call, runs: dict[str, WorkflowEvent]) -> None:
    call("dlq", "replay", "1")
    shown = json.loads(call("dlq", "show", "1", "--json")[1])
    common = shown["run_id"][:8]  # the clock's digits: both runs were made within a minute
    code, _, err = call("dlq", "show", common)
    assert (code, f"several letters have '{common}'" in " ".join(err.replace("│", " ").split())) == (2, True)


def test_a_terminal_is_asked_before_many_are_put_back(call: Call, runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, _ = call("dlq", "replay", "--source", "run")
    assert code == 2
    assert states(call) == {1: "open", 2: "open", 3: "open"}
