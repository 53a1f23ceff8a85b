"""From records to the inbox: readable ones arrive, the others are dead letters with their bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from tradeloop.domain.events import MAX_EVENT_BYTES, WorkflowEvent
from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim, new_run_id
from tradeloop.engine.parsed import ParsedEvents
from tradeloop.errors import EventInvalid, TradeloopError
from tradeloop.kafka.messages import CE_ID
from tradeloop.ports import Arrival, Inbox

log = structlog.get_logger()
Item = Arrival | tuple[Received, DeadLetter]


class Intake:
    """Takes poll batches into the inbox, each in one transaction."""

    def __init__(
        self,
        inbox: Inbox,
        group: str,
        desks: Mapping[str, str],
        versions: Mapping[str, str] | None = None,
        parsed: ParsedEvents | None = None,
    ) -> None:
        """`desks` and `versions` (of the graphs) are by event type; what is read is kept in `parsed` for the runner."""
        self._parsed = parsed
        self._inbox = inbox
        self._group = group
        self._desks = desks
        self._versions = versions or {}

    def read(self, batch: Sequence[Received]) -> list[Item]:
        """What each record is: an event, or a dead letter."""
        return [self._item(received) for received in batch]

    def demand(self, items: Sequence[Item]) -> dict[str, int]:
        """How many events each desk has to answer."""
        return Counter(item.desk for item in items if isinstance(item, Arrival) and item.desk)

    async def store(self, owner: UUID, items: Sequence[Item], quotas: Mapping[str, int]) -> list[Claim]:
        """Make them durable, and claim up to `quotas` runs of each desk for `owner`, who may start those at once.

        What the store refuses is cut in halves, in order, so that only the culprit is a dead letter.
        """
        arrivals = [item for item in items if isinstance(item, Arrival)]
        dead = [item for item in items if not isinstance(item, Arrival)]
        try:
            return await self._inbox.accept(self._group, owner, arrivals, dead, sum(quotas.values()), quotas)
        except TradeloopError:
            raise
        except Exception as problem:
            if len(items) > 1:
                middle = len(items) // 2
                claims = await self.store(owner, items[:middle], quotas)
                taken = Counter(claim.desk for claim in claims)
                left = {desk: count - taken[desk] for desk, count in quotas.items()}
                return claims + await self.store(owner, items[middle:], left)
            if not arrivals:
                raise
            received = arrivals[0].received
            log.error("record_not_accepted", topic=received.topic, offset=received.offset, error=str(problem))
            return await self.store(owner, [(received, _dead_letter(received, problem))], quotas)

    def _item(self, received: Received) -> Item:
        try:
            return self._arrival(received)
        except EventInvalid as problem:
            return received, _dead_letter(received, problem)

    def _arrival(self, received: Received) -> Arrival:
        event, run_id = WorkflowEvent.from_json(received.value), new_run_id()
        if self._parsed is not None and event.event_type in self._desks:
            self._parsed.keep(run_id, event, len(received.value))
        return Arrival(
            received=received,
            event_id=event.event_id,
            event_type=event.event_type,
            desk=self._desks.get(event.event_type, ""),
            subject=event.subject,
            run_id=run_id,
            graph_version=self._versions.get(event.event_type, ""),
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
