"""The chain of the audit on real PostgreSQL: written, sealed, verified; and what tampering looks like."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from structlog.testing import capture_logs

from auditing import Chain, listen
from tradeloop.audit.keys import new_key
from tradeloop.audit.seal import read_header
from tradeloop.engine.housekeeping import Housekeeping
from tradeloop.engine.sealer import Sealer
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.audit_reading import reading
from tradeloop.store.database import OPTIONS, Database
from tradeloop.store.retention import PostgresRetention

DAY = timedelta(days=1)


async def three(chain: Chain) -> UUID:
    """A stream of three records and two of others, sealed in seals of two."""
    stream = await chain.write(at="first")
    await chain.write()
    await chain.write(stream, at="second")
    await chain.write()
    await chain.write(stream, at="third")
    assert await chain.seal(batch=2) == 5
    return stream


async def test_records_are_chained_as_they_are_written(chain: Chain) -> None:
    stream = await chain.write(number=1.50, text='é\u2028 \\ "', none=None)
    await chain.write(stream, "another kind", reason="why")
    with reading(chain.database.url) as reader:
        first, second = reader.stream(stream)
    for record in (first, second):
        assert sha256(record.hashed).digest() == record.hash
    assert (first.prev, second.prev) == (bytes(32), first.hash)


async def test_a_chain_that_nobody_touched_is_whole(chain: Chain) -> None:
    await three(chain)
    await chain.write()
    report = await chain.verify()
    assert (report.is_whole, report.records, report.seals, report.signed, report.unsealed) == (True, 6, 3, 3, 1)
    heads = await PostgresAuditChain(chain.database).heads()
    assert (heads.head, heads.seal, heads.unsealed, heads.key_id) == (report.head, 3, 1, chain.key.public.id)
    assert (await chain.verify(head=report.head)).is_whole


async def test_an_empty_audit_is_whole_and_an_idle_sealer_writes_nothing(chain: Chain) -> None:
    assert await chain.seal() == 0
    report = await chain.verify()
    assert (report.is_whole, report.seals, report.head) == (True, 0, "")
    heads = await PostgresAuditChain(chain.database).heads()
    assert (heads.seal, heads.head, heads.oldest_unsealed_at) == (0, "0" * 64, None)


RECORD_CHANGES = {
    'UPDATE audit SET body = body || \'{"at": "2nd"}\' WHERE stream_id = %s AND n = 2': "changed",
    "UPDATE audit SET kind = 'other' WHERE stream_id = %s AND n = 2": "changed",
    "UPDATE audit SET at = at + interval '1 us' WHERE stream_id = %s AND n = 2": "changed",
    "UPDATE audit SET prev = sha256('') WHERE stream_id = %s AND n = 2": "changed",
    "UPDATE audit SET hash = sha256('') WHERE stream_id = %s AND n = 2": "changed",
    "UPDATE audit SET id = id + 100 WHERE stream_id = %s AND n = 2": "changed",
    "DELETE FROM audit WHERE stream_id = %s AND n = 2": "missing",
}
SEAL_CHANGES = (
    "UPDATE audit_seals SET leaves = set_byte(leaves, 60, get_byte(leaves, 60) # 1) WHERE seal = 2",
    "UPDATE audit_seals SET header = replace(header, '\"records\":2', '\"records\":3') WHERE seal = 2",
    "UPDATE audit_seals SET header = '[]' WHERE seal = 2",
    "UPDATE audit_seals SET hash = sha256('') WHERE seal = 2",
    "UPDATE audit_seals SET last_at = last_at + interval '1 us' WHERE seal = 2",
    "UPDATE audit_seals SET leaves = leaves || leaves WHERE seal = 2",
    "UPDATE audit_seals a SET header = b.header, hash = b.hash, signature = b.signature, leaves = b.leaves "
    "FROM audit_seals b WHERE a.seal + b.seal = 3",
)


async def test_a_tampered_record_is_named_and_a_tampered_seal_too(chain: Chain) -> None:
    stream = await three(chain)
    await chain.database.rows("CREATE TABLE kept_a AS SELECT * FROM audit")
    await chain.database.rows("CREATE TABLE kept_s AS SELECT * FROM audit_seals")
    await chain.database.rows("ALTER TABLE audit DISABLE TRIGGER audit_chain")
    await chain.database.rows("ALTER TABLE audit ALTER id DROP IDENTITY")

    async def after(change: str, *arguments: object) -> list[tuple[str, str]]:
        await chain.database.rows(change, arguments)
        found = await chain.found()
        await chain.database.rows("TRUNCATE audit, audit_seals")
        await chain.database.rows("INSERT INTO audit SELECT * FROM kept_a")
        await chain.database.rows("INSERT INTO audit_seals SELECT * FROM kept_s")
        return found

    for change, kind in RECORD_CHANGES.items():
        assert (kind, f"{stream} 2") in await after(change, stream), change
    for change in SEAL_CHANGES:
        assert ("root_broken", "seal 2") in await after(change), change
    assert await after("UPDATE audit_seals SET signature = sha512('') WHERE seal = 2") == [
        ("signature_wrong", "seal 2")
    ]
    assert await after("UPDATE audit_seals SET signature = NULL WHERE seal = 2") == [("signature_wrong", "seal 2")]
    assert ("missing", "seal 2") in await after("DELETE FROM audit_seals WHERE seal = 2")
    assert ("missing", "seal 2") in await after("UPDATE audit_seals SET leaves = NULL WHERE seal = 2")
    assert await chain.found() == []


async def test_a_record_that_was_changed_and_hashed_again_with_all_that_follow_is_named(chain: Chain) -> None:
    stream = await three(chain)
    await chain.database.rows(
        "CREATE TEMP TABLE copy AS SELECT * FROM audit WHERE stream_id = %s ORDER BY n", (stream,)
    )
    # With the trigger itself: the forged records get hashes that fit each other.
    await chain.database.rows("DELETE FROM audit WHERE stream_id = %s", (stream,))
    await chain.database.rows(
        "INSERT INTO audit (stream_id, n, id, kind, body, at) OVERRIDING SYSTEM VALUE "
        'SELECT stream_id, n, id, kind, CASE n WHEN 1 THEN \'{"at": "forged"}\' ELSE body END, at FROM copy ORDER BY n'
    )
    await chain.database.rows("DELETE FROM audit_unsealed")
    assert await chain.found() == [("changed", f"{stream} {n}") for n in (1, 2, 3)]


async def test_an_inserted_record_is_named(chain: Chain) -> None:
    stream = await three(chain)
    await chain.write(stream)
    await chain.database.rows("DELETE FROM audit_unsealed")
    assert await chain.found() == [("inserted", f"{stream} 4")]


async def test_records_in_each_others_place_are_named(chain: Chain) -> None:
    stream = await chain.write(a=1)
    await chain.write(stream, a=2)
    await chain.seal()
    for change in ("n = n + 10", "n = 13 - n"):
        await chain.database.rows(f"UPDATE audit SET {change} WHERE stream_id = %s", (stream,))
    assert {("reordered", f"{stream} 1"), ("reordered", f"{stream} 2")} <= set(await chain.found())


async def test_a_record_that_vanished_before_its_seal_is_missed(chain: Chain) -> None:
    await chain.write()
    await chain.database.rows("DELETE FROM audit")
    [finding] = (await chain.verify()).findings
    assert (finding.kind.value, "waited for a seal" in finding.words) == ("missing", True)
    assert await chain.seal() == 0


async def test_the_newest_records_gone_with_their_seals_are_found_by_a_known_head(chain: Chain) -> None:
    await three(chain)
    head = (await chain.verify()).head
    await chain.database.rows("DELETE FROM audit WHERE id > (SELECT last_id FROM audit_seals WHERE seal = 2)")
    await chain.database.rows("DELETE FROM audit_seals WHERE seal = 3")
    assert await chain.found() == []
    assert await chain.found(head=head) == [("truncated", "seal 3")]


async def test_a_sealer_that_sees_a_shorter_chain_than_its_own_says_so(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(monkeypatch)
    sealer = Sealer(PostgresAuditChain(chain.database), chain.key)
    await chain.write()
    await sealer.tick()
    await chain.database.rows("DELETE FROM audit_seals")
    with capture_logs() as logs:
        await sealer.tick()
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["audit_head_lost"]


async def test_a_record_that_commits_late_with_a_lower_id_is_sealed_late_and_never_missed(chain: Chain) -> None:
    """The seal takes what is committed; an open transaction's record waits, whatever ids were sealed meanwhile."""
    async with await psycopg.AsyncConnection.connect(chain.database.url, options=OPTIONS) as late:
        stream = uuid4()
        await late.execute("SELECT append_audit(%s, 'late', '{}')", (stream,))
        for _ in range(3):
            await chain.write()
            assert await chain.seal() == 1
        report = await chain.verify()
        assert (report.is_whole, report.records) == (True, 3)
        await late.commit()
    assert (await chain.verify()).unsealed == 1
    assert await chain.seal() == 1
    report = await chain.verify()
    assert (report.is_whole, report.records, report.unsealed) == (True, 4, 0)
    ids = await chain.database.rows("SELECT a.id FROM audit a WHERE a.stream_id = %s", (stream,))
    seals = await chain.database.rows("SELECT first_id, last_id FROM audit_seals ORDER BY seal DESC LIMIT 1")
    assert (seals[0]["first_id"], ids[0]["id"]) == (ids[0]["id"], seals[0]["last_id"])
    await chain.database.rows("DELETE FROM audit WHERE stream_id = %s", (stream,))
    assert await chain.found() == [("missing", f"{stream} 1")]


async def test_a_record_that_was_rolled_back_leaves_no_trace(chain: Chain) -> None:
    async with await psycopg.AsyncConnection.connect(chain.database.url, options=OPTIONS) as never:
        await never.execute("SELECT append_audit(%s, 'never', '{}')", (uuid4(),))
        await never.rollback()
    await chain.write()
    assert await chain.seal() == 1
    assert (await chain.verify()).is_whole


async def test_two_sealers_at_once_seal_each_record_once(chain: Chain) -> None:
    for _ in range(20):
        await chain.write()
    assert sum(await asyncio.gather(*(chain.seal(batch=3) for _ in range(4)))) >= 20
    report = await chain.verify()
    assert (report.is_whole, report.records, report.unsealed) == (True, 20, 0)


async def test_a_rotated_key_and_the_former_one_are_both_accepted(chain: Chain, tmp_path: Path) -> None:
    await chain.write()
    await chain.seal()
    newer = new_key(tmp_path / "newer")
    await chain.write()
    await Sealer(PostgresAuditChain(chain.database), newer).tick()
    assert await chain.found() == [("signature_wrong", "seal 2")]
    report = await chain.verify(keys=chain.keys | {newer.public.id: newer.public})
    assert (report.is_whole, report.signed) == (True, 2)
    report = await chain.verify(keys={})
    assert (report.is_whole, report.unchecked, len(report.notes)) == (True, 2, 1)


async def test_seals_without_a_key_are_told_and_are_wrong_where_a_key_is_given(chain: Chain) -> None:
    await chain.write()
    await chain.seal(signed=False)
    report = await chain.verify(keys={})
    assert (report.is_whole, report.unsigned, "not signed" in report.notes[0]) == (True, 1, True)
    assert [one.kind.value for one in (await chain.verify()).findings] == ["signature_wrong"]
    await chain.write()
    await chain.seal()
    assert (await chain.verify()).is_whole, "signing began with the second seal"
    await chain.write()
    await chain.seal(signed=False)
    assert await chain.found() == [("signature_wrong", "seal 3")]


async def test_a_period_is_verified_by_itself(chain: Chain) -> None:
    old = await three(chain)
    since = datetime.now(UTC)
    stream = await chain.write()
    await chain.seal()
    await chain.database.rows("UPDATE audit SET kind = 'x' WHERE stream_id = ANY(%s)", ([old, stream],))
    assert await chain.found(since=since) == [("changed", f"{stream} 1")]
    assert (await chain.verify(since=datetime.now(UTC) + DAY)).records == 0


async def test_retention_removes_whole_seals_and_the_chain_says_so(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(monkeypatch)
    await three(chain)
    old = datetime.now(UTC)
    young = await chain.write()
    await chain.seal()
    await age(chain, old)
    store = PostgresRetention(chain.database)
    assert await store.due("audit", 30) == 2, "of the three lasting streams of three records the newest one stays"
    assert await Housekeeping(store, {"audit": 30}, pause_s=0).tick() == {"audit": 2}
    report = await chain.verify()
    assert (report.is_whole, "no seal says so yet" in report.notes[0]) == (True, True)
    await chain.database.rows("UPDATE audit_seals SET pruned_at = pruned_at - interval '1 hour'")
    assert {kind for kind, _ in await chain.found()} == {"missing"}
    with capture_logs() as logs:
        await chain.seal(keep_days=60)
        await chain.seal(keep_days=0)
    assert [line["event"] for line in logs] == ["audit_pruned_too_early"] * 2
    await chain.seal(keep_days=30)
    report = await chain.verify()
    assert (report.is_whole, report.pruned, report.found) == (True, 3, 0)
    await chain.write(young)
    await chain.seal(keep_days=30)
    assert (await chain.verify()).is_whole


async def age(chain: Chain, until: datetime) -> None:
    """Make the seals of records before `until` say that these are 50 days old, as if it were so."""
    last = bytes(32)
    for row in await chain.database.rows("SELECT seal, header FROM audit_seals ORDER BY seal"):
        header = read_header(row["header"])
        at = header.last_at - 50 * DAY if header.last_at < until else header.last_at
        text = replace(header, last_at=at, prev=last).text
        last = sha256(text.encode()).digest()
        await chain.database.rows(
            "UPDATE audit_seals SET header = %s, hash = %s, signature = %s, last_at = %s WHERE seal = %s",
            (text, last, chain.key.sign(text), at, row["seal"]),
        )


async def test_only_the_newest_seal_of_old_records_is_removed_after_all_before_it(chain: Chain) -> None:
    await three(chain)
    await age(chain, datetime.now(UTC))
    await chain.database.rows("UPDATE audit_seals SET last_at = now() WHERE seal = 1")
    assert await PostgresRetention(chain.database).remove("audit", 30) == 0


async def test_records_of_former_releases_are_chained_by_the_migration(database: Database) -> None:
    """The same statements as in the migration, on records without hashes."""
    from tradeloop.store.migrations import migrations

    [migration] = [one for one in migrations() if one.version == 70]
    block = migration.sql[migration.sql.index("DO $$") : migration.sql.index("ALTER TABLE audit ALTER COLUMN prev")]
    stream = uuid4()
    for statement in (
        "ALTER TABLE audit DISABLE TRIGGER audit_chain",
        "ALTER TABLE audit ALTER COLUMN prev DROP NOT NULL, ALTER COLUMN hash DROP NOT NULL",
        f"INSERT INTO audit (stream_id, n, kind, body) SELECT '{stream}', n, 'k', '{{}}' FROM generate_series(1, 3) n",
        block,
        "ALTER TABLE audit ENABLE TRIGGER audit_chain",
    ):
        await database.rows(statement)
    await database.rows("SELECT append_audit(%s, 'k', '{}')", (stream,))
    with reading(database.url) as reader:
        records = reader.stream(stream)
        assert len(reader.waiting()) == 4
    assert [a.hash == b.prev for a, b in pairwise(records)] == [True] * 3
