"""`tradeloop report` as it is typed, against a real database: what the store tells of a day, and what is written."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from tradeloop import Decision, WorkflowEvent
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.desk_day import DeskDays
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
STRANGE = "ABC/<script>alert(1)</script>\x1b[31m"
FINDINGS: list[dict[str, Any]] = [{"id": "F-01", "rule": "MD09", "sentence": "a spike", "dates": ["2009-06-08"]}]

Call = Callable[..., tuple[int, str, str]]


@dataclass
class Seeded:
    """Runs of the desk by what became of them."""

    runs: dict[str, Arrival] = field(default_factory=dict)
    today: str = ""
    yesterday: str = ""


def arrival(offset: int, subject: str, desk: str = "marketdata", lane: bytes = b"fast") -> Arrival:
    bars = [{"date": f"2009-06-{at:02d}", "close": f"{100 + at}"} for at in range(1, 20)]
    sent = WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "marketdata.batch.loaded",
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "airflow",
            "workflow_id": "load",
            "workflow_run_id": "manual__1",
            "subject": subject,
            "payload": {"data": {"symbol": "ABC", "period": "2009-06", "bars": bars}},
        }
    )
    value = sent.to_json().encode()
    received = Received(
        "workflow-events", TOPIC, 0, offset, b"k", value, (("tradeloop_lane", lane),), 1_795_453_161_000
    )
    return Arrival(received, sent.event_id, sent.event_type, desk, subject, new_run_id())


def outcome(claim: Claim, state: RunState = RunState.DONE, effect: str = "") -> Outcome:
    if state is not RunState.DONE:
        return Outcome(claim, state, uuid4(), "marketdata", "v1", error="ValueError: broken")
    decision = Decision(outcome="REFETCH", reasons=["a spike [F-01]"], findings=FINDINGS, policy_version="3")
    done: dict[str, object] = {"kind": "trigger_dag", "target": "refetch", "state": effect} if effect else {}
    return Outcome(claim, state, uuid4(), "marketdata", "v1", decision, done)


@pytest.fixture
def seeded(database_url: str) -> Seeded:
    now = datetime.now(UTC)
    if now.hour == 23 and now.minute >= 58:
        pytest.skip("the day would end during the test")
    found = Seeded(today=now.date().isoformat(), yesterday=(now - timedelta(days=1)).date().isoformat())
    names = ("spiked", "plain", "failed", "open", "earlier", "carried", "gone")
    found.runs = {name: arrival(at, f"ABC/{name}") for at, name in enumerate(names)}
    found.runs["spiked"] = arrival(20, STRANGE, lane=b"sweep")
    found.runs["other"] = arrival(21, "X", desk="settlement")
    asyncio.run(seed(database_url, found.runs))
    return found


async def seed(database_url: str, runs: dict[str, Arrival]) -> None:
    owner = uuid4()
    async with Database(database_url, size=2) as database:
        store, inbox = PostgresRuns(database), PostgresInbox(database)
        await store.enlist(owner, "test", 60)
        claims = {claim.run_id: claim for claim in await inbox.accept("g", owner, list(runs.values()), [], 20)}
        await inbox.accept("g", owner, [arrival_again(runs["plain"], 30)], [], 20)
        ended = [
            outcome(claims[runs["spiked"].run_id], effect="executed"),
            outcome(claims[runs["failed"].run_id], RunState.FAILED),
            *(outcome(claims[runs[name].run_id]) for name in ("plain", "earlier", "gone", "other")),
        ]
        await store.record(owner, ended, "workflow-decisions")
        run_ids = {name: one.run_id for name, one in runs.items()}
        for name in ("earlier", "carried", "gone"):
            await database.rows(
                "UPDATE inbox SET received_at = received_at - interval '1 day' WHERE run_id = %s", (run_ids[name],)
            )
        await database.rows(
            "UPDATE runs SET finished_at = finished_at - interval '1 day' WHERE run_id = %s", (run_ids["gone"],)
        )
        facts = {"findings": [*FINDINGS, {"id": "F-02", "rule": "MD08", "sentence": "of the checkpoint"}]}
        values = {"header": {"symbol": "ABC"}, "facts": facts | {"sessions_expected": 22, "sessions_present": 19}}
        async with CheckpointStore(database) as checkpoints:
            config: Any = {"configurable": {"thread_id": str(run_ids["spiked"]), "checkpoint_ns": ""}}
            versions: Any = dict.fromkeys(values, "1.0")
            stored: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
            await checkpoints.aput(config, stored, {"source": "loop", "step": 1}, versions)


def arrival_again(one: Arrival, offset: int) -> Arrival:
    received = Received("workflow-events", TOPIC, 0, offset, b"k", one.received.value, one.received.headers)
    return Arrival(received, one.event_id, one.event_type, one.desk, one.subject, new_run_id())


def report(call: Call, *words: str) -> dict[str, Any]:
    code, out, err = call("report", *words, "--json")
    assert code == 0, err + out
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_day_is_written_as_a_page_with_coverage_decisions_and_pictures(call: Call, seeded: Seeded) -> None:
    code, out, err = call("report", "marketdata", "--date", "today")

    assert code == 0, err
    name = f"report-marketdata-{seeded.today}.html"
    assert out.splitlines() == [
        f"marketdata {seeded.today} (UTC): 4 taken in, 3 decided, 1 ended undecided, 2 open now",
        f"  {name}",
    ]
    text = Path(name).read_text(encoding="utf-8")
    assert "of the checkpoint" in text
    assert "Coverage: 19 of 22 sessions" in text
    assert "computed again from the event" in text
    assert "<script>" not in text
    assert "ABC/&lt;script&gt;" in text
    assert "ValueError: broken" in text
    assert list(Path().glob("*")) == [Path(name)]


def test_the_document_counts_the_whole_day(call: Call, seeded: Seeded) -> None:
    found = report(call, "marketdata", "--date", seeded.today)

    assert {key: found["coverage"][key] for key in ("received", "decided", "decided_of_earlier", "ended", "open")} == {
        "received": 4,
        "decided": 3,
        "decided_of_earlier": 1,
        "ended": {"failed": 1},
        "open": {"running": 2},
    }
    assert found["coverage"]["outcomes"] == {"REFETCH": 3}
    assert found["coverage"]["decided_by"] == {"policy": 3}
    assert found["coverage"]["effects"] == {"executed": 1}
    assert found["coverage"]["lanes"] == {"fast": 3, "sweep": 1}
    assert (found["coverage"]["doubles"], found["coverage"]["policies"]) == (1, ["3"])
    assert 0 <= found["coverage"]["median_s"] <= found["coverage"]["slowest_s"]
    assert {run["subject"] for run in found["runs"]} == {
        STRANGE,
        *(f"ABC/{n}" for n in ("plain", "failed", "open", "earlier", "carried")),
    }
    assert {run["facts_from"] for run in found["runs"]} == {"checkpoint", "computed"}
    assert (found["zone"], found["runs_in_all"]) == ("UTC", 6)
    spiked = next(one for one in found["pictures"] if one["title"] == STRANGE)
    assert spiked["run_id"] == str(seeded.runs["spiked"].run_id)
    assert spiked["table"]["rows"][7][-1] == "F-01"


def test_the_day_before_has_what_came_ended_or_stood_open_then(call: Call, seeded: Seeded) -> None:
    found = report(call, "marketdata", "--date", "yesterday")

    assert {run["subject"] for run in found["runs"]} == {"ABC/earlier", "ABC/carried", "ABC/gone"}
    assert (found["coverage"]["received"], found["coverage"]["decided"], found["coverage"]["open"]) == (
        3,
        1,
        {"running": 1},
    )


def test_picture_alone_both_and_fewer(call: Call, seeded: Seeded) -> None:
    both = report(call, "marketdata", "--date", "today", "--out", "day.html", "--png", "--runs", "2", "--pictures", "1")
    alone = report(call, "marketdata", "--date", "today", "-o", "alone.png")

    assert both["files"] == ["day.html", "day.png"]
    assert (len(both["runs"]), both["runs_in_all"], len(both["pictures"])) == (2, 6, 1)
    assert "the newest 2 of 6" in Path("day.html").read_text()
    assert Path("day.png").read_bytes()[:4] == b"\x89PNG"
    assert alone["files"] == ["alone.png"]
    assert not Path("alone.html").exists()
    _, _, err = call("report", "marketdata", "--date", "today", "--runs", "2")
    assert "the newest 2 of 6 runs; --runs takes more" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("marketdata", "--date", "2009-02-30"), 2, "a day 2026-11-23, today or yesterday is expected"),
        (("marketdata", "--date", "2999-01-01"), 2, "still to come"),
        (("marketdata", "--date", "0001-01-01"), 2, "no run is that old"),
        (("marketdata", "--date", "today", "--out", "day.txt"), 2, "ends with .html or .png"),
        (("marketdata", "--date", "today", "--out", "nowhere/day.html"), 2, "a folder that exists"),
        (("marketdata", "--date", "today", "--out", "x" * 300 + ".html"), 2, "cannot be written"),
        (("marketdata", "--date", "2009-01-05"), 3, "on 2009-01-05 (UTC): no event came"),
        (("nobody", "--date", "today"), 3, "nothing ever came to it"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(
    call: Call, seeded: Seeded, words: tuple[str, ...], code: int, told: str
) -> None:
    ended, out, err = call("report", *words)

    assert (ended, out) == (code, "")
    assert told in err
    assert list(Path().glob("*")) == []


def test_a_day_without_anything_names_the_last_one_that_has_something(
    call: Call, seeded: Seeded, database_url: str
) -> None:
    async def age() -> None:
        async with Database(database_url, size=1) as database:
            await database.rows("UPDATE runs SET finished_at = finished_at - interval '10 days'")
            await database.rows("UPDATE inbox SET received_at = received_at - interval '10 days'")
            await database.rows("DELETE FROM work")

    asyncio.run(age())
    _, _, err = call("report", "marketdata", "--date", "today")
    last = re.search(r"tradeloop report marketdata --date (\S+)", err)
    assert last
    assert report(call, "marketdata", "--date", last.group(1))["coverage"]["decided"] > 0
    assert "desks here: " in call("report", "nobody", "--date", "today")[2]


def test_decisions_outlive_their_events(call: Call, seeded: Seeded, database_url: str) -> None:
    async def forget() -> None:
        async with Database(database_url, size=1) as database:
            await database.rows("DELETE FROM inbox WHERE run_id IN (SELECT run_id FROM runs)")
            await database.rows("DELETE FROM checkpoints")

    asyncio.run(forget())
    found = report(call, "marketdata", "--date", "today", "--out", "old.html")

    assert found["coverage"]["decided"] == 3
    assert found["coverage"]["received"] == 6  # a run's own id tells when it came
    spiked = next(run for run in found["runs"] if run["subject"] == STRANGE)
    assert (spiked["facts_from"], spiked["received_at"][:10]) == ("decision", seeded.today)
    assert "its bars are not kept any more" in Path("old.html").read_text()


async def test_the_store_tells_letters_payloads_and_known_desks(database: Database) -> None:
    owner, one = uuid4(), arrival(0, "ABC/1")
    await PostgresRuns(database).enlist(owner, "test", 60)
    (claim,) = await PostgresInbox(database).accept("g", owner, [one], [], 20)
    days, today = DeskDays(database, "local"), datetime.now(UTC).date()
    await database.rows(
        "INSERT INTO dead_letters (source, run_id, event_id, cause, raw) VALUES ('run', %s, %s, 'broken', '')",
        (claim.run_id, one.event_id),
    )

    coverage = await days.coverage("marketdata", today)
    assert (coverage.dead_letters, coverage.open, coverage.decided) == ({"open": 1}, {"running": 1}, 0)
    assert (coverage.median_s, coverage.slowest_s, coverage.outcomes) == (None, None, {})
    assert await days.payload(claim.run_id) == one.received.value
    assert await days.payload(uuid4()) is None
    assert [await days.is_known(desk) for desk in ("marketdata", "nobody")] == [True, False]
    assert await days.last_before("marketdata", datetime.now(UTC)) is None
    assert (await days.runs("nobody", today, limit=5)) == ([], 0)
