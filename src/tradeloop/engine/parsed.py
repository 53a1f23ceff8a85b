"""Events that were read already: a run that starts soon after its intake need not read its bytes again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from uuid import UUID

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.runs import Claim

KEPT: Final = 2_000
"""Events beyond these are read again when they start: the memory of a worker must not grow with the backlog."""
LARGEST_BYTES: Final = 16_000
"""A larger event is read again: the few of them would push out all others."""


class ParsedEvents:
    """The events of runs that a worker took in itself, the last ones only."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._events: OrderedDict[UUID, WorkflowEvent] = OrderedDict()

    def keep(self, run_id: UUID, event: WorkflowEvent, size_bytes: int) -> None:
        """Remember the event of a run."""
        if size_bytes > LARGEST_BYTES:
            return
        self._events[run_id] = event
        if len(self._events) > self._kept:
            self._events.popitem(last=False)

    def take(self, claim: Claim) -> WorkflowEvent:
        """The event of a claimed run, from memory or from its bytes.

        Raises:
            EventInvalid: the bytes are no event.
        """
        return self._events.pop(claim.run_id, None) or WorkflowEvent.from_json(claim.payload)
