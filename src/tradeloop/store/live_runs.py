"""Live runs as people steer them: by graph version, cancelled, moved on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tradeloop.domain.runs import RunState, derive_id
from tradeloop.errors import Settled
from tradeloop.store.database import Database
from tradeloop.store.history import LIVE_STATES
from tradeloop.store.texts import storable

RUN_ORDERS_STREAM: Final = derive_id("audit_stream", "run_orders")
"""Audit stream of cancels and moves. Not the run's own: its worker may be writing the next number of that one now."""


@dataclass(frozen=True, slots=True)
class VersionCount:
    """Live runs of one event type on one version of its graph; an empty version: not begun yet."""

    event_type: str
    desk: str
    version: str
    state: RunState
    runs: int


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run whose checkpoints may be looked at."""

    run_id: UUID
    event_type: str
    version: str
    state: str


class PostgresLiveRuns:
    """Reads and steers what is in `work`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self) -> list[VersionCount]:
        """How many live runs are on which version, by state."""
        rows = await self._database.rows(
            "SELECT i.event_type, w.desk, w.graph_version AS version, w.state::text AS state, count(*) AS runs "
            "FROM work w JOIN inbox i ON i.run_id = w.run_id GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        )
        return [VersionCount(**(row | {"state": LIVE_STATES[row["state"]]})) for row in rows]

    async def served(self) -> set[str]:
        """Versions that live workers have."""
        rows = await self._database.rows(
            "SELECT DISTINCT unnest(graphs) AS version FROM workers "
            "WHERE state <> 'dead' AND lease_until >= clock_timestamp()"
        )
        return {row["version"] for row in rows}

    async def live(self, after: UUID, limit: int) -> list[StoredRun]:
        """Live runs with a larger id, in its order."""
        rows = await self._database.rows(
            "SELECT w.run_id, i.event_type, w.graph_version AS version, w.state::text AS state "
            "FROM work w JOIN inbox i ON i.run_id = w.run_id WHERE w.run_id > %s ORDER BY w.run_id LIMIT %s",
            (after, limit),
        )
        return [StoredRun(**(row | {"state": LIVE_STATES[row["state"]].value})) for row in rows]

    async def ended(self, since: datetime, after: UUID, limit: int) -> list[StoredRun]:
        """Runs that ended since then with a larger id, in its order."""
        rows = await self._database.rows(
            "SELECT r.run_id, i.event_type, r.graph_version AS version, r.state FROM runs r "
            "JOIN inbox i ON i.run_id = r.run_id WHERE r.finished_at >= %s AND r.run_id > %s "
            "AND r.state <> 'unhandled' ORDER BY r.run_id LIMIT %s",
            (since, after, limit),
        )
        return [StoredRun(**row) for row in rows]

    async def cancel(self, run_id: UUID, *, by: str, reason: str) -> RunState:
        """Ask that the run be cancelled; the head's owner does it. Returns where the run stands.

        Raises:
            Settled: it has ended.
        """
        row = await self._database.row(
            "SELECT cancel_run(%s, %s, %s, %s) AS state", (run_id, storable(by), storable(reason), RUN_ORDERS_STREAM)
        )
        if row is None or row["state"] is None:
            raise Settled(f"run {run_id} has ended.", hint=f"tradeloop runs show {run_id}")
        return LIVE_STATES[row["state"]]

    async def move(self, run_id: UUID, version: str, *, by: str) -> str:
        """Let a run that waits for its graph's version go on with another one; returns the former version.

        Raises:
            Settled: the run does not wait for a version.
        """
        row = await self._database.row(
            "WITH found AS (SELECT run_id, graph_version FROM work WHERE run_id = %(run)s AND state = 'v' FOR UPDATE), "
            "moved AS (UPDATE work w SET state = 'q', graph_version = %(version)s, error = '', owner = NULL "
            "FROM found f WHERE w.run_id = f.run_id RETURNING w.run_id, f.graph_version AS former) "
            "SELECT m.former, append_audit(%(stream)s, 'run_moved', jsonb_build_object('run_id', m.run_id, "
            "'by', %(by)s::text, 'from', m.former, 'to', %(version)s::text)) FROM moved m",
            {"run": run_id, "version": version, "by": storable(by), "stream": RUN_ORDERS_STREAM},
        )
        if row is None:
            raise Settled(
                f"run {run_id} does not wait for a version of its graph.", hint=f"tradeloop runs show {run_id}"
            )
        return str(row["former"])
