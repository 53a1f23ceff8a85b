"""Airflow's history of asset events, read window by window, around rows that break the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from tradeloop.errors import AirflowRefused, AirflowUnreachable
from tradeloop.ports import AirflowApi, AssetEventRow

log = structlog.get_logger()

PAGE: Final = 100
INSTANT: Final = timedelta(microseconds=1)
"""Airflow's own resolution of a time stamp: a window cannot be cut smaller."""
SLICE: Final = timedelta(hours=1)
"""Catching up reads this much at a time: Airflow counts the rows of the whole window at each page."""
WIDEST: Final = timedelta(days=30)
"""Where there is next to nothing, windows grow up to this: an old and quiet history is not read hour by hour."""
BEGINNING: Final = datetime(2014, 1, 1, tzinfo=UTC)
"""Before Airflow existed, so that no row is older; its first instant is the window that is always empty."""
ACCURACY: Final = timedelta(seconds=1)
SERVER_ERROR: Final = 500

Part = tuple[datetime, list[AssetEventRow]]
"""Rows, and the time before which everything has been handed over."""


class AssetHistory:
    """Every row of a window, once, in the order of time.

    A row that Airflow cannot serve makes its whole page answer 500: the window is cut in halves until the row stands
    alone, which costs about 70 requests, once; afterwards its instant is stepped around. Such a row is broken for good
    (its `extra` is a list, say), or held back until the runs that it caused have started.
    """

    def __init__(self, airflow: AirflowApi) -> None:
        self._airflow = airflow
        self.unreadable: dict[datetime, int] = {}
        """Instants with rows that cannot be read, and how many."""
        self.held_back: set[datetime] = set()
        """Those of them that may become readable: a run that an asset event caused is queued."""

    async def parts(self, since: datetime, until: datetime, *, looks_again: bool = True) -> AsyncIterator[Part]:
        """Rows with since <= timestamp < until, part by part.

        `looks_again` asks for known unreadable instants too: each costs five requests, and tracebacks in Airflow's
        log, only to find a good row that was committed late with the same microsecond as a bad one.

        Raises:
            AirflowUnreachable, AirflowForbidden, AirflowRefused: Airflow's answer, when it is not about one row.
        """
        width = SLICE
        while since < until:
            end, count = min(until, since + width), 0
            async for part in self._around_unreadable(since, end, looks_again=looks_again):
                count += len(part[1])
                yield part
            width = SLICE if count >= PAGE else min(2 * width, WIDEST)
            since = end

    async def oldest_at(self) -> datetime | None:
        """Time of the oldest row that Airflow keeps, readable or not; of an unreadable one to the second."""
        try:
            return await self._airflow.oldest_asset_event_at()
        except AirflowRefused as problem:
            await self._blame_a_row(problem)
        low, high = BEGINNING, datetime.now(UTC) + timedelta(days=1)
        while high - low > ACCURACY:
            middle = low + (high - low) / 2
            try:
                page = await self._airflow.asset_events(low, middle, limit=1)
            except AirflowRefused as problem:
                await self._blame_a_row(problem)
                high = middle
                continue
            if page.rows:
                return page.rows[0].timestamp
            low = middle
        return low

    async def _around_unreadable(self, since: datetime, until: datetime, *, looks_again: bool) -> AsyncIterator[Part]:
        for instant in sorted(stamp for stamp in self.unreadable if since <= stamp < until):
            async for part in self._cut(since, instant):
                yield part
            since = instant + INSTANT
            if looks_again:
                yield since, await self._one_by_one(instant)
        async for part in self._cut(since, until):
            yield part

    async def _cut(self, since: datetime, until: datetime) -> AsyncIterator[Part]:
        windows = [(since, until)]
        while windows:
            start, end = windows.pop()
            if start >= end:
                continue
            try:
                rows = await self._pages(start, end)
            except AirflowRefused as problem:
                await self._blame_a_row(problem)
                if end - start > INSTANT:
                    middle = start + (end - start) / 2
                    windows += [(middle, end), (start, middle)]
                    continue
                rows = await self._one_by_one(start)
            yield end, rows

    async def _pages(self, since: datetime, until: datetime) -> list[AssetEventRow]:
        """Page by time, by offset only inside one time stamp: rows that commit late cannot shift the pages."""
        found: dict[int, AssetEventRow] = {}
        start, offset = since, 0
        while True:
            page = await self._airflow.asset_events(start, until, limit=PAGE, offset=offset)
            found.update({row.id: row for row in page.rows})
            if not page.rows or offset + len(page.rows) >= page.total:
                return list(found.values())
            last = page.rows[-1].timestamp
            start, offset = (last, 0) if last > start else (start, offset + len(page.rows))

    async def _one_by_one(self, instant: datetime) -> list[AssetEventRow]:
        """The readable rows of one instant; the others are counted and stepped over."""
        found: dict[int, AssetEventRow] = {}
        broken, offset = 0, 0
        self.held_back.discard(instant)
        while (rows := await self._one(instant, offset)) != []:
            found.update({row.id: row for row in rows or []})
            broken += rows is None
            offset += 1
        if broken and self.unreadable.get(instant) != broken:
            log.warning("asset_event_unreadable", timestamp=instant.isoformat(), rows=broken)
        if broken:
            self.unreadable[instant] = broken
        else:
            self.unreadable.pop(instant, None)
        return list(found.values())

    async def _one(self, instant: datetime, offset: int) -> list[AssetEventRow] | None:
        """The row at this place of an instant; empty behind the last one, None when it cannot be read."""
        for is_second in (False, True):  # the first 500 may have been a moment's weakness, or a run that now starts
            try:
                return list((await self._airflow.asset_events(instant, instant + INSTANT, limit=1, offset=offset)).rows)
            except AirflowRefused as problem:
                await self._blame_a_row(problem)
            if not is_second and await self._airflow.holds_back_rows():
                self.held_back.add(instant)
                break
        return None

    async def _blame_a_row(self, problem: AirflowRefused) -> None:
        """Return when the 500 is about a row of the window; raise when Airflow has another reason."""
        if problem.status != SERVER_ERROR:
            raise problem
        try:
            await self._airflow.asset_events(BEGINNING, BEGINNING + INSTANT, limit=1)
        except AirflowRefused as another:
            if another.status != SERVER_ERROR:
                raise
            raise AirflowUnreachable("Airflow answers 500 even where there is no row: it is ill itself") from another
