"""Records that were committed with a decision and wait for their publication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from tradeloop.domain.records import Record
from tradeloop.ports import OutboxRow
from tradeloop.store.database import Database
from tradeloop.store.texts import header_json, headers_from

BATCH_BYTES: Final = 16_000_000
"""Together with the largest row: what one batch may hold of the relay's memory."""


class PostgresOutbox:
    """ports.Outbox on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(self, owner: UUID, lease_s: float) -> list[int]:
        """Take or renew every lane that is free or ours; returns the lanes that `owner` holds now."""
        rows = await self._database.rows(
            "WITH free AS MATERIALIZED (SELECT lane FROM outbox_lanes WHERE owner = %(me)s OR owner IS NULL "
            "OR lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED) "
            "UPDATE outbox_lanes l SET owner = %(me)s, fence = l.fence + (l.owner IS DISTINCT FROM %(me)s)::integer, "
            "lease_until = clock_timestamp() + make_interval(secs => %(lease)s) FROM free "
            "WHERE l.lane = free.lane RETURNING l.lane",
            {"me": owner, "lease": lease_s},
        )
        return sorted(row["lane"] for row in rows)

    async def release(self, owner: UUID) -> None:
        """Give the lanes back at once."""
        await self._database.rows(
            "UPDATE outbox_lanes SET owner = NULL, lease_until = '-infinity' WHERE owner = %s", (owner,)
        )

    async def pending(self, lanes: Sequence[int], limit: int) -> list[OutboxRow]:
        """The oldest rows of these lanes, in order, at least one and no more than fit into the memory.

        No high-water mark: late commits with smaller ids are normal.
        """
        rows = await self._database.rows(
            "SELECT id, topic, key, value, headers FROM ("
            "SELECT *, sum(length(value)) OVER (ORDER BY id) - length(value) AS before FROM ("
            "SELECT * FROM outbox WHERE lane = ANY(%s) ORDER BY id LIMIT %s) oldest) measured "
            "WHERE before < %s ORDER BY id",
            (list(lanes), limit, BATCH_BYTES),
        )
        return [
            OutboxRow(
                id=row["id"],
                record=Record(row["topic"], bytes(row["key"]), bytes(row["value"]), headers_from(row["headers"])),
            )
            for row in rows
        ]

    async def append(self, record: Record) -> None:
        """Add a record of an effect, and wake the relay."""
        await self._database.rows(
            "INSERT INTO outbox (lane, topic, key, value, headers) "
            "VALUES (outbox_lane(%(key)s), %(topic)s, %(key)s, %(value)s, %(headers)s)",
            {
                "topic": record.topic,
                "key": record.key,
                "value": record.value,
                "headers": header_json(record.headers),
            },
        )
        self._database.hint("tradeloop_outbox")

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget rows whose publication was acknowledged."""
        await self._database.rows("DELETE FROM outbox WHERE id = ANY(%s)", (list(ids),))
