"""A sweep between an Airflow, a log and a store, all in memory."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from histories import settings

from tradeloop import WorkflowEvent
from tradeloop.airflow.sweep import CURSOR, WHOLE_EVERY_S, Sweep
from tradeloop.testing.airflow import MemoryAirflow
from tradeloop.testing.log import MemoryLog
from tradeloop.testing.store import MemoryStore

TOPIC = "workflow-events"


class Bench:
    """`tick` reads the whole overlap, unless it is told not to."""

    def __init__(self) -> None:
        self.airflow, self.log, self.store = MemoryAirflow(), MemoryLog(), MemoryStore()
        self.restart()

    def restart(self) -> None:
        self.sweep = self.another()

    def another(self) -> Sweep:
        return Sweep(self.airflow, self.log, self.store, settings())

    async def tick(self, at: datetime, *, is_whole: bool = True) -> None:
        if is_whole:
            self.sweep._whole_at -= WHOLE_EVERY_S
        await self.sweep.tick(at)

    @property
    def published(self) -> list[UUID]:
        return [WorkflowEvent.from_json(record.value).event_id for record in self.log.records(TOPIC)]

    async def cursor(self) -> datetime | None:
        return await self.store.cursor(CURSOR)
