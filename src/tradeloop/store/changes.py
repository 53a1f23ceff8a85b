"""What changed: the audit's newest records, and how many live runs stand where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
import psycopg.sql
import structlog

from tradeloop.store.database import CONNECT_ARGUMENTS, Database

log = structlog.get_logger()
CHANNELS: Final = ("tradeloop_outbox", "tradeloop_changes", "tradeloop_approvals")
RECONNECT_S: Final = 2.0
OVERLAP: Final = 500
"""Records that are read again each time: of two written at once, the one with the larger number may come first."""
MOST: Final = 2000


@dataclass(frozen=True, slots=True)
class Entry:
    """One audit record."""

    number: int
    stream: str
    kind: str


class ChangeFeed:
    """Reads; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> int:
        """The audit's largest number."""
        row = await self._database.row("SELECT coalesce(max(id), 0) AS n FROM audit")
        return int(row["n"]) if row else 0

    async def since(self, number: int) -> list[Entry]:
        """Records from a little before that number on, the oldest first."""
        rows = await self._database.rows(
            "SELECT id, stream_id::text AS stream, kind FROM audit WHERE id > %s ORDER BY id LIMIT %s",
            (number - OVERLAP, MOST),
        )
        return [Entry(row["id"], row["stream"], row["kind"]) for row in rows]

    async def live(self) -> dict[str, int]:
        """How many live runs each desk has in each state, and how many wait for a person."""
        rows = await self._database.rows(
            "SELECT desk || ' ' || state::text AS place, count(*) AS n FROM work GROUP BY 1"
        )
        return {row["place"]: row["n"] for row in rows}

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` at every notice, on a connection of its own; connects again for ever."""
        told = False
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._database.url, connect_timeout=5, **CONNECT_ARGUMENTS
                )
                async with connection:
                    for channel in CHANNELS:
                        await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
                    told = False
                    wake()
                    async for _ in connection.notifies():
                        wake()
            except psycopg.Error as problem:
                if not told:
                    log.info("notices_lost", error_class=type(problem).__name__, retried=True)
                told = True
            await asyncio.sleep(RECONNECT_S)
