"""Airflow's history and the inbox in memory, for the sweep and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from outlets import attach, context_of

from tradeloop.airflow import event
from tradeloop.ports import Accepted
from tradeloop.settings import Settings

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TYPE = "prices.loaded"
ASSET = f"tradeloop.{TYPE}"


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, instance="local", **given)


def extra_of(number: int, *, events: int = 1) -> dict[str, Any]:
    """What `emit` leaves for a task of its own, told apart by `number`."""
    context = context_of(TYPE, ti_id=UUID(int=number))
    for ordinal in range(events):
        attach(context, TYPE, {"number": number, "ordinal": ordinal}, subject=f"s{number}")
    extra: dict[str, Any] = context["outlet_events"][event(TYPE)].extra
    return extra


def ids_of(extra: dict[str, Any]) -> list[UUID]:
    return [UUID(element["id"]) for element in extra["events"]]


@dataclass
class MemoryHistory:
    """ports.CaptureHistory of one process."""

    inbox: dict[UUID, Accepted] = field(default_factory=dict)
    letters: set[UUID] = field(default_factory=set)
    doubles: dict[UUID, datetime] = field(default_factory=dict)

    def take(self, event_id: UUID, at: datetime, *, lane: str = "fast", runs: int = 1) -> None:
        self.inbox[event_id] = Accepted(event_id, lane, at, runs)

    async def accepted(self, event_ids: Sequence[UUID]) -> list[Accepted]:
        return [self.inbox[event_id] for event_id in event_ids if event_id in self.inbox]

    async def captured_between(self, since: datetime, until: datetime) -> list[Accepted]:
        return [known for known in self.inbox.values() if since <= known.received_at < until]

    async def dropped_doubles(self, since: datetime, until: datetime) -> int:
        return sum(since <= at < until for at in self.doubles.values())

    async def buried(self, event_ids: Sequence[UUID]) -> set[UUID]:
        return self.letters & set(event_ids)
