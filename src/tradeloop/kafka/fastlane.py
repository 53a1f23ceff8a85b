"""The fast lane's producer: takes records on a local queue and returns; one a process, made after the fork."""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final  # Any: confluent_kafka is untyped

from confluent_kafka import KafkaError, KafkaException, Producer

from tradeloop.domain.records import Record
from tradeloop.kafka.client import client_configuration

MESSAGE_TIMEOUT_MS: Final = 30_000
"""After this a record is the sweep's; longer would only fill the queue while the broker is away."""
QUEUE_MESSAGES: Final = 20_000
QUEUE_KBYTES: Final = 65_536
FLUSH_S: Final = 2.0
TICK_S: Final = 0.25
"""How long delivery reports and notes may lie; a smaller one wakes an idle API server more often."""

_lanes: dict[int, FastLane] = {}
_making = threading.Lock()


def lane(bootstrap: str, trace_file: str = "") -> FastLane:
    """The lane of this process, made at its first use; a forked child makes its own."""
    found = _lanes.get(os.getpid())
    if found is None:
        with _making:
            found = _lanes.get(os.getpid())
            if found is None:
                found = _lanes[os.getpid()] = FastLane(bootstrap, trace_file)
    return found


class FastLane:
    """Publishes without ever making its caller wait; a record that does not get through is left to the sweep."""

    def __init__(self, bootstrap: str, trace_file: str = "", *, message_timeout_ms: int = MESSAGE_TIMEOUT_MS) -> None:
        self._configuration = client_configuration(
            bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            message_timeout_ms=message_timeout_ms,
            queue_buffering_max_messages=QUEUE_MESSAGES,
            queue_buffering_max_kbytes=QUEUE_KBYTES,
            message_max_bytes=1_048_588,
        )
        self._producer: Any = Producer(self._configuration)
        self._pid = os.getpid()
        self.offered = self.delivered = self.expired = self.dropped = 0
        self.last_error = ""
        self._trace = Path(trace_file) if trace_file else None
        self._notes: deque[int] = deque(maxlen=100_000)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="tradeloop-fastlane", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def offer(self, records: Sequence[Record]) -> None:
        """Put the records on the local queue; what it does not take is counted and left to the sweep."""
        for record in records:
            try:
                self._producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    on_delivery=self._delivered,
                )
                self.offered += 1
            except (BufferError, KafkaException, ValueError) as problem:  # full, too large, broken for good
                self.dropped += 1
                self._note_error(problem.args[0] if isinstance(problem, KafkaException) else None, str(problem))

    def warm(self, topic: str, timeout_s: float = 2.0) -> None:
        """Connect and learn where the topic's partitions are, so that the first event pays for neither."""
        with suppress(KafkaException):  # a broker that is away now is no reason not to start
            self._producer.list_topics(topic, timeout=timeout_s)

    def note(self, wall_ns: int) -> None:
        """Keep a hook's wall time for the trace file; written by the lane's own thread."""
        if self._trace is not None:
            self._notes.append(wall_ns)

    def counters(self) -> dict[str, int | str]:
        """What became of the records so far."""
        return {
            "offered": self.offered,
            "delivered": self.delivered,
            "expired": self.expired,
            "dropped": self.dropped,
            "waiting": len(self._producer),
            "last_error": self.last_error,
        }

    def close(self) -> None:
        """Give what is queued a last chance; what is left is the sweep's."""
        if self._stopped.is_set() or os.getpid() != self._pid:  # a forked child has the object, not its threads
            return
        self._stopped.set()
        self._thread.join(timeout=2 * TICK_S)
        self._producer.flush(FLUSH_S)
        self._write_notes()
        atexit.unregister(self.close)

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.expired += 1  # a time-out means unknown, not lost
            self._note_error(error, error.str())

    def _note_error(self, error: KafkaError | None, text: str) -> None:
        self.last_error = text
        if error is not None and error.fatal():
            # An idempotent producer that has met a fatal error takes nothing any more.
            self._producer = Producer(self._configuration)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(TICK_S)
            self._write_notes()

    def _write_notes(self) -> None:
        if self._trace is None or not self._notes:
            return
        lines = []
        while self._notes:
            lines.append(json.dumps({"pid": os.getpid(), "wall_ns": self._notes.popleft()}))
        with suppress(OSError), self._trace.open("a") as file:
            file.write("\n".join(lines) + "\n")
