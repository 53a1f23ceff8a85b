"""Retention: every table's rows go when their time is over, in small batches, beside the traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from tradeloop.errors import DatabaseUnreachable

log = structlog.get_logger()
PAUSE_S: Final = 0.05
"""Between batches: the traffic has the database for most of the time."""
PASS_S: Final = 120.0
"""Longer passes go on next time; a first one after years must not keep one process busy for hours."""


class Retention(Protocol):
    """Removes rows by age."""

    async def remove(self, table: str, days: int) -> int:
        """Remove one batch; returns how many rows, 0 when none is left."""
        ...

    async def due(self, table: str, days: int) -> int:
        """How many rows are older; changes nothing."""
        ...


class Housekeeping:
    """One pass after the other over the tables that have a time."""

    def __init__(self, retention: Retention, days: Mapping[str, int], *, pause_s: float = PAUSE_S) -> None:
        self._retention = retention
        self._days = {table: kept for table, kept in days.items() if kept > 0}
        self._pause_s = pause_s

    async def tick(self, limit_s: float = PASS_S) -> dict[str, int]:
        """Remove what is over, for at most `limit_s`; returns the rows removed by table, of those that lost some.

        A table that is locked, or a database that does not answer, is left for the next time.
        """
        removed: dict[str, int] = {}
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        for table, days in self._days.items():
            try:
                while loop.time() < until and (count := await self._retention.remove(table, days)):
                    removed[table] = removed.get(table, 0) + count
                    await asyncio.sleep(self._pause_s)
            except DatabaseUnreachable as problem:
                log.warning("table_not_cleaned", table=table, error=problem.message, retried=True)
        if removed:
            log.info("tables_cleaned", **removed)
        return removed

    async def due(self) -> dict[str, int]:
        """How many rows a pass would remove, by table; changes nothing."""
        return {table: await self._retention.due(table, days) for table, days in self._days.items()}
