"""The audit as people read it: the newest records, those of one stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any  # Any: a record's body
from uuid import UUID

from tradeloop.store.database import Database


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record of the audit."""

    id: int
    stream_id: UUID
    n: int
    kind: str
    body: dict[str, Any]
    at: datetime


class AuditTrail:
    """Reads; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(
        self, *, kind: str = "", stream: UUID | None = None, before: int | None = None, limit: int = 50
    ) -> list[AuditRecord]:
        """The newest first; `before` is the id of the last one seen."""
        rows = await self._database.rows(
            "SELECT id, stream_id, n, kind, body, at FROM audit_records "
            "WHERE (%(before)s::bigint IS NULL OR id < %(before)s) "
            "AND (%(kind)s = '' OR kind = %(kind)s) AND (%(stream)s::uuid IS NULL OR stream_id = %(stream)s) "
            "ORDER BY id DESC LIMIT %(limit)s",
            {"before": before, "kind": kind, "stream": stream, "limit": limit},
        )
        return [AuditRecord(**row) for row in rows]

    async def of_stream(self, stream: UUID, limit: int = 500) -> list[AuditRecord]:
        """Every record of a stream, the oldest first."""
        rows = await self._database.rows(
            "SELECT id, stream_id, n, kind, body, at FROM audit_records WHERE stream_id = %s ORDER BY n LIMIT %s",
            (stream, limit),
        )
        return [AuditRecord(**row) for row in rows]
