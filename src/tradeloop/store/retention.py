"""Rows whose time is over, a few thousand at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString  # Any: arguments of a statement
from uuid import UUID

from tradeloop.store.database import Database

BATCH: Final = 5000
"""Rows of one statement: some tens of milliseconds, so nobody waits for its locks, and its dead rows are few."""
LOCK_TIMEOUT_MS: Final = 2000
"""For a table that somebody alters: waiting longer would make the traffic wait behind us."""
THREADS: Final = 200
"""Threads of one statement; each has some ten rows in three tables."""

NOT_LIVE: Final[LiteralString] = " AND NOT EXISTS (SELECT 1 FROM work w WHERE w.run_id = x.run_id)"
NO_LETTER: Final[LiteralString] = (
    " AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.run_id = x.run_id AND d.state = 'open')"
)
NO_EVENT_LETTER: Final[LiteralString] = (
    " AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.event_id = x.event_id AND d.state = 'open')"
)
# An effect of a former life is met, and not repeated, by the event's next run.
NOT_AGAIN: Final[LiteralString] = (
    NO_EVENT_LETTER + " AND NOT EXISTS (SELECT 1 FROM work w WHERE w.event_id = x.event_id)"
)
UUID7: Final[LiteralString] = "'^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$'"
THREAD: Final[LiteralString] = f"CASE WHEN x.thread_id ~ {UUID7} THEN x.thread_id::uuid END"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows of one table go; `x` is the row, `before` the moment, `bound` the first run id of that moment."""

    table: LiteralString
    key: LiteralString
    """What finds a row again: its place, or in a partitioned table, where a place is not unique, its primary key."""
    old: LiteralString
    order: LiteralString = ""


RULES: Final = (
    Rule("inbox", "run_id", "x.run_id < %(bound)s" + NOT_LIVE + NO_LETTER, " ORDER BY x.run_id"),
    Rule("inbox_keys", "ctid", "x.seen_at < %(before)s" + NOT_LIVE + NO_EVENT_LETTER),
    Rule("inbox_doubles", "ctid", "x.seen_at < %(before)s"),
    Rule("captured", "ctid", "x.seen_at < %(before)s"),
    Rule(
        "runs",
        "run_id",
        "x.run_id < %(bound)s AND x.finished_at < %(before)s" + NO_LETTER,
        " ORDER BY x.run_id",
    ),
    Rule("attempts", "ctid", "x.run_id < %(bound)s AND x.ended_at < %(before)s" + NOT_LIVE, " ORDER BY x.run_id"),
    Rule(
        "effects",
        "ctid",
        "x.prepared_at < %(before)s AND coalesce(x.finished_at, x.prepared_at) < %(before)s "
        "AND x.state NOT IN ('executing', 'outcome_unknown')" + NOT_LIVE + NOT_AGAIN,
    ),
    Rule(
        "approvals",
        "ctid",
        "x.asked_at < %(before)s AND coalesce(x.closed_at, x.asked_at) < %(before)s "
        "AND x.state NOT IN ('pending', 'approved', 'outcome_unknown')" + NOT_LIVE,
    ),
    Rule("reservations", "ctid", "x.at < %(before)s" + NOT_LIVE),
    Rule("dead_letters", "ctid", "x.state <> 'open' AND x.decided_at < %(before)s"),
    Rule(
        "workers",
        "ctid",
        "x.state = 'dead' AND x.lease_until < %(before)s "
        "AND NOT EXISTS (SELECT 1 FROM work w WHERE w.owner = x.worker_id)",
    ),
    Rule("api_triggers", "ctid", "x.triggered_at < %(before)s"),
    Rule("model_calls", "ctid", "x.reserved_at < %(before)s" + NOT_LIVE),
)
CHECKPOINTS: Final = "checkpoints"
AUDIT: Final = "audit"
TABLES: Final = (*(rule.table for rule in RULES), AUDIT, CHECKPOINTS)
"""Every table with an end; `work` and `outbox` hold only what is to be done, and empty themselves."""

OLD_THREADS: Final[LiteralString] = f"""
SELECT DISTINCT x.thread_id FROM checkpoints x
WHERE x.thread_id < %(bound)s::text AND {THREAD} < %(bound)s
  AND NOT EXISTS (SELECT 1 FROM work w WHERE w.run_id = {THREAD})
"""
REMOVE_THREADS: Final[LiteralString] = f"""
WITH old AS MATERIALIZED ({OLD_THREADS} ORDER BY x.thread_id LIMIT %(limit)s),
writes AS (DELETE FROM checkpoint_writes t WHERE t.thread_id = ANY(ARRAY(SELECT thread_id FROM old))),
blobs AS (DELETE FROM checkpoint_blobs t WHERE t.thread_id = ANY(ARRAY(SELECT thread_id FROM old))),
heads AS (DELETE FROM checkpoints t WHERE t.thread_id = ANY(ARRAY(SELECT thread_id FROM old)))
SELECT count(*) AS n FROM old
"""


def run_id_bound(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that moment: every run made before has a smaller id."""
    stamp = int(moment.timestamp() * 1000)
    return UUID(int=stamp << 80 | 0x7 << 76 | 0x2 << 62)


class PostgresRetention:
    """Removes what is older than its table's time, and never what a live run or an open letter needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove(self, table: str, days: int) -> int:
        """Remove one batch of what is older; returns how many rows (of checkpoints: threads), 0 when none is left."""
        if table == CHECKPOINTS:
            return await self._count(REMOVE_THREADS, _bounds(days) | {"limit": THREADS})
        if table == AUDIT:  # whole seals alone: what is left then still fits its seals
            return await self._count("SELECT prune_audit(%(before)s, %(limit)s) AS n", _bounds(days) | {"limit": BATCH})
        rule = _rule(table)
        # SKIP LOCKED: what somebody works on now is not waited for, and goes another time.
        return await self._count(
            f"WITH gone AS (DELETE FROM {rule.table} t WHERE t.{rule.key} = ANY(ARRAY(SELECT x.{rule.key} "
            f"FROM {rule.table} x WHERE {rule.old}{rule.order} LIMIT %(limit)s FOR UPDATE SKIP LOCKED)) "
            "RETURNING 1) SELECT count(*) AS n FROM gone",
            _bounds(days) | {"limit": BATCH},
        )

    async def due(self, table: str, days: int) -> int:
        """How many rows (of checkpoints: threads) are older; changes nothing."""
        if table == CHECKPOINTS:
            return await self._count(f"SELECT count(*) AS n FROM ({OLD_THREADS}) o", _bounds(days))
        if table == AUDIT:
            return await self._count("SELECT count(*) AS n FROM over_audit(%(before)s, NULL)", _bounds(days))
        rule = _rule(table)
        return await self._count(f"SELECT count(*) AS n FROM {rule.table} x WHERE {rule.old}", _bounds(days))

    async def _count(self, sql: LiteralString, arguments: Mapping[str, Any]) -> int:
        row = await self._database.row(sql, arguments)
        return int(row["n"]) if row else 0


def _rule(table: str) -> Rule:
    return next(rule for rule in RULES if rule.table == table)


def _bounds(days: int) -> dict[str, Any]:
    before = datetime.now(UTC) - timedelta(days=days)
    return {"before": before, "bound": run_id_bound(before)}
