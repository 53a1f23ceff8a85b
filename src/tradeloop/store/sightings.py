"""Where an event was seen: on which topic and lane, how often, and what its bytes were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tradeloop.errors import NotFound
from tradeloop.store.database import Database
from tradeloop.store.history import ambiguous, id_bounds


@dataclass(frozen=True, slots=True)
class Sighting:
    """One arrival of an event."""

    topic: str
    partition: int
    offset: int
    lane: str
    at: datetime
    is_accepted: bool
    """False when the event was known already and this arrival changed nothing."""
    differs: bool = False
    """Whether this arrival said something else under the same id."""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event with its original bytes and all its arrivals."""

    event_id: UUID
    event_type: str
    subject: str
    desk: str
    payload: bytes
    headers: list[tuple[str, str]]
    sightings: list[Sighting]


class Sightings:
    """Reads events; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, prefix: str) -> EventView:
        """The event whose id begins with `prefix`.

        Raises:
            NotFound: none.
            Ambiguous: several.
        """
        low, high = id_bounds(prefix)
        rows = await self._database.rows(
            "SELECT DISTINCT ON (event_id) * FROM inbox WHERE event_id BETWEEN %s AND %s "
            "ORDER BY event_id, run_id LIMIT 11",
            (low, high),
        )
        if not rows:
            raise NotFound(f"no event begins with {prefix!r}.", hint="tradeloop events tail, or tradeloop dlq list")
        if len(rows) > 1:
            raise ambiguous("event", prefix, [row["event_id"] for row in rows])
        (row,) = rows
        again = await self._database.rows(
            'SELECT partition, "offset", lane, seen_at, differs FROM inbox_doubles WHERE event_id = %s '
            "ORDER BY seen_at",
            (row["event_id"],),
        )
        first = Sighting(row["topic"], row["partition"], row["offset"], row["lane"], row["received_at"], True)
        doubles = [
            Sighting(row["topic"], a["partition"], a["offset"], a["lane"], a["seen_at"], False, a["differs"])
            for a in again
        ]
        return EventView(
            event_id=row["event_id"],
            event_type=row["event_type"],
            subject=row["subject"],
            desk=row["desk"],
            payload=self._database.cipher.open(bytes(row["payload"])),
            headers=[(name, value) for name, value in row["headers"]],
            sightings=[first, *doubles],
        )
