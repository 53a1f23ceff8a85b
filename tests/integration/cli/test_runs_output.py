"""`tradeloop runs`, `db` and `topics` against a real database and broker: words for people, one JSON document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from tradeloop import Action, Decision, WorkflowEvent
from tradeloop.domain.actions import TargetClass
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, decision_id_of, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
STRANGE = "SPX/[red]2009[/]\x1b[31m"
"""What a producer may write into a subject: markup of a terminal library, and a terminal's own commands."""
REFETCH = Action(kind="trigger_dag", target="refetch_prices")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def seeded(database_url: str) -> dict[str, Arrival]:
    """One run in each of the states done, failed, running and queued, and one that nobody answers."""
    runs = {
        "done": _arrival(0, STRANGE),
        "failed": _arrival(1, "NDX/2009-07"),
        "running": _arrival(2, "DAX/2009-07"),
        "queued": _arrival(3, "DAX/2009-07"),
        "unhandled": _arrival(4, "other", desk=""),
    }
    asyncio.run(_seed(database_url, runs))
    return runs


async def _seed(database_url: str, runs: dict[str, Arrival]) -> None:
    owner = uuid4()
    async with Database(database_url, size=1) as database:
        store = PostgresRuns(database)
        await store.enlist(owner, "test", 60)
        claims = await PostgresInbox(database).accept("g", owner, list(runs.values()), [], 10)
        by_run = {claim.run_id: claim for claim in claims}
        done = _outcome(by_run[runs["done"].run_id], RunState.DONE)
        failed = _outcome(by_run[runs["failed"].run_id], RunState.FAILED)
        await store.record(owner, [done, failed], "workflow-decisions")


def _arrival(offset: int, subject: str, desk: str = "marketdata") -> Arrival:
    sent = WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "marketdata.batch.loaded",
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "airflow",
            "workflow_id": "load",
            "workflow_run_id": "manual__1",
            "subject": subject,
        }
    )
    received = Received(
        "workflow-events",
        TOPIC,
        0,
        offset,
        b"k",
        sent.to_json().encode(),
        (("tradeloop_lane", b"fast"),),
        1_795_453_161_000,
    )
    return Arrival(received, sent.event_id, sent.event_type, desk, subject, new_run_id())


def _outcome(claim: Claim, state: RunState) -> Outcome:
    decision_id = decision_id_of("local", claim.event_id, 0)
    if state is RunState.FAILED:
        return Outcome(
            claim, state, decision_id, "marketdata", "v1", error="ValueError: broken\x07", error_class="ValueError"
        )
    decision = Decision(outcome="REFETCH", reasons=["a bar is scaled by 100"], action=REFETCH, policy_version="3")
    effect: dict[str, object] = {
        "kind": "trigger_dag",
        "target": "refetch_prices",
        "state": "executed",
        "result": {"dag_run_id": str(decision_id)},
    }
    return Outcome(claim, state, decision_id, "marketdata", "v1", decision, effect)


def test_the_list_names_every_run_with_its_state_and_decision(call: Call, seeded: dict[str, Arrival]) -> None:
    code, out, _ = call("runs", "list", "--all")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["ID", "STATE"]
    assert {(line.split()[1], line.split()[2]) for line in lines[1:]} == {
        ("✓", "done"),
        ("✗", "failed"),
        ("▸", "running"),
        ("…", "queued"),
        ("○", "unhandled"),
    }
    done = next(line for line in lines if " done " in line)
    assert "SPX/[red]2009[/]" in done
    assert "REFETCH" in done
    assert str(decision_id_of("local", seeded["done"].event_id, 0))[:8] in done


def test_no_command_of_a_terminal_reaches_the_terminal(call: Call, seeded: dict[str, Arrival]) -> None:
    for words in (("runs", "list", "--all"), *(("runs", "show", str(run.run_id)) for run in seeded.values())):
        code, out, _ = call(*words)
        assert (code, {c for c in out if not c.isprintable()}) == (0, {"\n"})


def test_the_list_as_json_is_one_document(call: Call, seeded: dict[str, Arrival]) -> None:
    _, out, _ = call("runs", "list", "--all", "--json")
    found = {row["state"]: row for row in json.loads(out)}
    assert set(found) == set(seeded)
    done = found["done"]
    assert (done["subject"], done["decision"]["outcome"], done["lane"], done["offset"]) == (
        STRANGE,
        "REFETCH",
        "fast",
        0,
    )
    assert found["running"]["decision"] is None
    assert found["failed"]["error"].startswith("ValueError: broken")


@pytest.mark.parametrize(
    ("words", "states"),
    [
        (("--state", "failed"), {"failed"}),
        (("--state", "queued"), {"queued"}),
        (("--desk", "marketdata"), {"done", "failed", "running", "queued"}),
        (("--since", "1h"), {"done", "failed", "running", "queued"}),
        (("--since", "1h", "--all"), {"done", "failed", "running", "queued", "unhandled"}),
        (("--state", "unhandled"), {"unhandled"}),
        (("--limit", "1"), None),
    ],
)
def test_the_list_can_be_narrowed(
    call: Call, seeded: dict[str, Arrival], words: tuple[str, ...], states: set[str] | None
) -> None:
    _, out, _ = call("runs", "list", "--json", *words)
    found = [row["state"] for row in json.loads(out)]
    assert set(found) == states if states else len(found) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("list", "--state", "sleeping"), 2, "no state is called 'sleeping'; known: queued, running"),
        (("list", "--since", "yesterday"), 2, "'yesterday' is no time span"),
        (("show", "zzz"), 3, "'zzz' is no id"),
        (("show", "00000000"), 3, "no run begins with '00000000'"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_so(
    call: Call, seeded: dict[str, Arrival], words: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = call("runs", *words)
    assert (found, out) == (code, "")
    assert message in err


def test_a_beginning_that_several_ids_share_lists_them(call: Call, seeded: dict[str, Arrival]) -> None:
    shared = str(seeded["done"].run_id)[:6]  # of a UUIDv7 the first digits are the clock's
    code, out, err = call("runs", "show", shared)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: 5 runs begin with '{shared}': ")
    shown = err.splitlines()[0].rpartition(": ")[2].split()
    assert len({run for run in shown if any(str(one.run_id).startswith(run) for one in seeded.values())}) == 5


def test_a_migration_that_would_be_refused_is_refused_beforehand(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradeloop.store.migrations.OLDEST_SERVER", 990_000)
    code, out, err = call("db", "migrate", "--dry-run")
    assert (code, out) == (2, "")
    assert "is too old; 99 or newer is expected" in err
    code, out, _ = call("db", "status")
    assert (code, "✗ PostgreSQL 1" in out) == (6, True)


def test_an_empty_database_has_no_runs(call: Call) -> None:
    assert call("runs", "list", "--json")[1].strip() == "[]"
    code, out, err = call("runs", "list")
    assert (code, "No run matches." in out + err) == (0, True)


def test_a_run_is_shown_by_any_of_its_ids(call: Call, seeded: dict[str, Arrival]) -> None:
    run = seeded["done"]
    decision_id = decision_id_of("local", run.event_id, 0)
    shown = {call("runs", "show", str(one)) for one in (run.run_id, run.event_id, decision_id, str(decision_id)[:13])}
    ((code, out, _),) = shown
    assert code == 0
    for words in (str(run.run_id), "done", "workflow-events[0]@0, fast lane", "REFETCH", "a bar is scaled by 100"):
        assert words in out


def test_a_live_run_is_found_by_its_coming_decision(call: Call, seeded: dict[str, Arrival]) -> None:
    code, out, _ = call("runs", "show", str(decision_id_of("local", seeded["queued"].event_id, 0)), "--json")
    assert (code, json.loads(out)["state"]) == (0, "queued")


def test_a_shown_run_as_json_is_one_document(call: Call, seeded: dict[str, Arrival]) -> None:
    _, out, _ = call("runs", "show", str(seeded["done"].run_id), "--json")
    shown = json.loads(out)
    assert (shown["state"], shown["effect"]["state"], shown["steps"]) == ("done", "executed", [])


@pytest.mark.parametrize("has_failed", [False, True])
def test_a_run_shows_what_keeps_its_effect_from_happening(
    call: Call, seeded: dict[str, Arrival], database_url: str, has_failed: bool
) -> None:
    arrived, owner = _arrival(20, "SPX/2009-08"), uuid4()

    async def be_blocked() -> None:
        async with Database(database_url, size=1) as database:
            runs, ledger = PostgresRuns(database), PostgresEffects(database)
            await runs.enlist(owner, "test", 60)
            (claim,) = await PostgresInbox(database).accept("g", owner, [arrived], [], 10)
            effect = await ledger.prepare(owner, claim, "act", uuid4(), REFETCH)
            await ledger.begin(owner, claim, effect.key, TargetClass.KEYED, 60)
            await ledger.block(owner, claim, effect.key, "DAG refetch_prices: is paused")
            if has_failed:
                await runs.record(owner, [_outcome(claim, RunState.FAILED)], "workflow-decisions")

    asyncio.run(be_blocked())
    told = call("runs", "show", str(arrived.run_id))[1]
    assert "trigger_dag refetch_prices blocked DAG refetch_prices: is paused" in told
    shown = json.loads(call("runs", "show", str(arrived.run_id), "--json")[1])
    assert (shown["state"], shown["effect"]["state"]) == ("failed" if has_failed else "running", "blocked")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_that_has_ended_is_watched_to_its_end(call: Call, seeded: dict[str, Arrival], as_json: bool) -> None:
    code, out, _ = call("runs", "watch", str(seeded["done"].run_id), *(["--json"] if as_json else []))
    said = [json.loads(line)["what"] for line in out.splitlines()] if as_json else out.splitlines()
    assert code == 0
    assert "done: REFETCH, trigger_dag refetch_prices executed" in said[-1]


def test_who_watches_a_run_for_no_longer_than_told_is_told_that_it_goes_on(
    call: Call, seeded: dict[str, Arrival]
) -> None:
    code, out, _ = call("runs", "watch", str(seeded["queued"].run_id), "--timeout", "0.7")
    assert (code, out.split()[-1]) == (8, "queued")


def test_a_run_that_failed_is_watched_to_its_error(call: Call, seeded: dict[str, Arrival]) -> None:
    code, out, _ = call("runs", "watch", str(seeded["failed"].run_id))
    assert (code, "failed: ValueError: broken" in out) == (0, True), out


def test_an_event_shows_that_its_id_came_again_with_other_content(
    call: Call, seeded: dict[str, Arrival], database_url: str
) -> None:
    first = seeded["unhandled"]
    changed = first.received.value.replace(b"manual__1", b"manual__2")

    async def come_again() -> None:
        async with Database(database_url, size=1) as database:
            later = [
                replace(first, received=replace(first.received, offset=10, value=first.received.value)),
                replace(first, received=replace(first.received, offset=11, value=changed)),
            ]
            assert await PostgresInbox(database, "dead").accept("g", uuid4(), later, [], 10) == []
            mirrored = await database.rows("SELECT value FROM outbox WHERE topic = 'dead'")
            assert [bytes(row["value"]) for row in mirrored] == [changed]

    asyncio.run(come_again())
    code, out, _ = call("events", "show", str(first.event_id))
    told = [line.rpartition("lane  ")[2] for line in out.splitlines() if " lane  " in line]
    assert (code, told) == (
        0,
        [
            "accepted",
            "dropped as a double",
            "dropped as a double, although it says something else (tradeloop dlq list)",
        ],
    )
    shown = json.loads(call("events", "show", str(first.event_id), "--json")[1])
    assert [seen["differs"] for seen in shown["sightings"]] == [False, False, True]
    assert b"manual__2" not in json.dumps(shown["event"]).encode()


def test_a_database_that_does_not_answer_is_said_so(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    code, out, err = call("db", "migrate")
    assert (code, out) == (7, "")
    assert err.startswith("error: PostgreSQL at 127.0.0.1:1 did not answer: ")


def test_migrating_again_changes_nothing_and_says_so(call: Call) -> None:
    assert call("db", "migrate", "--json")[:2] == (0, '{"applied": [], "pending": []}\n')


def test_topics_are_created_once(call: Call, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str) -> None:
    tail = uuid4().hex[:8]
    monkeypatch.setenv("TRADELOOP_KAFKA_BOOTSTRAP", kafka_bootstrap)
    names = {"EVENTS": f"e-{tail}", "DECISIONS": f"d-{tail}", "DEAD_LETTERS": f"l-{tail}"}
    for name, topic in names.items():
        monkeypatch.setenv(f"TRADELOOP_{name}_TOPIC", topic)
    code, out, _ = call("topics", "create", "--json")
    assert (code, sorted(json.loads(out)["created"])) == (0, sorted(names.values()))
    assert json.loads(call("topics", "create", "--json")[1]) == {"created": []}
