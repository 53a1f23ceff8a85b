"""Lifecycle events: what becomes of runs and tasks, told by the sweep alone."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from tradeloop.airflow.attempts import EVENTS, EXACT, Attempts
from tradeloop.airflow.run_history import bounded
from tradeloop.airflow.sweep import RECONCILE, SHORT, STRIDE, WHOLE_EVERY_S
from tradeloop.airflow.transitions import Transition, event_of, of_run, traceparent_of
from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.domain.records import Lane, Record
from tradeloop.kafka.messages import to_record
from tradeloop.ports import Captures, DagRunView, EventLogRow, Publisher, RunHistory
from tradeloop.settings import Settings

log = structlog.get_logger()

CURSOR: Final = "lifecycle"
BEGAN: Final = "lifecycle:began"
"""What was over before the first sweep is never told: an old Airflow would flood everybody."""
RECONCILED: Final = "lifecycle:reconciled"
OLDEST_RUN: Final = timedelta(days=2)
"""Runs due earlier are looked for every hour only: a bound on their own time makes the query ten times cheaper."""
SETTLING: Final = timedelta(seconds=30)
"""People's actions are logged before they are done: so long their runs are looked at again."""
ERRORS_S: Final = 10.0
"""For the texts of all errors of one look; what comes later is announced without."""
READERS: Final = 4
"""Logs read at a time."""
WITH_ERROR: Final = (LifecycleType.TASK_FAILED, LifecycleType.TASK_RETRIED)

RunKey = tuple[str, str]


class Lifecycle:
    """Reads closed windows of Airflow's runs and of its event log; the cursor moves after the acknowledgement.

    Ids are derived from what Airflow stores; where an attempt has two possible ones, the first is bound to it in the
    store before anything is published. So nothing that is read again, by this relay or another, becomes a second event.
    """

    def __init__(self, history: RunHistory, publisher: Publisher, captures: Captures, settings: Settings) -> None:
        self._history = history
        self._attempts = Attempts(history, settings.instance)
        self._publisher = publisher
        self._captures = captures
        self._settings = settings
        self._overlap = timedelta(seconds=settings.sweep_overlap_s)
        self._whole_at = -WHOLE_EVERY_S
        self._whole_until: datetime | None = None
        self._settled: dict[UUID | int, datetime] = {}
        """Ids of events and of log rows that are done with, and when they were last met."""

    async def tick(self, now: datetime | None = None) -> int:
        """Publish what is new; returns how many events.

        Raises:
            AirflowUnreachable, AirflowForbidden, AirflowRefused, PublishFailed: try again; nothing is skipped.
        """
        until = now or datetime.now(UTC)
        if self._whole_until is not None and time.monotonic() - self._whole_at < WHOLE_EVERY_S:
            return await self._sweep(min(self._whole_until, until) - SHORT, until)
        published = await self._catch_up(until)
        self._whole_at, self._whole_until = time.monotonic(), until
        published += await self._reconcile(until)
        edge = until - 2 * self._overlap
        self._settled = {name: at for name, at in self._settled.items() if at > edge}
        return published

    async def _catch_up(self, until: datetime) -> int:
        cursor = await self._captures.cursor(CURSOR)
        if cursor is None:
            await self._captures.move_cursor(BEGAN, until - self._overlap)
        since, published = min(cursor or until, until) - self._overlap, 0
        while since < until:
            end = min(until, since + STRIDE)
            published += await self._sweep(since, end)
            await self._captures.move_cursor(CURSOR, end)
            since = end
        return published

    async def _reconcile(self, now: datetime) -> int:
        published = 0
        for every, reach in RECONCILE:
            name = f"{RECONCILED}:{reach.total_seconds() / 3600:.0f}h"
            done_at = await self._captures.cursor(name)
            if done_at is not None and now - done_at < every:
                continue
            if done_at is not None:
                began = await self._captures.cursor(BEGAN)
                published += await self._sweep(max(now - reach, began or now), now, of_any_age=True)
            await self._captures.move_cursor(name, now)
        return published

    async def _sweep(self, since: datetime, until: datetime, *, of_any_age: bool = False) -> int:
        bound = None if of_any_age else since - OLDEST_RUN
        changed = await self._history.dag_runs(since, until, run_after=bound)
        runs = {(run.dag_id, run.run_id): run for run in changed if self._settings.tells_of(run.dag_id)}
        found = await self._of_runs(list(runs.values()), since, until)
        rows = await self._rows(since, until)
        for key, told in rows.items():
            run = runs.get(key) or await self._history.dag_run(*key)
            found += await self._attempts.told(run, told, since) if run else []
        published = await self._publish(found, until)
        for row in (row for told in rows.values() for row in told):
            if row.event in EXACT or row.at < until - SETTLING:
                self._settled[row.id] = until
        return published

    async def _of_runs(self, runs: Sequence[DagRunView], since: datetime, until: datetime) -> list[Transition]:
        """What the runs' rows announce; the tasks of one that has ended are read when its end is news."""
        told = [transition for run in runs for transition in of_run(run, self._settings.instance)]
        found: list[Transition] = []
        for transition in await self._news(told, until):
            if transition.type is LifecycleType.WORKFLOW_TRIGGERED:
                found.append(transition)
                continue
            tasks = await self._attempts.of_ended(transition.run, since)
            found += [known for task in tasks for known in self._attempts.announce(task, transition.run)]
            found.append(replace(transition, tasks=tasks))
        return found

    async def _rows(self, since: datetime, until: datetime) -> dict[RunKey, list[EventLogRow]]:
        """Rows of the event log that are not done with, by run."""
        found: dict[RunKey, list[EventLogRow]] = defaultdict(list)
        for row in await self._history.event_log(since, until, EVENTS):
            if row.id in self._settled:
                self._settled[row.id] = until
            elif row.dag_id and row.run_id and self._settings.tells_of(row.dag_id):
                found[row.dag_id, row.run_id].append(row)
        return found

    async def _publish(self, found: Sequence[Transition], until: datetime) -> int:
        """Publish what is chosen and new, and remember it with what was not chosen: it is not looked at again."""
        live_first = sorted(found, key=lambda t: (t.is_recovered, not t.note))
        wanted: dict[UUID, UUID] = {}
        for transition in live_first:
            if transition.binding:
                wanted.setdefault(transition.binding, transition.event_id)
        bound = await self._captures.bind(wanted) if wanted else {}
        told: dict[UUID, Transition] = {}
        for t in live_first:
            event_id = bound[t.binding] if t.is_recovered and t.binding else t.event_id
            told.setdefault(event_id, replace(t, event_id=event_id))
        new = sorted(await self._news(list(told.values()), until), key=lambda t: t.place)
        chosen = [t for t in new if t.type in self._settings.lifecycle_types]
        records = await self._records(chosen)
        if records:
            await self._publisher.publish(records)
            log.info("lifecycle_published", events=len(records))
        if new:
            await self._captures.remember([(t.event_id, _origin(t)) for t in new])
        self._settled.update({t.event_id: until for t in new})
        return len(records)

    async def _news(self, told: Sequence[Transition], until: datetime) -> list[Transition]:
        open_ = [t for t in told if t.event_id not in self._settled]
        known = await self._captures.known([t.event_id for t in open_]) if open_ else set()
        self._settled.update({t.event_id: until for t in told if t.event_id in known or t.event_id in self._settled})
        return [t for t in open_ if t.event_id not in known]

    async def _records(self, chosen: Sequence[Transition]) -> list[Record]:
        errors = await self._errors([t for t in chosen if t.type in WITH_ERROR])
        records = []
        for t in chosen:
            try:
                event = event_of(t, self._settings.environment, errors.get(t.event_id, ""))
            except ValueError as problem:
                log.error("lifecycle_not_told", dag_id=t.run.dag_id, run_id=t.run.run_id, error=str(problem))
                continue
            records.append(to_record(event, self._settings.events_topic, Lane.SWEEP, traceparent_of(t.run)))
        return records

    async def _errors(self, failed: Sequence[Transition]) -> dict[UUID, str]:
        """The texts of the errors, as many as can be had in time."""
        found = {transition.event_id: bounded(transition.note) for transition in failed}
        turn, unread = asyncio.Semaphore(READERS), set(found)

        async def read(transition: Transition) -> None:
            if transition.attempt and transition.attempt.try_number > 0:
                async with turn:
                    told = await self._history.attempt_error(transition.attempt)
                    unread.discard(transition.event_id)
                    found[transition.event_id] = told or found[transition.event_id]

        try:
            async with asyncio.timeout(ERRORS_S):
                await asyncio.gather(*(read(transition) for transition in failed))
        except TimeoutError:
            log.warning("errors_not_read", tasks=len(unread))
        return found


def _origin(transition: Transition) -> dict[str, str | int]:
    origin: dict[str, str | int] = {"dag_id": transition.run.dag_id, "run_id": transition.run.run_id}
    attempt = transition.attempt
    if attempt:
        origin |= {
            "task_id": attempt.task_id,
            "map_index": attempt.map_index,
            "try_number": attempt.try_number,
            "state": attempt.state,
        }
    return origin
