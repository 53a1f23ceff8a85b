"""The whole in figures, for people at a desk and for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

from tradeloop.domain.runs import RunState
from tradeloop.store.database import Database
from tradeloop.store.history import LIVE_STATES
from tradeloop.store.migrations import migrations

LIVE: Final[LiteralString] = "SELECT desk, state::text AS state, count(*) AS n FROM work GROUP BY 1, 2"
# The counts of a long history by an index alone: of one desk, since a moment.
TODAY: Final[LiteralString] = """
SELECT desk, state, coalesce(decision->>'outcome', '') AS outcome, count(*) AS n,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) AS median_s
FROM runs WHERE desk <> '' AND desk = ANY(%(desks)s) AND finished_at >= %(since)s GROUP BY 1, 2, 3
"""
WAITING: Final[LiteralString] = """
SELECT desk, count(*) AS n, min(asked_at) AS oldest_at, min(deadline_at) AS next_deadline_at
FROM approvals WHERE state = 'pending' GROUP BY 1
"""
PLATFORM: Final[LiteralString] = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT 100000) o) AS outbox_rows,
       (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
        FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 100) o) AS outbox_age_s,
       (SELECT count(*) FROM workers WHERE kind = 'worker' AND lease_until > clock_timestamp()) AS workers,
       (SELECT count(*) FROM (SELECT 1 FROM dead_letters WHERE state = 'open' LIMIT 100000) d) AS letters,
       (SELECT count(*) FROM effects WHERE state = 'outcome_unknown') AS unknown_outcomes,
       (SELECT count(*) FROM switches WHERE stopped) AS stopped
"""


@dataclass
class DeskFigures:
    """One desk: what is live, what was decided since the moment that was asked for, what waits for people."""

    desk: str
    live: dict[str, int] = field(default_factory=dict)
    """By RunState."""
    ended: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    decided: int = 0
    pending_approvals: int = 0
    oldest_approval_at: datetime | None = None
    next_deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlatformFigures:
    """What is the same for every desk."""

    outbox_rows: int
    outbox_age_s: float
    workers: int
    letters: int
    """Open dead letters."""
    unknown_outcomes: int
    stopped: int
    """Switches that are off."""


class Figures:
    """Reads; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def desks(self, known: list[str], since: datetime) -> list[DeskFigures]:
        """Every known desk and every one with live runs, by name."""
        found = {desk: DeskFigures(desk) for desk in known}

        def of(desk: str) -> DeskFigures:
            return found.setdefault(desk, DeskFigures(desk))

        for row in await self._database.rows(LIVE):
            of(row["desk"]).live[LIVE_STATES[row["state"]].value] = row["n"]
        for row in await self._database.rows(TODAY, {"desks": known, "since": since}):
            one = of(row["desk"])
            one.ended[row["state"]] = one.ended.get(row["state"], 0) + row["n"]
            if row["outcome"]:
                one.outcomes[row["outcome"]] = one.outcomes.get(row["outcome"], 0) + row["n"]
                one.decided += row["n"]
        for row in await self._database.rows(WAITING):
            one = of(row["desk"])
            one.pending_approvals = row["n"]
            one.oldest_approval_at, one.next_deadline_at = row["oldest_at"], row["next_deadline_at"]
        return [found[desk] for desk in sorted(found)]

    async def platform(self) -> PlatformFigures:
        """One look."""
        (row,) = await self._database.rows(PLATFORM)
        return PlatformFigures(**(row | {"outbox_age_s": float(row["outbox_age_s"])}))

    async def schema_is_ours(self) -> bool:
        """Whether every migration of this release was applied, and no newer one.

        Raises:
            DatabaseUnreachable: no answer.
        """
        rows = await self._database.rows("SELECT version FROM schema_migrations")
        return {row["version"] for row in rows} == {migration.version for migration in migrations()}


STATES: Final = tuple(state.value for state in RunState if not state.is_final)
"""Of live runs: the values of a label."""
