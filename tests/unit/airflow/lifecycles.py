"""A lifecycle sweep between an Airflow, a log and a store, all in memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from histories import settings

from tradeloop import WorkflowEvent
from tradeloop.airflow.lifecycle import Lifecycle
from tradeloop.airflow.sweep import WHOLE_EVERY_S
from tradeloop.testing.airflow_runs import MemoryRunHistory
from tradeloop.testing.log import MemoryLog
from tradeloop.testing.store import MemoryStore


class Bench:
    """`tick` always reads the whole overlap, unless it is told not to."""

    def __init__(self, **given: Any) -> None:
        self.airflow, self.log, self.store = MemoryRunHistory(), MemoryLog(), MemoryStore()
        self.settings = settings(**given)
        self.restart()

    def restart(self) -> None:
        self.lifecycle = Lifecycle(self.airflow, self.log, self.store, self.settings)

    async def tick(self, at: datetime, *, is_whole: bool = True) -> None:
        if is_whole:
            self.lifecycle._whole_at -= WHOLE_EVERY_S
        await self.lifecycle.tick(at)

    @property
    def events(self) -> list[WorkflowEvent]:
        return [WorkflowEvent.from_json(record.value) for record in self.log.records("workflow-events")]

    @property
    def types(self) -> list[str]:
        return [event.event_type for event in self.events]

    def the(self, event_type: str) -> WorkflowEvent:
        (found,) = [event for event in self.events if event.event_type == event_type]
        return found


async def crash(published: object) -> None:
    """The power fails after the broker's word."""
    raise RuntimeError("the power fails")
