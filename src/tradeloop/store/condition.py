"""How the engine's tables stand: who is alive, what waits, how old. For people who look after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tradeloop.store.database import Database


@dataclass(frozen=True, slots=True)
class Condition:
    """What one look at the database found."""

    clock_skew_s: float
    """How far this machine's clock is ahead of the database's."""
    may_write: bool
    """Whether the account may do what relay and worker must."""
    workers: int
    """Workers whose lease holds."""
    lanes_held: int
    """Of 16: outbox lanes that a relay holds."""
    outbox_rows: int
    outbox_age_s: float
    """Age of the oldest row that waits for Kafka; 0 without one."""
    live_runs: int
    sweep_age_s: float | None
    """How long ago the sweep last moved its cursor; None: it never did."""


async def condition_of(database: Database, cursor: str) -> Condition:
    """One look; `cursor` names the sweep's."""
    asked_at = datetime.now(UTC)
    (row,) = await database.rows(
        """SELECT clock_timestamp() AS now,
        coalesce(bool_and(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'SELECT')), false)
         AS may_write,
        (SELECT count(*) FROM workers WHERE lease_until > now()) AS workers,
        (SELECT count(*) FROM outbox_lanes WHERE lease_until > now()) AS lanes_held,
        (SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT 100000) AS waiting) AS outbox_rows,
        (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)
         FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 100) AS oldest) AS outbox_age_s,
        (SELECT count(*) FROM work) AS live_runs,
        (SELECT extract(epoch FROM now() - moved_at) FROM capture_cursors WHERE name = %s) AS sweep_age_s
        FROM pg_class c WHERE c.oid = ANY(ARRAY['inbox', 'work', 'runs', 'effects', 'outbox']::regclass[])
        """,
        (cursor,),
    )
    answered_at = datetime.now(UTC)
    middle = asked_at + (answered_at - asked_at) / 2
    return Condition(
        clock_skew_s=(middle - row["now"]).total_seconds(),
        may_write=row["may_write"],
        workers=row["workers"],
        lanes_held=row["lanes_held"],
        outbox_rows=row["outbox_rows"],
        outbox_age_s=float(row["outbox_age_s"]),
        live_runs=row["live_runs"],
        sweep_age_s=None if row["sweep_age_s"] is None else float(row["sweep_age_s"]),
    )
