"""From records to the inbox: readable ones arrive, the others are dead letters with their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim, new_run_id
from tradeloop.errors import EventInvalid
from tradeloop.kafka.messages import CE_ID
from tradeloop.ports import Arrival, Inbox


class Intake:
    """Takes poll batches into the inbox, each in one transaction."""

    def __init__(self, inbox: Inbox, group: str, desks: Mapping[str, str]) -> None:
        self._inbox = inbox
        self._group = group
        self._desks = desks
        """Desk by event type."""

    async def accept(self, owner: UUID, batch: Sequence[Received], slots: int) -> list[Claim]:
        """Accept the batch; afterwards it is durable. Returns the runs that `owner` may start at once."""
        arrivals: list[Arrival] = []
        dead: list[tuple[Received, DeadLetter]] = []
        for received in batch:
            try:
                arrivals.append(self._arrival(received))
            except EventInvalid as problem:
                dead.append((received, _dead_letter(received, problem)))
        return await self._inbox.accept(self._group, owner, arrivals, dead, slots)

    def _arrival(self, received: Received) -> Arrival:
        event = WorkflowEvent.from_json(received.value)
        return Arrival(
            received=received,
            event_id=event.event_id,
            event_type=event.event_type,
            desk=self._desks.get(event.event_type, ""),
            subject=event.subject,
            run_id=new_run_id(),
        )


def _dead_letter(received: Received, problem: EventInvalid) -> DeadLetter:
    try:
        event_id = UUID(received.header(CE_ID))
    except ValueError:
        event_id = None
    return DeadLetter(
        source="kafka",
        cause=problem.message,
        error_class=type(problem).__name__,
        raw=received.value,
        topic=received.topic,
        topic_id=received.topic_id,
        partition=received.partition,
        offset=received.offset,
        event_id=event_id,
    )
