"""A thousand ways to tamper with audit tables, one at a time, each undone again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final  # Any: rows
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from tradeloop.audit.findings import Report
from tradeloop.audit.keys import PublicKey
from tradeloop.store.audit_reading import WithinTransaction
from tradeloop.store.audit_verify import verify

CHANGES: Final[dict[str, tuple[str, ...]]] = {
    "changed": (
        "UPDATE audit SET kind = kind || 'x' WHERE id = %(id)s",
        "UPDATE audit SET at = at + interval '1 us' WHERE id = %(id)s",
        "UPDATE audit SET stream_id = gen_random_uuid() WHERE id = %(id)s",
        "UPDATE audit SET prev = sha256(prev) WHERE id = %(id)s",
        "UPDATE audit SET hash = sha256(hash) WHERE id = %(id)s",
        "UPDATE audit SET id = id + 10000000 WHERE id = %(id)s",
    ),
    "edited inside": (
        "UPDATE audit SET body = jsonb_set(body, '{by}', '\"mallory\"') WHERE id = %(id)s",
        "UPDATE audit SET body = body || '{\"amount\": 1}' WHERE id = %(id)s",
        "UPDATE audit SET body = body - 'number' WHERE id = %(id)s",
        "UPDATE audit SET body = replace(body::text, '0', '1')::jsonb || '{\"x\": 0}' WHERE id = %(id)s",
        "UPDATE audit_clear c SET text = '\"other\"' FROM audit a WHERE a.id = %(id)s AND c.stream_id = a.stream_id "
        "AND c.n = a.n",
    ),
    "edited and hashed again": (
        "UPDATE audit SET body = body || '{\"amount\": 1}', hash = sha256('\\x746c6131'::bytea || "
        "uuid_send(stream_id) || int4send(n) || int8send(id) || timestamptz_send(at) || "
        "int4send(octet_length(kind)) || "
        "convert_to(kind, 'UTF8') || prev || convert_to((body || '{\"amount\": 1}')::text, 'UTF8')) WHERE id = %(id)s",
    ),
    "deleted": (
        "DELETE FROM audit WHERE id = %(id)s",
        "DELETE FROM audit a USING audit b WHERE b.id = %(id)s AND a.stream_id = b.stream_id",
        "DELETE FROM audit_clear c USING audit a WHERE a.id = %(id)s AND c.stream_id = a.stream_id AND c.n = a.n",
    ),
    "inserted": (
        "INSERT INTO audit (stream_id, n, kind, body, prev, hash) SELECT stream_id, 1 + (SELECT max(n) FROM audit m "
        "WHERE m.stream_id = a.stream_id), kind, body, hash, sha256(hash) FROM audit a WHERE id = %(id)s",
        "INSERT INTO audit (stream_id, n, kind, body, prev, hash) SELECT %(uuid)s, 1, kind, body, prev, hash "
        "FROM audit WHERE id = %(id)s",
    ),
    "reordered": (
        "UPDATE audit a SET kind = b.kind, body = b.body, at = b.at, prev = b.prev, hash = b.hash FROM audit b "
        "WHERE a.id + b.id = %(id)s + %(other)s AND a.id IN (%(id)s, %(other)s)",
        "UPDATE audit a SET at = b.at FROM audit b WHERE a.id + b.id = %(id)s + %(other)s "
        "AND a.id IN (%(id)s, %(other)s)",
    ),
    "seals": (
        "UPDATE audit_seals a SET header = b.header, hash = b.hash, signature = b.signature, leaves = b.leaves, "
        "key_id = b.key_id, last_at = b.last_at, first_id = b.first_id, last_id = b.last_id FROM audit_seals b "
        "WHERE a.seal + b.seal = %(seal)s * 2 + 1 AND a.seal IN (%(seal)s, %(seal)s + 1)",
        "UPDATE audit_seals SET signature = sha512(signature) WHERE seal = %(seal)s",
        "UPDATE audit_seals SET signature = NULL, key_id = '' WHERE seal = %(seal)s",
        "UPDATE audit_seals SET header = replace(header, '\"records\":', '\"records\":1') WHERE seal = %(seal)s",
        "UPDATE audit_seals SET hash = sha256(hash) WHERE seal = %(seal)s",
        "UPDATE audit_seals SET leaves = substr(leaves, 53) WHERE seal = %(seal)s",
        "UPDATE audit_seals SET leaves = NULL WHERE seal = %(seal)s",
        "DELETE FROM audit_seals WHERE seal = %(seal)s",
    ),
    "tail cut off": (
        "WITH s AS (DELETE FROM audit_seals WHERE seal >= %(seal)s RETURNING first_id) "
        "DELETE FROM audit WHERE id >= (SELECT min(first_id) FROM s)",
    ),
}
"""Statements of somebody who may write to the tables and does not have the key; triggers are off."""


@dataclass(frozen=True)
class Tampered:
    """How many of each kind were tried, and which were not found."""

    tried: Counter[str]
    found: Counter[str]
    missed: list[str]


def prepare(connection: psycopg.Connection[TupleRow], records: int, seal: Callable[[], object]) -> None:
    """Write streams of one to five records, a seal for every few of them."""
    for first in range(0, records, 25):
        connection.execute(
            "SELECT append_audit(md5('stream' || (g / 3))::uuid, 'note', jsonb_build_object('number', g, "
            "'by', 'anna.k', 'reason', 'reason ' || g)) FROM generate_series(%s::bigint, %s::bigint) g",
            (first, min(records, first + 25) - 1),
        )
        connection.commit()
        seal()


def tamper(
    connection: psycopg.Connection[TupleRow],
    count: int,
    seed: int,
    keys: Mapping[str, PublicKey],
    progress: Callable[[int], None] = lambda _: None,
) -> Tampered:
    """Try `count` random changes, each in a transaction that is rolled back; verification looks from inside of it."""
    draw = random.Random(seed)  # noqa: S311 - a schedule, no secret
    connection.execute("ALTER TABLE audit DISABLE TRIGGER audit_chain")
    connection.execute("ALTER TABLE audit ALTER id DROP IDENTITY IF EXISTS")
    connection.execute("CREATE SEQUENCE IF NOT EXISTS tampered START 100000000")
    connection.execute("ALTER TABLE audit ALTER id SET DEFAULT nextval('tampered')")
    connection.commit()
    ids = [row[0] for row in connection.execute("SELECT id FROM audit ORDER BY id")]
    newest = connection.execute("SELECT seal, encode(hash, 'hex') FROM audit_seals ORDER BY seal DESC LIMIT 1")
    seals, head = newest.fetchone() or (0, "")
    connection.rollback()
    result = Tampered(Counter(), Counter(), [])
    names = list(CHANGES)
    for number in range(count):
        name = names[number % len(names)]
        statement = draw.choice(CHANGES[name])
        one, other = draw.sample(ids, 2)
        given: dict[str, Any] = {"id": one, "other": other, "seal": draw.randrange(1, seals), "uuid": uuid4()}
        changed = connection.execute(statement.encode(), given).rowcount
        report = look(connection, keys, head)
        connection.rollback()
        result.tried[name] += 1
        if report.is_whole or not changed:
            result.missed.append(f"{name}: {statement} {given}")
        else:
            result.found[name] += 1
        progress(number + 1)
    return result


def look(connection: psycopg.Connection[TupleRow], keys: Mapping[str, PublicKey], head: str) -> Report:
    """Verify as this connection sees the tables: what it has not committed, too."""
    return verify(WithinTransaction(connection), keys, head=head)
