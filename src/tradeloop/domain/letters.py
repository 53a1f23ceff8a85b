"""Dead letters: what could not be taken in or decided, and what people do about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from tradeloop.domain.runs import derive_id

DEAD_LETTER_STREAM: Final = derive_id("audit_stream", "dead_letters")
"""Audit stream of every replay and discard. Changing it starts a second chain."""


class LetterState(StrEnum):
    """Where a letter stands; the bytes stay in every state."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, with its original bytes."""

    letter_id: int
    source: str
    """kafka, airflow, run or outbox."""
    topic: str
    partition: int | None
    offset: int | None
    event_id: UUID | None
    run_id: UUID | None
    cause: str
    error_class: str
    stack_hash: str
    attempts: int
    graph_version: str
    raw: bytes
    state: LetterState
    decided_by: str
    reason: str
    created_at: datetime
    decided_at: datetime | None = None
    replay_run_id: UUID | None = None
    """The run that its replay made."""

    @property
    def place(self) -> str:
        """Where it was read: topic[partition]@offset; empty when it never was on a topic."""
        return f"{self.topic}[{self.partition}]@{self.offset}" if self.topic else ""


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Open letters of one kind."""

    error_class: str
    source: str
    stack_hash: str
    count: int
    first_at: datetime
    last_at: datetime
    example: int


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters; what is empty does not narrow."""

    ids: tuple[int, ...] = ()
    cause: str = ""
    """Part of the cause's text, in any case."""
    kind: str = ""
    """The error's class, as `dlq list --group` prints it."""
    source: str = ""
    topic: str = ""
    state: LetterState | None = LetterState.OPEN
    since: datetime | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the state was asked for."""
        return bool(self.ids or self.cause or self.kind or self.source or self.topic or self.since)


class ReplayResult(StrEnum):
    """What a replay came to."""

    REPLAYED = "replayed"
    SETTLED = "settled"
    """The letter is not open any more: it was replayed or discarded before."""
    DOUBLED = "doubled"
    """The event came in by another way; the letter stays open, to be discarded."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer of the store to one replay."""

    result: ReplayResult
    run_id: UUID | None = None
    """The new run, when there is one."""
    generation: int = 0
