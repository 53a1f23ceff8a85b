"""Retention on real PostgreSQL: what is over goes, beside the traffic; what is live keeps what it needs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tradeloop import Action
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.engine.housekeeping import Housekeeping
from tradeloop.engine.sealer import Sealer
from tradeloop.ports import Arrival
from tradeloop.settings import Settings
from tradeloop.store import retention
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.database import OPTIONS, Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.retention import TABLES, PostgresRetention, run_id_bound
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
OLD = datetime.now(UTC) - timedelta(days=50)
DAYS = dict.fromkeys(TABLES, 30)
ACTION = Action(kind="trigger_dag", target="publish_batch")
COUNTS = " UNION ALL ".join(f"SELECT '{table}' AS table, count(*) AS n FROM {table}" for table in TABLES)
AGED = """
WITH a AS (UPDATE inbox_keys SET seen_at = %(old)s), b AS (UPDATE runs SET finished_at = %(old)s),
     c AS (UPDATE attempts SET ended_at = %(old)s), e AS (UPDATE audit SET at = %(old)s),
     f AS (UPDATE effects SET prepared_at = %(old)s, finished_at = %(old)s, state = 'executed')
UPDATE inbox_doubles SET seen_at = %(old)s
"""


def old_id(number: int) -> UUID:
    return UUID(int=run_id_bound(OLD).int + number)


def arrival(offset: int, *, run_id: UUID | None = None, subject: str = "") -> Arrival:
    received = Received("events", TOPIC, 0, offset, b"k", b"{}")
    return Arrival(received, uuid4(), "some.type", "desk", subject or f"s{offset}", run_id or new_run_id())


def ended(claim: Claim, state: RunState = RunState.DONE) -> Outcome:
    return Outcome(claim, state, uuid4(), "desk", "v1", error="x" if state is RunState.FAILED else "")


@pytest.fixture
async def engine(database: Database) -> tuple[PostgresInbox, PostgresRuns, UUID]:
    runs = PostgresRuns(database)
    await runs.enlist(owner := uuid4(), "test", 600)
    return PostgresInbox(database), runs, owner


async def counts(database: Database) -> dict[str, int]:
    return {row["table"]: row["n"] for row in await database.rows(COUNTS)}


async def checkpointed(database: Database, *threads: object) -> None:
    for table, columns in (
        ("checkpoints", "thread_id, checkpoint_id, checkpoint"),
        ("checkpoint_blobs", "thread_id, channel, version, type"),
        ("checkpoint_writes", "thread_id, checkpoint_id, task_id, idx, channel, blob"),
    ):
        values = {
            "checkpoints": "t, '1', '{}'::jsonb",
            "checkpoint_blobs": "t, 'c', '1', 'x'",
            "checkpoint_writes": "t, '1', 'task', 0, 'c', ''::bytea",
        }[table]
        await database.rows(
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM unnest(%s::text[]) t", ([str(t) for t in threads],)
        )


async def clean(database: Database, **days: int) -> dict[str, int]:
    return await Housekeeping(PostgresRetention(database), DAYS | days, pause_s=0).tick()


async def sealed(database: Database) -> None:
    """Of the audit whole seals go: what waits for a seal stays."""
    await Sealer(PostgresAuditChain(database), None).tick()


async def three_old_runs(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID], last: RunState | None
) -> list[Claim]:
    """Two that are done, and a third in that state, or live; with every row that a run can have, 50 days old."""
    inbox, runs, owner = engine
    taken = await inbox.accept("g", owner, [arrival(n, run_id=old_id(n)) for n in range(3)], [], 10)
    claims = sorted(taken, key=lambda claim: claim.run_id)
    for claim in claims:
        await PostgresEffects(database).prepare(owner, claim, "act", uuid4(), ACTION)
        await database.rows("INSERT INTO attempts (run_id, fence, outcome) VALUES (%s, 0, 'retry')", (claim.run_id,))
    await checkpointed(database, *(claim.run_id for claim in claims))
    states = [RunState.DONE, RunState.DONE] + ([last] if last else [])
    for claim, state in zip(claims, states, strict=False):
        await runs.record(owner, [ended(claim, state)], "decisions")
    await database.rows(AGED, {"old": OLD})
    await sealed(database)
    return claims


PER_RUN = ("inbox", "inbox_keys", "runs", "attempts", "effects", "checkpoints", "audit")


async def test_what_is_over_goes_from_every_table(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    await three_old_runs(database, engine, RunState.DONE)
    await database.rows(
        "WITH a AS (INSERT INTO captured (event_id, seen_at) VALUES (gen_random_uuid(), %(old)s)), "
        'b AS (INSERT INTO inbox_doubles (topic_id, partition, "offset", event_id, lane, seen_at) '
        "VALUES (%(topic)s, 0, 1, gen_random_uuid(), '', %(old)s)), "
        "c AS (INSERT INTO workers (worker_id, kind, host, pid, build, state, lease_until) "
        "VALUES (gen_random_uuid(), 'worker', 'h', 1, '', 'dead', %(old)s)), "
        "r AS (INSERT INTO reservations (scope, run_id, slot, amount, at) "
        "VALUES ('s', gen_random_uuid(), 'act', 1, %(old)s)), "
        "p AS (INSERT INTO approvals (approval_id, run_id, decision_id, event_id, desk, subject, slot, interrupt_id, "
        "version, kind, target, action, digest, requirement, policy_hash, agent, requester, context, state, asked_at, "
        "closed_at, deadline_at) VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), "
        "'d', 's', 'act', 'i', 1, 'k', 't', '{}', 'd', '{}', '', '', '', '{}', 'rejected', %(old)s, %(old)s, "
        "%(old)s)), "
        "m AS (INSERT INTO model_calls (call_id, run_id, desk, day, model, tokens, cost, reserved_at) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 'd', current_date, 'm', 1, 0, %(old)s)), "
        "t AS (INSERT INTO api_triggers (event_id, body_digest, principal, event_type, triggered_at) "
        "VALUES (gen_random_uuid(), '', 'p', 't', %(old)s)) "
        "INSERT INTO dead_letters (source, cause, raw, state, decided_at) "
        "VALUES ('kafka', 'c', '', 'discarded', %(old)s)",
        {"old": OLD, "topic": TOPIC},
    )
    chore = Housekeeping(PostgresRetention(database), DAYS, pause_s=0)
    due = await chore.due()
    removed = await chore.tick()
    expected = dict.fromkeys(TABLES, 1) | dict.fromkeys(PER_RUN, 3)
    assert removed == due == expected
    left = await counts(database)
    assert left.pop("workers") == 1  # the one that lives
    assert set(left.values()) == {0}
    rows = await database.rows("SELECT 1 FROM checkpoint_blobs UNION ALL SELECT 1 FROM checkpoint_writes")
    assert rows == []
    assert await chore.tick() == {}


async def test_a_live_run_keeps_every_row_whatever_its_age(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    *_, live = await three_old_runs(database, engine, None)
    await clean(database)
    left = await counts(database)
    assert {table: left[table] for table in PER_RUN} == dict.fromkeys(PER_RUN, 1) | {"runs": 0, "audit": 0}
    [owned] = await engine[1].owned(engine[2])
    assert owned == live
    await database.rows("UPDATE work SET state = 'p', owner = NULL")
    await clean(database)
    assert await counts(database) == left


async def test_an_open_letter_keeps_what_its_replay_needs(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    *_, failed = await three_old_runs(database, engine, RunState.FAILED)
    await clean(database)
    kept = ("inbox", "inbox_keys", "runs", "effects", "dead_letters")
    left = await counts(database)
    assert {table: left[table] for table in kept} == dict.fromkeys(kept, 1)
    await database.rows("UPDATE dead_letters SET state = 'discarded', decided_at = %s", (OLD,))
    await clean(database)
    left = await counts(database)
    assert {table: left[table] for table in kept} == dict.fromkeys(kept, 0)
    assert failed.run_id == old_id(2)


async def test_an_effect_stays_while_a_later_run_of_its_event_lives(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    *_, done = await three_old_runs(database, engine, RunState.DONE)
    await database.rows(
        "INSERT INTO work (run_id, seq, desk, subject, state, head, event_id, generation) "
        "VALUES (%s, nextval('run_seq'), 'desk', 's', 'q', true, %s, 1)",
        (new_run_id(), done.event_id),
    )
    await clean(database)
    rows = await database.rows("SELECT run_id FROM effects")
    assert [row["run_id"] for row in rows] == [done.run_id]


async def test_young_rows_and_tables_that_are_kept_for_ever_stay(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    inbox, runs, owner = engine
    [claim] = await inbox.accept("g", owner, [arrival(0)], [], 1)
    await runs.record(owner, [ended(claim)], "decisions")
    await checkpointed(database, claim.run_id, "a thread of somebody else", uuid4())
    before = await counts(database)
    assert await clean(database) == {}
    await database.rows("UPDATE audit SET at = %s", (OLD,))
    assert await clean(database, audit=0) == {}
    assert await counts(database) == before


async def test_the_newest_record_of_a_fixed_audit_stream_stays(database: Database) -> None:
    stream = UUID("00000000-0000-5000-8000-000000000001")
    await database.rows(
        "INSERT INTO audit (stream_id, n, kind, body, at) SELECT %s, n, 'k', '{}', %s FROM generate_series(1, 3) n",
        (stream, OLD),
    )
    assert await clean(database) == {}
    await sealed(database)
    assert await clean(database) == {"audit": 2}
    assert [row["n"] for row in await database.rows("SELECT n FROM audit")] == [3]


async def test_batches_are_small_and_a_pass_takes_all_of_them(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "THREADS", 2)
    await three_old_runs(database, engine, RunState.DONE)
    store = PostgresRetention(database)
    for table in ("inbox", "effects", "checkpoints"):
        assert [await store.remove(table, 30) for _ in range(3)] == [2, 1, 0]


async def test_a_row_that_somebody_works_on_is_not_waited_for(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    first, *_ = await three_old_runs(database, engine, RunState.DONE)
    async with await psycopg.AsyncConnection.connect(database.url, options=OPTIONS) as other:
        await other.execute("SELECT 1 FROM inbox_keys WHERE event_id = %s FOR UPDATE", (first.event_id,))
        assert (await clean(database))["inbox_keys"] == 2
    assert await clean(database) == {"inbox_keys": 1}


async def test_a_table_that_is_altered_is_left_for_the_next_time(
    database_url: str, database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID]
) -> None:
    await three_old_runs(database, engine, RunState.DONE)
    async with (
        Database(database_url, size=1, lock_timeout_ms=50) as impatient,
        await psycopg.AsyncConnection.connect(database.url, options=OPTIONS) as other,
    ):
        await other.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        removed = await clean(impatient)
        assert "inbox" not in removed
        assert removed["inbox_keys"] == 3
        await other.rollback()
        assert await clean(impatient) == {"inbox": 3}


async def test_cleaning_beside_traffic_loses_nothing_that_is_young(
    database: Database, engine: tuple[PostgresInbox, PostgresRuns, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    inbox, runs, owner = engine
    old = [arrival(n, run_id=old_id(n), subject="old") for n in range(200)]
    await inbox.accept("g", owner, old, [], 0)
    # Half of the old ones still wait for their turn; the others have ended.
    await database.rows(
        "WITH ended AS (DELETE FROM work WHERE seq %% 2 = 0 RETURNING *) INSERT INTO runs (run_id, seq, desk, subject, "
        "state, event_id, graph, graph_version, fence, fails) SELECT run_id, seq, desk, subject, 'done', event_id, '', "
        "'', 0, 0 FROM ended",
        {},
    )
    await database.rows(AGED, {"old": OLD})

    async def traffic() -> set[UUID]:
        done: set[UUID] = set()
        for start in range(1000, 1200, 10):
            claims = await inbox.accept("g", owner, [arrival(n) for n in range(start, start + 10)], [], 10)
            done |= await runs.record(owner, [ended(claim) for claim in claims], "decisions")
        return done

    recorded, *_ = await asyncio.gather(traffic(), *(clean(database) for _ in range(3)))
    await clean(database)
    assert len(recorded) == 200
    rows = await database.rows("SELECT run_id FROM runs")
    assert {row["run_id"] for row in rows} == recorded
    rows = await database.rows("SELECT run_id FROM inbox EXCEPT SELECT run_id FROM work")
    assert {row["run_id"] for row in rows} == recorded
    rows = await database.rows("SELECT run_id FROM work EXCEPT SELECT run_id FROM inbox_keys")
    assert rows == []
    assert (await counts(database))["inbox_keys"] == 300


def test_every_table_with_a_rule_has_a_setting() -> None:
    assert sorted(Settings(_env_file=None).keep_days) == sorted(TABLES)
