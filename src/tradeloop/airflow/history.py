"""Airflow's history of asset events, read window by window, around rows that break the page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from tradeloop.errors import AirflowRefused
from tradeloop.ports import AirflowApi, AssetEventRow

log = structlog.get_logger()

PAGE: Final = 100
INSTANT: Final = timedelta(microseconds=1)
"""Airflow's own resolution of a time stamp: a window cannot be cut smaller."""
SLICE: Final = timedelta(hours=1)
"""Catching up reads this much at a time: Airflow counts the rows of the whole window at each page."""
SERVER_ERROR: Final = 500


class AssetHistory:
    """Every row of a window, once, in the order of time.

    A row that Airflow cannot serve (its `extra` is a list, say) makes its whole page answer 500: the window is cut in
    halves until the row stands alone, which costs about 60 requests, once; afterwards its instant is stepped around.
    """

    def __init__(self, airflow: AirflowApi) -> None:
        self._airflow = airflow
        self._largest_page = 1
        self.unreadable: dict[datetime, int] = {}
        """Instants with rows that cannot be read, and how many."""

    async def rows(self, since: datetime, until: datetime) -> list[AssetEventRow]:
        """Rows with since <= timestamp < until.

        Raises:
            AirflowUnreachable, AirflowForbidden, AirflowRefused: Airflow's answer, when it is not about one row.
        """
        found: list[AssetEventRow] = []
        while since < until:
            end = min(until, since + SLICE)
            found += await self._around_unreadable(since, end)
            since = end
        return found

    async def _around_unreadable(self, since: datetime, until: datetime) -> list[AssetEventRow]:
        found: list[AssetEventRow] = []
        for instant in sorted(stamp for stamp in self.unreadable if since <= stamp < until):
            found += await self._cut(since, instant)
            found += await self._one_by_one(instant)
            since = instant + INSTANT
        return found + await self._cut(since, until)

    async def _cut(self, since: datetime, until: datetime) -> list[AssetEventRow]:
        if since >= until:
            return []
        try:
            return await self._pages(since, until)
        except AirflowRefused as problem:
            if problem.status != SERVER_ERROR:
                raise
            if until - since <= INSTANT:
                return await self._one_by_one(since)
        middle = since + (until - since) / 2
        return await self._cut(since, middle) + await self._cut(middle, until)

    async def _pages(self, since: datetime, until: datetime) -> list[AssetEventRow]:
        """Page by time, by offset only inside one time stamp: rows that commit late cannot shift the pages."""
        found: dict[int, AssetEventRow] = {}
        start, offset = since, 0
        while True:
            page = await self._airflow.asset_events(start, until, limit=PAGE, offset=offset)
            fresh = [row for row in page if row.id not in found]
            found.update({row.id: row for row in fresh})
            self._largest_page = max(self._largest_page, len(page))
            if len(page) < self._largest_page:  # less than this Airflow's cap: nothing follows
                return list(found.values())
            last = page[-1].timestamp
            start, offset = (last, 0) if last > start else (start, offset + len(page))

    async def _one_by_one(self, instant: datetime) -> list[AssetEventRow]:
        """The readable rows of one instant; the others are counted and stepped over."""
        found: list[AssetEventRow] = []
        broken, offset = 0, 0
        while True:
            try:
                page = await self._airflow.asset_events(instant, instant + INSTANT, limit=1, offset=offset)
            except AirflowRefused as problem:
                if problem.status != SERVER_ERROR:
                    raise
                broken += 1
                page = []
                if broken > PAGE:
                    raise
            else:
                if not page:
                    break
            found += page
            offset += 1
        if broken and self.unreadable.get(instant) != broken:
            self.unreadable[instant] = broken
            log.warning("asset_event_unreadable", timestamp=instant.isoformat(), rows=broken)
        return found
