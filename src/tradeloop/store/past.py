"""Decisions of a period, with the events that they answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final  # Any: a row
from uuid import UUID

from tradeloop.store.database import Database

PAGE: Final = 100


class PastDecisions:
    """Reads; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, since: datetime, desk: str = "") -> int:
        """How many there are."""
        row = await self._database.row(
            "SELECT count(*) AS n FROM runs r JOIN inbox i ON i.run_id = r.run_id WHERE r.finished_at >= %s "
            "AND r.decision IS NOT NULL AND (%s = '' OR i.desk = %s)",
            (since, desk, desk),
        )
        return int(row["n"]) if row else 0

    async def each(self, since: datetime, desk: str = "") -> AsyncIterator[dict[str, Any]]:
        """The oldest first: run_id, event_type, desk, subject, payload, decision, finished_at."""
        last = UUID(int=0)
        while rows := await self._database.rows(
            "SELECT r.run_id, i.event_type, i.desk, i.subject, i.payload, r.decision, r.finished_at FROM runs r "
            "JOIN inbox i ON i.run_id = r.run_id WHERE r.finished_at >= %s AND r.run_id > %s "
            "AND r.decision IS NOT NULL AND (%s = '' OR i.desk = %s) ORDER BY r.run_id LIMIT %s",
            (since, last, desk, desk, PAGE),
        ):
            for row in rows:
                yield {**row, "payload": self._database.cipher.open(bytes(row["payload"]))}
            last = rows[-1]["run_id"]
