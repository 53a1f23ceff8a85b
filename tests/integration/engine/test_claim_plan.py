"""What a claim reads while one subject floods a desk, and what an old transaction on the inbox holds up."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
from crowd import GROUP, TOPIC

from tradeloop import Decision
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

FLOOD, HEADS = 100_000, 20_000
FILL = """
WITH flood AS (
    SELECT gen_random_uuid() AS run_id, n AS seq, 'flooded' AS desk, 'one' AS subject, n = 1 AS head
    FROM generate_series(1, %(flood)s) n
    UNION ALL
    SELECT gen_random_uuid(), %(flood)s + n, 'quiet', 's' || n, true FROM generate_series(1, %(heads)s) n),
live AS (
    INSERT INTO work (run_id, seq, desk, subject, state, head, event_id)
    SELECT run_id, seq, desk, subject, 'q', head, gen_random_uuid() FROM flood
    RETURNING run_id, event_id, desk, subject)
INSERT INTO inbox (run_id, event_id, topic, topic_id, partition, "offset", desk, subject, event_type, lane, payload,
                   headers, appended_at)
SELECT run_id, event_id, 'events', gen_random_uuid(), 0, row_number() OVER (), desk, subject, 'some.type', '', '', '[]',
       now() FROM live
"""
READ = """
SELECT t.seq_scan, i.idx_scan, o.heap_blks_read + o.heap_blks_hit + o.idx_blks_read + o.idx_blks_hit AS pages
FROM pg_stat_user_tables t JOIN pg_statio_user_tables o USING (relid)
JOIN pg_stat_user_indexes i ON i.relid = t.relid AND i.indexrelname = 'work_claim' WHERE t.relname = 'work'
"""


async def read_of_work(database: Database) -> dict[str, int]:
    await database.rows("SELECT pg_stat_force_next_flush()")
    row = await database.row(READ)
    assert row is not None
    return dict(row)


async def test_a_flood_of_one_subject_costs_a_claim_no_pages(database_url: str) -> None:
    async with Database(database_url, size=1) as database:
        await database.rows(FILL, {"flood": FLOOD, "heads": HEADS})
        await database.rows("ANALYZE work")
        runs, owner = PostgresRuns(database), uuid4()
        await runs.enlist(owner, "test", 600)
        before = await read_of_work(database)
        claims = await runs.claim(owner, ["flooded", "quiet", "empty", "empty too"], 4)
        await database.line("claim").call(b"SELECT pg_stat_force_next_flush()", [])  # it has a connection of its own
        after = await read_of_work(database)
    assert {claim.desk for claim in claims} == {"flooded", "quiet"}
    assert after["seq_scan"] == before["seq_scan"]
    assert after["idx_scan"] > before["idx_scan"], "the claim does not use its partial index"
    assert after["pages"] - before["pages"] < 200


async def test_a_transaction_that_stays_open_on_the_inbox_stops_no_decision(database_url: str) -> None:
    owner = uuid4()
    with psycopg.connect(database_url) as old:
        assert old.execute("SELECT count(*) FROM inbox").fetchone() == (0,)  # open until the decisions are there
        async with Database(database_url, size=2) as database:
            inbox, runs = PostgresInbox(database), PostgresRuns(database)
            await runs.enlist(owner, "test", 600)
            for offset in range(3):
                received = Received("events", TOPIC, 0, offset, b"k", b"{}")
                arrival = Arrival(received, uuid4(), "some.type", "desk", "s", new_run_id())
                (claim,) = await inbox.accept(GROUP, owner, [arrival], [], 1)
                outcome = Outcome(claim, RunState.DONE, uuid4(), "desk", "v1", Decision(outcome="ACCEPT"))
                assert await runs.record(owner, [outcome], "decisions") == {claim.run_id}
            row = await database.row("SELECT count(*) AS n FROM runs WHERE state = 'done'")
        assert row == {"n": 3}
        assert old.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()").fetchone() != (0,)


async def test_an_event_that_comes_by_several_partitions_at_once_is_one_run(database_url: str) -> None:
    async with Database(database_url, size=6) as database:
        inbox, owner, events = PostgresInbox(database), uuid4(), [uuid4() for _ in range(30)]

        async def accept(part: int) -> int:
            order = events if part % 2 else list(reversed(events))
            batch = []
            for offset, event in enumerate(order):
                received = Received("events", TOPIC, part, offset, b"k", b"{}")
                batch.append(Arrival(received, event, "some.type", "desk", f"s{event}", new_run_id()))
            return len(await inbox.accept(GROUP, owner, batch, [], 100))

        claimed = await asyncio.gather(*(accept(part) for part in range(6)))
        doubles = await database.row("SELECT count(*) AS n FROM inbox_doubles")
        live = await database.row("SELECT count(*) AS n, count(DISTINCT event_id) AS events FROM work")
    assert sum(claimed) == len(events)
    assert live == {"n": len(events), "events": len(events)}
    assert doubles == {"n": 5 * len(events)}
