"""What the sweep remembers, and what the capture audit compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.domain.records import DeadLetter
from tradeloop.ports import Accepted
from tradeloop.store.database import Database
from tradeloop.store.texts import storable


class PostgresCaptures:
    """ports.Captures on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self, name: str) -> datetime | None:
        """Where the sweep called `name` has got to."""
        row = await self._database.row("SELECT at FROM capture_cursors WHERE name = %s", (name,))
        return row["at"] if row else None

    async def move_cursor(self, name: str, to: datetime) -> None:
        """Move on; never back."""
        await self._database.rows(
            "INSERT INTO capture_cursors (name, at) VALUES (%s, %s) ON CONFLICT (name) "
            "DO UPDATE SET at = greatest(capture_cursors.at, excluded.at), moved_at = now()",
            (name, to),
        )

    async def known(self, event_ids: Sequence[UUID]) -> set[UUID]:
        """Which of these the sweep has published, the inbox has accepted, or lie among the dead letters."""
        rows = await self._database.rows(
            "SELECT event_id FROM captured WHERE event_id = ANY(%(ids)s) "
            "UNION SELECT event_id FROM inbox_keys WHERE event_id = ANY(%(ids)s) "
            "UNION SELECT event_id FROM dead_letters WHERE source = 'airflow' AND event_id = ANY(%(ids)s)",
            {"ids": list(event_ids)},
        )
        return {row["event_id"] for row in rows}

    async def remember(self, published: Sequence[tuple[UUID, Mapping[str, JsonValue]]]) -> None:
        """Keep the ids that the sweep has published."""
        await self._database.rows(
            "INSERT INTO captured (event_id, origin) SELECT * FROM unnest(%s::uuid[], %s::jsonb[]) "
            "ON CONFLICT DO NOTHING",
            ([event_id for event_id, _ in published], [Jsonb(dict(origin)) for _, origin in published]),
        )

    async def bind(self, wanted: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Give each key its event id, unless it has one already; returns the id of each key."""
        keys = sorted(wanted)
        await self._database.rows(
            "INSERT INTO captured (event_id, origin) SELECT * FROM unnest(%s::uuid[], %s::jsonb[]) "
            "ON CONFLICT DO NOTHING",
            (keys, [Jsonb({"event_id": str(wanted[key])}) for key in keys]),
        )
        rows = await self._database.rows(
            "SELECT event_id AS key, origin->>'event_id' AS bound FROM captured WHERE event_id = ANY(%s)", (keys,)
        )
        return {row["key"]: UUID(row["bound"]) for row in rows}

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters of the capture edge; the same letter twice is one row."""
        await self._database.rows(
            "INSERT INTO dead_letters (source, event_id, cause, error_class, raw) "
            "SELECT * FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::text[], %s::bytea[]) ON CONFLICT DO NOTHING",
            (
                [letter.source for letter in letters],
                [letter.event_id for letter in letters],
                [storable(letter.cause) for letter in letters],
                [letter.error_class for letter in letters],
                [self._database.cipher.close(letter.raw) for letter in letters],
            ),
        )

    async def forget(self, older_than_h: int = 72) -> int:
        """Drop remembered ids that no window can reach any more; returns how many."""
        rows = await self._database.rows(
            "DELETE FROM captured WHERE ctid = ANY(ARRAY(SELECT ctid FROM captured "
            "WHERE seen_at < now() - make_interval(hours => %s) LIMIT 5000)) RETURNING 1",
            (older_than_h,),
        )
        return len(rows)


class PostgresCaptureHistory:
    """ports.CaptureHistory on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accepted(self, event_ids: Sequence[UUID]) -> list[Accepted]:
        """Those of these events that are in the inbox."""
        rows = await self._database.rows(
            "SELECT k.event_id, min(i.lane) AS lane, min(i.received_at) AS received_at, "
            "count(*) - min(k.generation) AS runs FROM inbox_keys k JOIN inbox i ON i.event_id = k.event_id "
            "WHERE k.event_id = ANY(%s) GROUP BY k.event_id",
            (list(event_ids),),
        )
        return [Accepted(row["event_id"], row["lane"], row["received_at"], row["runs"]) for row in rows]

    async def captured_between(self, since: datetime, until: datetime) -> list[Accepted]:
        """Events of assets that a capture lane brought and the inbox received in this time; no lifecycle events."""
        rows = await self._database.rows(
            "SELECT event_id, lane, received_at FROM inbox WHERE lane IN ('fast', 'sweep') "
            "AND received_at >= %s AND received_at < %s AND event_type <> ALL(%s)",
            (since, until, [kind.value for kind in LifecycleType]),
        )
        return [Accepted(row["event_id"], row["lane"], row["received_at"], 1) for row in rows]

    async def dropped_doubles(self, since: datetime, until: datetime) -> int:
        """Events that arrived again and were dropped."""
        row = await self._database.row(
            "SELECT count(DISTINCT event_id) AS n FROM inbox_doubles WHERE seen_at >= %s AND seen_at < %s",
            (since, until),
        )
        return int(row["n"]) if row else 0

    async def buried(self, event_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these events that lie among the dead letters."""
        rows = await self._database.rows(
            "SELECT event_id FROM dead_letters WHERE event_id = ANY(%s) AND source IN ('airflow', 'kafka')",
            (list(event_ids),),
        )
        return {row["event_id"] for row in rows}
