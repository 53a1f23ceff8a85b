"""Events that come in through the API: into the outbox, each once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tradeloop.domain.records import Record
from tradeloop.store.database import Database
from tradeloop.store.texts import header_json, storable


@dataclass(frozen=True, slots=True)
class Triggered:
    """What became of a trigger."""

    is_first: bool
    digest: str
    """Of the body that the event was first triggered with."""


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """An event that was triggered here; its run may not have begun."""

    event_id: UUID
    principal: str
    event_type: str
    triggered_at: datetime


class Triggers:
    """Writes events to the outbox, for the relay to publish."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def trigger(
        self, event_id: UUID, record: Record, *, digest: str, principal: str, event_type: str
    ) -> Triggered:
        """One small statement: whole, or not at all. An event id that was triggered before writes nothing."""
        row = await self._database.row(
            "SELECT * FROM trigger_event(%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                event_id,
                digest,
                storable(principal),
                event_type,
                record.topic,
                record.key,
                record.value,
                header_json(record.headers),
            ),
        )
        assert row is not None  # noqa: S101 - the function returns a row on every way
        self._database.hint("tradeloop_outbox")
        return Triggered(row["first"], row["digest"])

    async def find(self, event_id: UUID) -> OnItsWay | None:
        """What was triggered under this id; None: nothing was, or it is over its time."""
        row = await self._database.row(
            "SELECT event_id, principal, event_type, triggered_at FROM api_triggers WHERE event_id = %s", (event_id,)
        )
        return OnItsWay(**row) if row else None
