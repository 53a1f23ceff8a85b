"""`tradeloop db stats` and `db clean`: figures for people and programs, and what is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop.domain.records import Received
from tradeloop.domain.runs import new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.outbox import PostgresOutbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def busy(database_url: str) -> UUID:
    """A worker with one run in hand and one that waits, a relay with every lane, and 5 doubles of long ago."""
    owner = uuid4()

    async def seed() -> None:
        async with Database(database_url, size=1) as database:
            await PostgresRuns(database).enlist(owner, "test", 600)
            arrivals = [
                Arrival(Received("events", TOPIC, 0, n, b"k", b"{}"), uuid4(), "some.type", "prices", "s", new_run_id())
                for n in range(2)
            ]
            await PostgresInbox(database).accept("g", owner, arrivals, [], 1)
            await PostgresOutbox(database).hold(owner, 600)
            await database.rows("INSERT INTO outbox (lane, topic, key, value, headers) VALUES (3, 't', '', '', '[]')")
            await database.rows(
                'INSERT INTO inbox_doubles (topic_id, partition, "offset", event_id, lane, seen_at) '
                "SELECT gen_random_uuid(), 0, n, gen_random_uuid(), '', now() - interval '99 days' "
                "FROM generate_series(1, 5) n"
            )

    asyncio.run(seed())
    return owner


def test_the_figures_name_backlog_outbox_lanes_and_workers(call: Call, busy: UUID) -> None:
    code, out, _ = call("db", "stats", "--json")
    found = json.loads(out)
    assert code == 0
    assert [(row["desk"], row["state"], row["runs"], row["heads"]) for row in found["backlog"]] == [
        ("prices", "queued", 1, 0),
        ("prices", "running", 1, 1),
    ]
    assert found["outbox"]["rows"] == 1
    assert found["outbox"]["lag_s"] >= 0
    assert {(lane["owner"], lane["is_held"]) for lane in found["lanes"]} == {(str(busy), True)}
    assert [lane["rows"] for lane in found["lanes"]] == [1 if n == 3 else 0 for n in range(16)]
    assert [(worker["worker_id"], worker["state"], worker["runs"]) for worker in found["workers"]] == [
        (str(busy), "live", 1)
    ]
    tables = {row["table"]: row for row in found["tables"]}
    assert {"inbox", "runs", "work", "checkpoints"} <= set(tables)
    assert "inbox_default" not in tables
    assert tables["inbox"]["size_bytes"] > 0
    assert tables["inbox"]["oldest_at"] is not None
    assert tables["runs"]["oldest_at"] is None
    assert found["horizon"]["oldest_xmin_age"] >= 0


def test_the_figures_are_tables_for_people(call: Call, busy: UUID) -> None:
    code, out, _ = call("db", "stats")
    assert code == 0
    for words in ("ROWS (ESTIMATE)", "prices", "outbox 1 rows, the oldest", "16 of 16 lanes held by 1 relays"):
        assert words in out


def test_an_empty_database_has_figures_too(call: Call) -> None:
    code, out, err = call("db", "stats")
    assert (code, "No run is live." in err, "outbox 0 rows; 0 of 16 lanes held by 0 relays" in out) == (0, True, True)


def test_what_is_over_is_counted_and_then_removed(call: Call, busy: UUID) -> None:
    code, out, err = call("db", "clean", "--dry-run")
    assert (code, out.splitlines()[1].split(), "dry run" in err) == (0, ["inbox_doubles", "5"], True)
    removed: dict[str, Any] = json.loads(call("db", "clean", "--dry-run", "--json")[1])["removed"]
    assert {table: count for table, count in removed.items() if count} == {"inbox_doubles": 5}
    assert json.loads(call("db", "clean", "--json")[1]) == {"dry_run": False, "removed": {"inbox_doubles": 5}}
    code, out, err = call("db", "clean")
    assert (code, out, "Nothing is over." in err) == (0, "", True)


def test_days_are_settings(call: Call, busy: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOP_KEEP_INBOX_DOUBLES_DAYS", "0")
    assert json.loads(call("db", "clean", "--json")[1])["removed"] == {}
    monkeypatch.setenv("TRADELOOP_KEEP_INBOX_KEYS_DAYS", "3")
    code, _, err = call("db", "clean")
    assert (code, "TRADELOOP_KEEP_INBOX_KEYS_DAYS is '3'" in err) == (2, True)
