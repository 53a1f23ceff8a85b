"""Errors of events, of batches by reference, and of their publication. The tree is drawn in `tradeloop.errors`."""

from __future__ import annotations

from tradeloop.errors.root import TradeloopError


class EventInvalid(TradeloopError):
    """The bytes are no event."""

    actor = "producer"


class EventNotJson(EventInvalid):
    """The bytes are not JSON, or JSON with two meanings."""


class EventTooLarge(EventInvalid):
    """The event has more bytes than a topic takes."""


class SchemaFromFuture(EventInvalid):
    """The event was written by a newer release of tradeloop than this one."""


class EventIdReused(EventInvalid):
    """An event with this id and other content was accepted before."""


class EventRedacted(EventInvalid):
    """The event's body does not match its digest: something masked it on its way."""


class ReferenceInvalid(TradeloopError):
    """The batch that the event refers to is missing, foreign or altered."""

    actor = "producer"


class ReferenceUnreachable(ReferenceInvalid):
    """The store of the batch did not answer, or not in time."""

    retriable = True


class PublishFailed(TradeloopError):
    """The broker did not acknowledge every record."""

    actor = "platform"
    retriable = True

    def __init__(self, message: str = "", *, acknowledged: frozenset[int] = frozenset()) -> None:
        super().__init__(message)
        self.acknowledged = acknowledged
        """Which of the records, by their place in the call, are on the log all the same."""


class OutboxUnusable(TradeloopError):
    """The file that keeps events while Kafka is away can be neither read nor written."""

    def __init__(self, message: str = "", *, acknowledged: frozenset[int] = frozenset(), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.acknowledged = acknowledged
        """Which of the events, by their place in the call, are on the log; the others may be published again."""
