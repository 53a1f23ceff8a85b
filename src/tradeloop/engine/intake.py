"""From records to the inbox: readable ones arrive, the others are dead letters with their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from tradeloop.domain.events import MAX_EVENT_BYTES, WorkflowEvent
from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim, new_run_id
from tradeloop.errors import EventInvalid, TradeloopError
from tradeloop.kafka.messages import CE_ID
from tradeloop.ports import Arrival, Inbox

log = structlog.get_logger()
Item = Arrival | tuple[Received, DeadLetter]


class Intake:
    """Takes poll batches into the inbox, each in one transaction."""

    def __init__(self, inbox: Inbox, group: str, desks: Mapping[str, str]) -> None:
        self._inbox = inbox
        self._group = group
        self._desks = desks
        """Desk by event type."""

    async def accept(self, owner: UUID, batch: Sequence[Received], slots: int) -> list[Claim]:
        """Accept the batch; afterwards it is durable. Returns the runs that `owner` may start at once."""
        return await self._store(owner, [self._item(received) for received in batch], slots)

    async def _store(self, owner: UUID, items: list[Item], slots: int) -> list[Claim]:
        """Store together; cut what the store refuses in halves, in order, so that only the culprit is a dead letter."""
        arrivals = [item for item in items if isinstance(item, Arrival)]
        dead = [item for item in items if not isinstance(item, Arrival)]
        try:
            return await self._inbox.accept(self._group, owner, arrivals, dead, slots)
        except TradeloopError:
            raise
        except Exception as problem:
            if len(items) > 1:
                middle = len(items) // 2
                claims = await self._store(owner, items[:middle], slots)
                return claims + await self._store(owner, items[middle:], slots - len(claims))
            if not arrivals:
                raise
            received = arrivals[0].received
            log.error("record_not_accepted", topic=received.topic, offset=received.offset, error=str(problem))
            return await self._store(owner, [(received, _dead_letter(received, problem))], slots)

    def _item(self, received: Received) -> Item:
        try:
            return self._arrival(received)
        except EventInvalid as problem:
            return received, _dead_letter(received, problem)

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


def _dead_letter(received: Received, problem: Exception) -> DeadLetter:
    try:
        event_id = UUID(received.header(CE_ID))
    except ValueError:
        event_id = None
    return DeadLetter(
        source="kafka",
        cause=str(problem),
        error_class=type(problem).__name__,
        raw=received.value[:MAX_EVENT_BYTES],  # more, with the headers of the mirrored record, no topic takes
        topic=received.topic,
        topic_id=received.topic_id,
        partition=received.partition,
        offset=received.offset,
        event_id=event_id,
    )
