"""The audit as one reader sees it: every record and seal of one snapshot, streamed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Final, LiteralString  # Any: columns of a row
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from tradeloop.audit.record import Part, Record
from tradeloop.audit.seal import Seal
from tradeloop.store.database import PASSING, SCHEMA, SCHEMA_MISSING, of_another_release, unreachable

OPTIONS: Final = (
    f"-c search_path={SCHEMA} -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 "
    "-c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on"
)
COPY_HEADER: Final = 19
"""Bytes before the first row of PostgreSQL's binary copy format."""
FETCH: Final = 500

# The expression stands here and not in a function of the database: who may change records may change functions.
HASHED: Final[LiteralString] = (
    "'\\x746c6131'::bytea || uuid_send(a.stream_id) || int4send(a.n) || int8send(a.id) || timestamptz_send(a.at) || "
    "int4send(octet_length(a.kind)) || convert_to(a.kind, 'UTF8') || coalesce(a.prev, '') || "
    "convert_to(coalesce(a.body::text, ''), 'UTF8')"
)
RECORDS: Final[LiteralString] = (
    f"SELECT int8send(a.id), {HASHED}, a.hash, c.key, c.salt, c.text FROM audit a "
    "LEFT JOIN audit_clear c ON c.stream_id = a.stream_id AND c.n = a.n "
)
LINKS: Final[LiteralString] = (
    "SELECT uuid_send(a.stream_id) || int4send(a.n) || a.prev || a.hash FROM audit a ORDER BY a.stream_id, a.n"
)
FULL: Final[LiteralString] = (
    "SELECT a.stream_id, a.n, a.id, a.kind, a.at, a.body::text AS body, a.prev, a.hash, "
    "(SELECT array_agg(ARRAY[c.key, encode(c.salt, 'hex'), c.text] ORDER BY c.key) FROM audit_clear c "
    "WHERE c.stream_id = a.stream_id AND c.n = a.n) AS parts FROM audit a "
)
SEALS: Final[LiteralString] = (
    "SELECT seal, header, hash, signature, leaves, pruned_at, key_id, first_id, last_id, last_at FROM audit_seals "
)


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A seal and what stands beside it in its row."""

    number: int
    seal: Seal
    key_id: str
    first_id: int
    last_id: int
    last_at: datetime

    @property
    def beside(self) -> tuple[str, int, int, datetime]:
        """What the header says, too."""
        return self.key_id, self.first_id, self.last_id, self.last_at


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it is checked: what its hash is of, the hash, and one of its erasable texts."""

    id: int
    hashed: bytes
    hash: bytes
    part: Part | None


class AuditReader:
    """Reads the audit in one transaction, so that everything fits together while others write. Blocks."""

    def __init__(self, connection: psycopg.Connection[TupleRow], stream: psycopg.Connection[TupleRow]) -> None:
        """`stream`: another connection on the same snapshot: nothing else can be asked where a COPY runs."""
        self._connection = connection
        self._stream = stream
        self._numbers = count()

    def counts(self) -> tuple[int, int]:
        """About how many records there are (as the last analysis said, or counted when it said nothing), and seals."""
        row = self._one(
            "SELECT (SELECT coalesce(sum(n_live_tup), 0) FROM pg_stat_user_tables WHERE relid = 'audit'::regclass)"
            "::bigint, (SELECT coalesce(max(seal), 0) FROM audit_seals)"
        )
        return int(row[0]), int(row[1])

    def seals(self, *, since: int = 1) -> Iterator[StoredSeal]:
        """Seals from that number on, in order."""
        return self._seals(SEALS + "WHERE seal >= %s ORDER BY seal", since)

    def seals_by_id(self, *, since_id: int = 0) -> Iterator[StoredSeal]:
        """Seals that list records of that id or later, in the order of their first ids."""
        return self._seals(SEALS + "WHERE last_id >= %s AND leaves <> '' ORDER BY first_id", since_id)

    def seal_of(self, record_id: int, entry: bytes) -> StoredSeal | None:
        """The seal that lists a record."""
        found = self._seals(
            SEALS + "WHERE first_id <= %s AND last_id >= %s ORDER BY first_id DESC", record_id, record_id
        )
        for stored in found:
            if stored.seal.leaves and any(
                stored.seal.leaves[at : at + 52] == entry for at in range(0, len(stored.seal.leaves), 52)
            ):
                return stored
        return None

    def last_seal(self) -> StoredSeal | None:
        """The newest seal; None when there is none."""
        return next(self._seals(SEALS + "ORDER BY seal DESC LIMIT 1"), None)

    def events_of(self, run_id: UUID) -> dict[str, bytes]:
        """The event that a run answers as it is kept, perhaps encrypted, by its id."""
        found = self._connection.execute("SELECT event_id, payload FROM inbox WHERE run_id = %s", (run_id,))
        return {str(event_id): bytes(payload) for event_id, payload in found}

    def first_seal_since(self, moment: datetime) -> int:
        """The first seal with a record of that time or later; one behind the newest when there is none."""
        row = self._one(
            "SELECT coalesce((SELECT min(seal) FROM audit_seals WHERE last_at >= %s), "
            "(SELECT coalesce(max(seal), 0) + 1 FROM audit_seals))",
            moment,
        )
        return int(row[0])

    def first_id_since(self, seal: int) -> int:
        """The lowest id that this seal and later ones list; above all ids when they list none."""
        row = self._one(
            "SELECT coalesce(min(first_id), 9223372036854775807) FROM audit_seals WHERE seal >= %s AND leaves <> ''",
            seal,
        )
        return int(row[0])

    def waiting(self) -> set[int]:
        """Ids that wait for a seal."""
        return {row[0] for row in self._connection.execute("SELECT id FROM audit_unsealed")}

    def orphans(self) -> list[int]:
        """Ids that wait for a seal and are no record's."""
        found = self._connection.execute(
            "SELECT u.id FROM audit_unsealed u WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.id = u.id) ORDER BY 1"
        )
        return [row[0] for row in found]

    def rows(self, *, since_id: int = 0) -> Iterator[Row]:
        """Records from that id on in the order of their ids: once, or once for each erasable text."""
        statement = RECORDS + f"WHERE a.id >= {int(since_id)} ORDER BY a.id, c.key"
        for identity, hashed, stored, key, salt, text in self._copied(statement, 6):
            part = Part(str(key, "utf-8"), salt or b"", str(text or b"", "utf-8")) if key is not None else None
            yield Row(int.from_bytes(identity or b"", signed=True), hashed or b"", stored or b"", part)

    def links(self) -> Iterator[bytes]:
        """Stream, number, previous hash and hash of every record, 84 bytes, in the order of stream and number."""
        for (link,) in self._copied(LINKS, 1):
            yield link or b""

    def records(self, where: LiteralString, *arguments: Any) -> Iterator[Record]:
        """Whole records; `where` is the end of the statement, over `a`."""
        with self._connection.cursor(f"records_{next(self._numbers)}") as cursor:
            cursor.itersize = FETCH
            for stream_id, n, identity, kind, at, body, prev, digest, parts in cursor.execute(FULL + where, arguments):
                texts = tuple(Part(key, bytes.fromhex(salt), text) for key, salt, text in parts or ())
                yield Record(stream_id, n, identity, kind, at, body, bytes(prev), bytes(digest), texts)

    def stream(self, *stream_ids: UUID) -> list[Record]:
        """Every record of some streams, in order."""
        return list(self.records("WHERE a.stream_id = ANY(%s) ORDER BY a.stream_id, a.n", list(stream_ids)))

    def _seals(self, statement: LiteralString, *arguments: Any) -> Iterator[StoredSeal]:
        with self._connection.cursor(f"seals_{next(self._numbers)}") as cursor:
            cursor.itersize = FETCH
            for number, header, digest, signature, leaves, pruned_at, *beside in cursor.execute(statement, arguments):
                seal = Seal(header, bytes(digest), _bytes(signature), _bytes(leaves), pruned_at)
                yield StoredSeal(number, seal, *beside)

    def _copied(self, statement: LiteralString, fields: int) -> Iterator[list[bytes | None]]:
        unpack = struct.Struct("!i").unpack_from
        with self._stream.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT binary)") as copy:
            skip = COPY_HEADER
            for data in copy:
                at, block = skip, bytes(data)
                skip = 0
                if block[at : at + 2] in (b"\xff\xff", b""):  # the end, or the header alone
                    continue
                at += 2
                row: list[bytes | None] = []
                for _ in range(fields):
                    (size,) = unpack(block, at)
                    at += 4
                    row.append(None if size < 0 else block[at : at + size])
                    at += max(0, size)
                yield row

    def _one(self, statement: LiteralString, *arguments: Any) -> tuple[Any, ...]:
        row = self._connection.execute(statement, arguments).fetchone()
        if row is None:
            raise LookupError(statement)
        return row


class WithinTransaction(AuditReader):
    """Reads on one connection, so that it sees what this has not committed; seals are kept in memory."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        super().__init__(connection, connection)

    def seals_by_id(self, *, since_id: int = 0) -> Iterator[StoredSeal]:
        """Seals that list records of that id or later, in the order of their first ids."""
        return iter(list(super().seals_by_id(since_id=since_id)))


@contextmanager
def reading(url: str) -> Iterator[AuditReader]:
    """A reader on a connection of its own, for as long as this is open.

    Raises:
        DatabaseUnreachable: no connection, or it broke.
        SettingInvalid: the schema is not that of this release.
    """
    try:
        with (
            psycopg.connect(url, options=OPTIONS, connect_timeout=5) as connection,
            psycopg.connect(url, options=OPTIONS, connect_timeout=5) as stream,
        ):
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            stream.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(row[0] if row else "")))
            yield AuditReader(connection, stream)
    except SCHEMA_MISSING as problem:
        raise of_another_release(problem) from problem
    except PASSING as problem:
        raise unreachable(url, problem) from problem


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
