"""One event's way through a graph, from intake to record."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent


class RunState(StrEnum):
    """Where a run stands; the database keeps the first letter of the live ones."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    PARKED = "waiting_for_person"
    OUTCOME_UNKNOWN = "outcome_unknown"
    VERSION_UNAVAILABLE = "version_unavailable"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNHANDLED = "unhandled"

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen any more."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({RunState.DONE, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED, RunState.UNHANDLED})


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker owns; every write on its behalf names `fence`."""

    run_id: UUID
    fence: int
    desk: str
    subject: str
    event_type: str
    event_id: UUID
    generation: int
    payload: bytes
    """The event's original bytes."""
    fails: int = 0
    takeovers: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    graph_version: str = ""
    """Of the graph that the run began with; empty when it has not begun."""
    cancel: str = ""
    """Why somebody wants the run cancelled; empty when nobody does."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: what `record` writes in one transaction."""

    claim: Claim
    state: RunState
    decision_id: UUID
    graph: str
    graph_version: str
    decision: Decision | None = None
    effect: dict[str, object] = field(default_factory=dict)
    error: str = ""
    error_class: str = ""
    stack_hash: str = ""
    event: WorkflowEvent | None = None
    """The `decision.recorded` event for the outbox; None when nothing is announced."""


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as people see it: live or finished."""

    run_id: UUID
    state: RunState
    desk: str
    subject: str
    event_id: UUID
    event_type: str
    graph: str
    graph_version: str
    appended_at: datetime
    """When the broker put the event on the log."""
    received_at: datetime
    finished_at: datetime | None
    decision_id: UUID
    """Names the run for people, and is the id of the DAG run that it starts."""
    decision: Decision | None
    effect: dict[str, object]
    error: str
    lane: str
    topic: str
    partition: int
    offset: int
    fails: int = 0


def new_run_id() -> UUID:
    """A UUIDv7 (RFC 9562): ordered by time, so that indexes grow at one end."""
    stamp = time.time_ns() // 1_000_000
    random_bits = uuid.uuid4().int
    value = (stamp & ((1 << 48) - 1)) << 80 | random_bits & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


TRADELOOP_NAMESPACE = UUID("6ba1ac7e-3f0e-5b2a-9d0e-7261646c6f70")
"""Root of all derived ids. Changing it makes every event and decision look new."""


def derive_id(*parts: object) -> UUID:
    """uuid5 over the parts, joined unambiguously: the same facts give the same id everywhere."""
    return uuid.uuid5(TRADELOOP_NAMESPACE, "\x1f".join(str(part) for part in parts))


def decision_id_of(instance: str, event_id: UUID, generation: int) -> UUID:
    """The decision's id, and with it the DAG run's: one per event and generation (replay)."""
    return derive_id(instance, "decision", event_id, generation)
