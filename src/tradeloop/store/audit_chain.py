"""The chain of the audit: what waits for a seal, the seals, heads, erasure and the last verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString  # Any: a report is JSON
from uuid import UUID

from psycopg.types.json import Jsonb

from tradeloop.audit.findings import Report
from tradeloop.audit.record import AUDIT_STREAM, ZERO
from tradeloop.ports import Head, NewSeal, Unsealed
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

# LATERAL with a limit: by index, record by record, whatever the planner believes of a queue that is empty most days.
UNSEALED: Final[LiteralString] = """
WITH w AS MATERIALIZED (SELECT id FROM audit_unsealed ORDER BY id)
SELECT w.id, a.entry, a.at FROM w CROSS JOIN LATERAL (
    SELECT uuid_send(r.stream_id) || int4send(r.n) || r.hash AS entry, r.at FROM audit r WHERE r.id = w.id LIMIT 1) a
ORDER BY w.id LIMIT %s
"""
APPEND: Final[LiteralString] = "SELECT append_seal(%s, %s, %s, %s, %s, %s, %s, %s::bigint[], %s, %s, %s) AS done"


@dataclass(frozen=True, slots=True)
class Verification:
    """What the last verification of the whole database said."""

    verified_at: datetime
    records: int
    seals: int
    findings: int
    head: str
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heads:
    """Where the chain stands."""

    seal: int
    head: str
    """Hash of the newest seal, hex; of zeros when there is none."""
    sealed_at: datetime | None
    """The time that the newest seal says."""
    key_id: str
    """Of the key that signed it; empty: nobody did."""
    signature: str
    root: str
    unsealed: int
    """Records that wait."""
    oldest_unsealed_at: datetime | None
    last_verification: Verification | None


@dataclass(frozen=True, slots=True)
class ClearText:
    """A text that can be erased."""

    stream_id: UUID
    n: int
    kind: str
    key: str
    at: datetime
    chars: int


class PostgresAuditChain:
    """ports.SealStore on PostgreSQL, and what people ask of the chain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> Head:
        """The newest seal."""
        row = await self._database.row("SELECT seal, hash, header FROM audit_seals ORDER BY seal DESC LIMIT 1")
        return Head(row["seal"], bytes(row["hash"]), row["header"]) if row else Head(0, ZERO)

    async def unsealed(self, limit: int) -> list[Unsealed]:
        """Committed records that no seal holds, in the order of their ids."""
        rows = await self._database.rows(UNSEALED, (limit,))
        return [Unsealed(row["id"], bytes(row["entry"]), row["at"]) for row in rows]

    async def pruned_since(self, seal: int) -> list[str]:
        """Headers of the seals after that one whose records retention removed, in order."""
        rows = await self._database.rows(
            "SELECT header FROM audit_seals WHERE pruned_at IS NOT NULL AND seal > %s ORDER BY seal", (seal,)
        )
        return [row["header"] for row in rows]

    async def append(self, seal: NewSeal) -> bool:
        """Write the seal, and let its records wait no more; False when another sealer was faster."""
        ids = list(seal.ids)
        first, last = (ids[0], ids[-1]) if ids else (0, 0)
        signed = (seal.seal, seal.prev, seal.header, seal.hash, seal.key_id, seal.signature, seal.leaves)
        row = await self._database.row(APPEND, (*signed, ids, first, last, seal.last_at))
        return bool(row and row["done"])

    async def heads(self) -> Heads:
        """Head, signature, what waits, and the last verification."""
        row = await self._database.row(
            "SELECT s.seal, s.hash, s.key_id, s.signature, s.header::jsonb ->> 'root' AS root, "
            "(s.header::jsonb ->> 'at')::timestamptz AS sealed_at, "
            "(SELECT count(*) FROM audit_unsealed) AS unsealed, (SELECT a.at FROM audit a WHERE a.id = "
            "(SELECT min(u.id) FROM audit_unsealed u)) AS oldest FROM (SELECT 1) one LEFT JOIN LATERAL "
            "(SELECT * FROM audit_seals ORDER BY seal DESC LIMIT 1) s ON true"
        )
        if row is None:  # not with this statement
            raise LookupError("no row")
        return Heads(
            seal=row["seal"] or 0,
            head=bytes(row["hash"] or ZERO).hex(),
            sealed_at=row["sealed_at"],
            key_id=row["key_id"] or "",
            signature=bytes(row["signature"] or b"").hex(),
            root=row["root"] or "",
            unsealed=row["unsealed"],
            oldest_unsealed_at=row["oldest"],
            last_verification=await self.last_verification(),
        )

    async def keep_verification(self, report: Report) -> None:
        """Remember what a verification of the whole database said, for pages and doctors."""
        await self._database.rows(
            "INSERT INTO audit_verifications (records, seals, findings, head, report) VALUES (%s, %s, %s, %s, %s)",
            (report.records, report.seals, report.found, report.head, Jsonb(report.as_json())),
        )

    async def last_verification(self) -> Verification | None:
        """What the last one said; None: there was none."""
        row = await self._database.row(
            "SELECT verified_at, records, seals, findings, head, report FROM audit_verifications "
            "ORDER BY id DESC LIMIT 1"
        )
        return Verification(**row) if row else None

    async def clear_texts(self, stream_id: UUID, numbers: tuple[int, int], keys: Sequence[str]) -> list[ClearText]:
        """What an erasure would erase: texts of these records, with one of the keys when some are given."""
        rows = await self._database.rows(
            "SELECT c.stream_id, c.n, a.kind, c.key, a.at, length(c.text) AS chars FROM audit_clear c "
            "JOIN audit a ON a.stream_id = c.stream_id AND a.n = c.n "
            "WHERE c.stream_id = %s AND c.n BETWEEN %s AND %s AND (%s::text[] = '{}' OR c.key = ANY(%s::text[])) "
            "ORDER BY c.n, c.key",
            (stream_id, *numbers, list(keys), list(keys)),
        )
        return [ClearText(**row) for row in rows]

    async def erase(
        self, stream_id: UUID, numbers: tuple[int, int], keys: Sequence[str], *, by: str, reason: str
    ) -> list[tuple[int, str]]:
        """Erase those texts and write down that it was done, by whom and why; returns number and key of each."""
        rows = await self._database.rows(
            "SELECT n, key FROM erase_audit(%s, %s, %s, %s, %s::text[], %s, %s)",
            (AUDIT_STREAM, stream_id, *numbers, list(keys), storable(by), storable(reason)),
        )
        return [(row["n"], row["key"]) for row in rows]
