"""Dead letters as people look at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from tradeloop.errors import NotFound
from tradeloop.store.database import Database

LETTERS: Final[LiteralString] = """
SELECT dl_id, source, topic, partition, "offset", event_id, run_id, cause, error_class, stack_hash, attempts,
       graph_version, raw, state, decided_by, reason, created_at FROM dead_letters
"""


@dataclass(frozen=True, slots=True)
class LetterView:
    """One dead letter, with its original bytes."""

    dl_id: int
    source: str
    topic: str
    partition: int | None
    offset: int | None
    event_id: UUID | None
    run_id: UUID | None
    cause: str
    error_class: str
    stack_hash: str
    attempts: int
    graph_version: str
    raw: bytes
    state: str
    created_at: datetime

    @property
    def place(self) -> str:
        """Where it was read: topic[partition]@offset; empty when it never was on a topic."""
        return f"{self.topic}[{self.partition}]@{self.offset}" if self.topic else ""


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Open letters of one kind."""

    error_class: str
    source: str
    count: int
    first_at: datetime
    last_at: datetime
    example: int


class Letters:
    """Reads dead letters; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, *, limit: int = 50, state: str = "open", since: datetime | None = None) -> list[LetterView]:
        """The newest first; `state` is open, replayed, discarded or all."""
        rows = await self._database.rows(
            LETTERS + " WHERE (%(state)s = 'all' OR state = %(state)s) AND (%(since)s::timestamptz IS NULL "
            "OR created_at >= %(since)s) ORDER BY dl_id DESC LIMIT %(limit)s",
            {"state": state, "since": since, "limit": limit},
        )
        return [_view(row) for row in rows]

    async def groups(self) -> list[LetterGroup]:
        """Open letters by kind of error and source, the most frequent first."""
        rows = await self._database.rows(
            "SELECT error_class, source, count(*) AS count, min(created_at) AS first_at, max(created_at) AS last_at, "
            "max(dl_id) AS example FROM dead_letters WHERE state = 'open' GROUP BY 1, 2 ORDER BY 3 DESC"
        )
        return [LetterGroup(**row) for row in rows]

    async def find(self, dl_id: int) -> LetterView:
        """The letter of that number.

        Raises:
            NotFound: there is none.
        """
        row = await self._database.row(LETTERS + " WHERE dl_id = %s", (dl_id,))
        if row is None:
            raise NotFound(f"there is no dead letter {dl_id}.", hint="tradeloop dlq list")
        return _view(row)


def _view(row: DictRow) -> LetterView:
    return LetterView(
        dl_id=row["dl_id"],
        source=row["source"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        event_id=row["event_id"],
        run_id=row["run_id"],
        cause=row["cause"],
        error_class=row["error_class"],
        stack_hash=row["stack_hash"],
        attempts=row["attempts"],
        graph_version=row["graph_version"],
        raw=bytes(row["raw"]),
        state=row["state"],
        created_at=row["created_at"],
    )
