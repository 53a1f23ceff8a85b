"""One run in hand: its ledger, and workers that call, die and take over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from tradeloop import Action, WorkflowEvent
from tradeloop.domain.actions import Effect
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, new_run_id
from tradeloop.engine.effects import LedgeredActing
from tradeloop.gate.allowed import Allowed
from tradeloop.ports import Arrival
from tradeloop.testing.store import MemoryStore

DECISION = UUID("0b1e77aa-0000-5000-8000-000000000001")


def event(**more: Any) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": "prices.loaded",
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "tests",
            "workflow_id": "load",
            "workflow_run_id": "manual__1",
            "subject": "SPX/2009-07",
            **more,
        }
    )


@dataclass
class Hand:
    effector: Any
    store: MemoryStore = field(default_factory=MemoryStore)
    cause: WorkflowEvent = field(default_factory=event)
    owner: UUID = field(default_factory=uuid4)

    async def begin(self) -> Hand:
        received = Received("events", UUID(int=1), 0, 0, b"s", self.cause.to_json().encode())
        run = Arrival(received, self.cause.event_id, self.cause.event_type, "prices", "s", new_run_id())
        await self.store.enlist(self.owner, "test", 60)
        (self.claim,) = await self.store.accept("g", self.owner, [run], [], 1)
        return self

    def acting(self, allowed: tuple[Allowed, ...] | None = None) -> LedgeredActing:
        effectors = {self.effector.kind: self.effector}
        return LedgeredActing(self.store, effectors, self.owner, self.claim, DECISION, self.cause, allowed)

    async def perform(self, action: Action) -> dict[str, Any]:
        return await self.acting().perform("act", action)

    async def taken_over(self) -> Claim:
        """The owner's lease ends; another worker owns the run from now on."""
        await self.store.renew(self.owner, -1.0)
        await self.store.take_over()
        self.owner = uuid4()
        await self.store.enlist(self.owner, "test", 60)
        (self.claim,) = await self.store.claim(self.owner, ["prices"], 1)
        return self.claim

    @property
    def effect(self) -> Effect:
        (found,) = self.store.effects.values()
        return found

    @property
    def state(self) -> str:
        return self.effect.state.value
