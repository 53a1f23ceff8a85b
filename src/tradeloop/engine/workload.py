"""Where a worker's events come from, and how much it may take on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tradeloop.domain.records import Received


class Source(Protocol):
    """Where batches come from."""

    async def batch(self) -> list[Received]:
        """The next records; waits until there are some."""
        ...

    def done(self, batch: Sequence[Received]) -> None:
        """The batch is durable."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker may take on."""

    desks: tuple[str, ...]
    decisions_topic: str
    concurrency: int = 32
    lease_s: float = 15.0
    drain_s: float = 20.0
    """How long runs in hand may go on after the stop."""
    build: str = ""
    backlog: int = 50_000
    """Queued runs from which on intake pauses: the broker keeps the rest."""
