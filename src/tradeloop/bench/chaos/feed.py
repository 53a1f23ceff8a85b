"""Events at a steady rate, some of them twice, whatever happens to the broker meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self  # Any: confluent_kafka is untyped
from uuid import NAMESPACE_URL, UUID, uuid5

from confluent_kafka import KafkaError, Producer

from tradeloop.bench.chaos.workflow import ASKED
from tradeloop.domain.events import EventPayload, WorkflowEvent
from tradeloop.kafka.client import client_configuration
from tradeloop.kafka.messages import to_record

SUBJECTS: Final = 24
DOUBLES: Final = 0.1
"""Share of events that come a second time, as a second lane would bring them."""
DOUBLE_AFTER: Final = 40
"""At most so many events later: before and after the first one was decided."""


@dataclass(slots=True)
class Sent:
    """An event that was given to the producer."""

    event_id: UUID
    subject: str
    place: int
    """Its number among the events of its subject."""
    effect: str
    at: float
    """Monotonic."""
    acknowledged: bool = False


@dataclass
class Plan:
    """The events in order, drawn from a seed alone."""

    seed: int
    effects: tuple[str, ...]
    """Kinds of effect, as often as they shall be drawn."""
    _dice: random.Random = field(init=False)
    _places: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _number: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(f"events {self.seed}")  # noqa: S311 - test data, no secret

    def next(self) -> tuple[Sent, WorkflowEvent, int]:
        """The next event, and after how many others it comes again (0: never)."""
        dice, self._number = self._dice, self._number + 1
        subject = f"subject-{dice.randrange(SUBJECTS):02}"
        self._places[subject] += 1
        sent = Sent(
            event_id=uuid5(NAMESPACE_URL, f"chaos:{self.seed}:{self._number}"),
            subject=subject,
            place=self._places[subject],
            effect=dice.choice(self.effects),
            at=0.0,
        )
        data = {"effect": sent.effect, "place": sent.place, "work_ms": dice.randrange(20, 300)}
        event = WorkflowEvent(
            event_id=sent.event_id,
            event_type=ASKED,
            timestamp=datetime.now(UTC),
            source="chaos",
            workflow_id="chaos",
            workflow_run_id=f"chaos-{self.seed}",
            subject=subject,
            payload=EventPayload(data=data),
        )
        again = dice.randrange(1, DOUBLE_AFTER) if dice.random() < DOUBLES else 0
        return sent, event, again


class Feed:
    """Produces the plan's events from the moment it is entered until `finish`."""

    def __init__(self, bootstrap: str, topic: str, plan: Plan, rate: float) -> None:
        self._topic, self._plan, self._rate = topic, plan, rate
        self._producer: Any = Producer(
            client_configuration(bootstrap, enable_idempotence=True, acks="all", linger_ms=2, message_timeout_ms=0)
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feed", daemon=True)
        self._waiting: deque[tuple[int, WorkflowEvent]] = deque()
        self.sent: dict[UUID, Sent] = {}
        self.doubles = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(10)
        self._producer.purge()

    def finish(self, within_s: float) -> int:
        """Send no more; how many events the broker has not acknowledged in time."""
        self._stopped.set()
        self._thread.join(10)
        return int(self._producer.flush(within_s))

    def _feed(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            due += 1 / self._rate
            sent, event, again = self._plan.next()
            sent.at = time.monotonic()
            self.sent[sent.event_id] = sent
            self._produce(event)
            if again:
                self._waiting.append((len(self.sent) + again, event))
            self._repeat_what_is_due()
            while not self._stopped.is_set() and (left_s := due - time.monotonic()) > 0:
                self._producer.poll(min(left_s, 0.1))

    def _repeat_what_is_due(self) -> None:
        for _ in range(len(self._waiting)):
            due, event = self._waiting.popleft()
            if due <= len(self.sent):
                self.doubles += 1
                self._produce(event)
            else:
                self._waiting.append((due, event))

    def _produce(self, event: WorkflowEvent) -> None:
        record = to_record(event, self._topic)

        def note(error: KafkaError | None, _: Any) -> None:
            if error is None:
                self.sent[event.event_id].acknowledged = True

        self._producer.produce(
            record.topic, value=record.value, key=record.key, headers=list(record.headers), on_delivery=note
        )
