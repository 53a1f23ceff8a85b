"""The sweep lane: what makes "nothing lost" true. Reads Airflow's history and publishes what the inbox lacks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from tradeloop.airflow.candidates import Candidate, candidates, unreadable
from tradeloop.airflow.history import AssetHistory
from tradeloop.errors import CaptureGap
from tradeloop.ports import AirflowApi, AssetEventRow, Captures, Publisher
from tradeloop.settings import Settings

log = structlog.get_logger()

CURSOR: Final = "asset_events"
LAST_ROW: Final = "asset_events:last_row"
RECONCILED: Final = "asset_events:reconciled"
WHOLE_EVERY_S: Final = 15.0
"""How often the whole overlap is read again; between, a short window is enough to be quick."""
SHORT: Final = timedelta(seconds=20)
"""Reaches behind the last whole reading: rows that were younger than the grace are met again."""
RECONCILE: Final = ((timedelta(hours=1), timedelta(hours=6)), (timedelta(hours=24), timedelta(hours=48)))
"""Every hour the last six, every night the last two days: against transactions that outlast the overlap."""
STRIDE: Final = timedelta(hours=1)
"""Catching up, the cursor moves at least so far at a time: a restart goes on from there."""
LONG_DOWN: Final = timedelta(hours=24)
"""Nobody's cleaning keeps less than a day. Smaller, a quiet history that was cleaned would look like a gap, and a gap
stops the sweep until a person has looked.
"""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What one tick did."""

    rows: int = 0
    published: int = 0
    buried: int = 0

    def __add__(self, more: SweepReport) -> SweepReport:
        return SweepReport(self.rows + more.rows, self.published + more.published, self.buried + more.buried)


class Sweep:
    """Reads closed windows of Airflow's history; the cursor moves only after the broker's acknowledgement.

    A row is read again until it is older than the overlap, because its time stamp is older than its commit, and
    nothing bounds by how much. What was published or accepted before is skipped.
    """

    def __init__(self, airflow: AirflowApi, publisher: Publisher, captures: Captures, settings: Settings) -> None:
        self._airflow = airflow
        self._history = AssetHistory(airflow)
        self._publisher = publisher
        self._captures = captures
        self._settings = settings
        self._overlap = timedelta(seconds=settings.sweep_overlap_s)
        self._grace = timedelta(seconds=settings.sweep_grace_s)
        self._whole_at = -WHOLE_EVERY_S
        self._whole_until: datetime | None = None
        self._settled: dict[UUID, datetime] = {}
        """Ids that need no look-up any more, by their row's time."""
        self._newest = datetime.min.replace(tzinfo=UTC)
        self._letters: set[tuple[datetime, int]] = set()
        self._is_checked = False

    async def tick(self, now: datetime | None = None) -> SweepReport:
        """Publish what is new.

        Raises:
            CaptureGap: rows were deleted from Airflow before they were read.
            AirflowUnreachable, AirflowForbidden, AirflowRefused, PublishFailed: try again; nothing is skipped.
        """
        until = now or datetime.now(UTC)
        if not self._is_checked:
            await self._check_permissions()
        if self._whole_until is not None and time.monotonic() - self._whole_at < WHOLE_EVERY_S:
            return await self._sweep(min(self._whole_until, until) - SHORT, until, is_whole=False)
        report = await self._sweep(await self._start(until), until, moves_cursor=True)
        self._whole_at, self._whole_until = time.monotonic(), until
        report += await self._reconcile(until)
        self._forget(until)
        return report

    async def _check_permissions(self) -> None:
        """Say at the start what Airflow would hide without an error."""
        missing = await self._airflow.missing_permissions()
        dags = await self._airflow.visible_dags()
        if missing:
            log.error("airflow_permissions_missing", missing=missing, hint="tradeloop doctor airflow")
        log.info("airflow_dags_visible", dags=len(dags))
        self._is_checked = not missing  # as long as one is missing, it is looked for at each tick

    async def _start(self, now: datetime) -> datetime:
        cursor = await self._captures.cursor(CURSOR)
        if cursor is None:
            oldest = await self._history.oldest_at()
            log.info("sweep_began", oldest=oldest.isoformat() if oldest else None)
            return min(oldest or now, now - self._overlap)
        if now - cursor > LONG_DOWN:
            await self._check_gap(cursor)
        # A clock that was set back leaves the cursor in the future: the present is swept all the same.
        return min(cursor, now) - self._overlap

    async def _check_gap(self, cursor: datetime) -> None:
        """Rows are missing when the last row that was read is gone and what is left begins after the cursor.

        An Airflow that was merely quiet still has that row.
        """
        last_row = await self._captures.cursor(LAST_ROW)
        if last_row is None:
            return
        oldest = await self._history.oldest_at()
        if oldest is None or (oldest > last_row and oldest > cursor):
            begins = f"begins at {oldest:%Y-%m-%dT%H:%M:%SZ}" if oldest else "is empty"
            raise CaptureGap(
                f"the sweep stopped at {cursor:%Y-%m-%dT%H:%M:%SZ}, and Airflow's history {begins}: "
                "events between may have been deleted unread",
                hint="tradeloop audit capture --accept-gap",
            )

    async def _reconcile(self, now: datetime) -> SweepReport:
        report = SweepReport()
        for every, reach in RECONCILE:
            name = f"{RECONCILED}:{reach.total_seconds() / 3600:.0f}h"
            done_at = await self._captures.cursor(name)
            if done_at is not None and now - done_at < every:
                continue
            if done_at is not None:  # the very first sweep has read everything
                found = await self._sweep(now - reach, now)
                log.info("history_reconciled", hours=reach.total_seconds() / 3600, published=found.published)
                report += found
            await self._captures.move_cursor(name, now)
        return report

    async def _sweep(
        self, since: datetime, until: datetime, *, moves_cursor: bool = False, is_whole: bool = True
    ) -> SweepReport:
        report, moved_to = SweepReport(), since
        async for reached, rows in self._history.parts(since, until, looks_again=is_whole):
            report += await self._take(rows, until)
            if moves_cursor and reached - moved_to >= STRIDE:
                await self._captures.move_cursor(CURSOR, reached)
                moved_to = reached
        if moves_cursor:
            await self._captures.move_cursor(CURSOR, until)
        return report

    async def _take(self, rows: Sequence[AssetEventRow], until: datetime) -> SweepReport:
        """Publish and bury what is new among these rows, and remember it."""
        settings = self._settings
        found = [
            candidate
            for row in rows
            for candidate in candidates(row, settings.instance, settings.environment, settings.events_topic)
            if candidate.event_id not in self._settled
        ]
        ripe = [c for c in found if not c.has_fast_lane or c.row.timestamp <= until - self._grace]
        known = await self._captures.known([c.event_id for c in ripe]) if ripe else set()
        self._settled.update({c.event_id: c.row.timestamp for c in ripe if c.event_id in known})
        new = list({c.event_id: c for c in ripe if c.event_id not in known}.values())
        published = await self._publish([c for c in new if c.record])
        buried = await self._bury([c for c in new if c.letter])
        newest = max((row.timestamp for row in rows), default=self._newest)
        if newest > self._newest:
            await self._captures.move_cursor(LAST_ROW, newest)
            self._newest = newest
        return SweepReport(len(rows), published, buried)

    async def _publish(self, new: Sequence[Candidate]) -> int:
        if not new:
            return 0
        await self._publisher.publish([c.record for c in new if c.record])
        await self._captures.remember(
            [
                (
                    c.event_id,
                    {"dag_id": c.row.source_dag_id, "run_id": c.row.source_run_id, "task_id": c.row.source_task_id},
                )
                for c in new
            ]
        )
        self._settled.update({c.event_id: c.row.timestamp for c in new})
        log.info("sweep_published", events=len(new))
        return len(new)

    async def _bury(self, new: Sequence[Candidate]) -> int:
        letters = [c.letter for c in new if c.letter]
        unread = [
            (instant, count)
            for instant, count in self._history.unreadable.items()
            if instant not in self._history.held_back and (instant, count) not in self._letters
        ]
        for instant, count in unread:
            letters += unreadable(instant, count, self._settings.instance)
        if letters:
            await self._captures.bury(letters)
            log.warning(
                "asset_events_buried", letters=len(letters), causes=sorted({letter.error_class for letter in letters})
            )
        self._letters.update(unread)
        self._settled.update({c.event_id: c.row.timestamp for c in new})
        return len(letters)

    def _forget(self, now: datetime) -> None:
        edge = now - 2 * self._overlap
        self._settled = {event_id: at for event_id, at in self._settled.items() if at > edge}


async def accept_gap(airflow: AirflowApi, captures: Captures, now: datetime) -> tuple[datetime, datetime] | None:
    """Let the sweep go on behind a gap; returns what is given up, from and to, or None when there is nothing."""
    cursor = await captures.cursor(CURSOR)
    to = await AssetHistory(airflow).oldest_at() or now
    if cursor is None or to <= cursor:
        return None
    await captures.move_cursor(LAST_ROW, to)
    await captures.move_cursor(CURSOR, to)
    return cursor, to
