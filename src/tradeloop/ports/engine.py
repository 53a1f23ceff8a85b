"""What the engine needs from stores and brokers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.actions import Action, Begun, Effect, EffectState, TargetClass
from tradeloop.domain.letters import Letter, LetterFilter, Replay
from tradeloop.domain.records import DeadLetter, Delivery, Received, Record
from tradeloop.domain.runs import Claim, Outcome, RunState
from tradeloop.domain.switches import AskedRelease, Switch

TopicPartition = tuple[UUID, int]
"""Kafka's topic id and the partition's number."""


class Publisher(Protocol):
    """Puts records on the log."""

    async def publish(self, records: Sequence[Record]) -> list[Delivery]:
        """Return once the broker has acknowledged every record; order per key is kept.

        Raises:
            PublishFailed: at least one record was not acknowledged; publishing all again is safe (doubles, no gap).
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A readable record on its way into the inbox."""

    received: Received
    event_id: UUID
    event_type: str
    desk: str
    """Empty when no workflow handles the type: recorded as unhandled."""
    subject: str
    run_id: UUID
    graph_version: str = ""
    """Of this worker's graph for the type: stamped on the run when it starts at once."""


class Inbox(Protocol):
    """Durable intake."""

    async def positions(self, group: str, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Next offset of each partition that has been read before."""
        ...

    async def accept(
        self,
        group: str,
        owner: UUID,
        arrivals: Sequence[Arrival],
        dead: Sequence[tuple[Received, DeadLetter]],
        slots: int,
        quotas: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        """Take a poll batch in, in one transaction, and claim up to `slots` of its runs for `owner`.

        With `quotas`, up to so many of each desk instead, and none of a desk that is not named.

        Accepted means durable: afterwards the offsets may be committed. Records below the stored position and
        events that were accepted before change nothing. The order of `arrivals` is the order per subject.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tended:
    """What `Runs.tend` found to do."""

    heads: int = 0
    """Subjects without a head: 0 unless something is broken."""
    unserved: int = 0
    """Runs that stopped as version_unavailable."""
    served: int = 0
    """Runs that found a worker with their version again."""


class Runs(Protocol):
    """Ownership of runs, from claim to record."""

    async def enlist(self, owner: UUID, build: str, lease_s: float, graphs: Sequence[str] = ()) -> None:
        """Make `owner` known, with a lease and the graph versions that it can run."""
        ...

    async def renew(self, owner: UUID, lease_s: float) -> bool:
        """Heartbeat; False when the lease had ended and others took the runs over."""
        ...

    async def retire(self, owner: UUID) -> None:
        """Give back every run and the lease."""
        ...

    async def take_over(self) -> int:
        """Bury workers whose lease ended, requeue what nobody owns, wake what is due; returns how many."""
        ...

    async def claim(
        self,
        owner: UUID,
        desks: Sequence[str],
        limit: int,
        *,
        quotas: Mapping[str, int] | None = None,
        graphs: Sequence[tuple[str, str]] | None = None,
    ) -> list[Claim]:
        """Own up to `limit` runs: only the head of a subject, the oldest first, up to `quotas` of each desk.

        `graphs` are event types and versions, of each type the present version first: other runs are left alone, and
        one without a version gets the present one.
        """
        ...

    async def tend(self, grace_s: float) -> Tended:
        """Repair missing heads; stop runs whose graph version no live worker has had for `grace_s`, and wake them."""
        ...

    async def cancellable(self, owner: UUID) -> Mapping[UUID, str]:
        """Of the runs in hand those that somebody wants cancelled, with the reason, and that began no effect."""
        ...

    async def backlog(self, limit: int) -> int:
        """How many runs are queued; counted up to `limit`."""
        ...

    async def owned(self, owner: UUID) -> list[Claim]:
        """Every run that `owner` owns: some of them unknown to it, when the answer to a claim was lost."""
        ...

    async def retry(self, owner: UUID, claim: Claim, delay_s: float, error: str) -> bool:
        """Let the run rest and come back; False when another worker owns it."""
        ...

    async def suspend(self, owner: UUID, claim: Claim, state: RunState, reason: str) -> bool:
        """Leave the run until somebody acts (OUTCOME_UNKNOWN or VERSION_UNAVAILABLE); False when it was lost.

        When no effect of the run is unknown any more, it is queued instead of suspended.
        """
        ...

    async def record(self, owner: UUID, outcomes: Sequence[Outcome], decisions_topic: str) -> set[UUID]:
        """Write decision, audit record, outbox row and the run's end in one transaction.

        Returns the runs that were recorded; one that is missing was lost to another worker, or recorded before.
        """
        ...


class Letters(Protocol):
    """Dead letters, and the two answers to one."""

    async def find(self, letter_id: int) -> Letter:
        """The letter of that number; NotFound when there is none."""
        ...

    async def after(self, letter_id: int, wanted: LetterFilter, limit: int) -> list[Letter]:
        """Matching letters with a larger number, the oldest first."""
        ...

    async def count(self, wanted: LetterFilter) -> int:
        """How many letters match."""
        ...

    async def replay(self, letter_id: int, arrival: Arrival, by: str) -> Replay:
        """Put the letter's event back through the inbox, in one transaction, and write the audit record.

        Of a failed run the event enters as the next generation, once: the generation that the letter knows must be
        the newest. An event that never was in enters as generation 0, unless it has come in another way. Either way
        it is the last of its subject.
        """
        ...

    async def discard(self, letter_id: int, by: str, reason: str) -> bool:
        """Give the letter up and keep it, with an audit record; False when it is not open."""
        ...


class EffectLedger(Protocol):
    """Rows of intended and done side effects: one an event and slot."""

    async def prepare(self, owner: UUID, claim: Claim, slot: str, decision_id: UUID, action: Action) -> Effect:
        """Write the effect down, or read what stands there: the first action of a slot is *the* action.

        One that has certainly not happened gives way: failed in an earlier run, or never called by an earlier owner.
        """
        ...

    async def begin(
        self,
        owner: UUID,
        claim: Claim,
        key: str,
        target_class: TargetClass,
        within_s: float,
        *,
        gated: bool = False,
    ) -> Begun:
        """What to do next, committed before it is done, or that a switch or a missing approval stands in the way.

        `within_s` bounds how long an unclear answer may last. What people were asked about begins only with a standing
        approval of exactly this action; with `gated` so does what nobody was asked about.
        """
        ...

    async def refuse(self, owner: UUID, claim: Claim, key: str, kind: str, reason: str) -> bool:
        """prepared -> failed: policy or people said no, and nothing was called; `kind` names the audit record.

        False: another worker owns the run.
        """
        ...

    async def stopped(self, desk: str) -> str:
        """Why effects of the desk are stopped by its switch or the global one; empty when they are not."""
        ...

    async def doubt(self, owner: UUID, claim: Claim, key: str, reason: str) -> bool:
        """executing -> outcome_unknown; False when the run was lost or the truth came in between."""
        ...

    async def finish(
        self, owner: UUID, claim: Claim, key: str, *, executed: bool, result: Mapping[str, JsonValue], error: str
    ) -> None:
        """-> executed or failed: that it was done is taken from whoever did it, a no only from the last caller."""
        ...

    async def block(self, owner: UUID, claim: Claim, key: str, reason: str) -> None:
        """executing -> prepared, by the last caller: the target refused for a reason that can pass."""
        ...

    async def resolve(self, key: str, outcome: EffectState, by: str, reason: str) -> Effect:
        """outcome_unknown -> executed, failed or prepared (do it), by a person, audited; the run is queued again."""
        ...


class Switches(Protocol):
    """The kill switch: `global` and `desk:NAME`. Stopped effects wait, and begin no later than at the release."""

    async def all(self) -> list[Switch]:
        """Every switch that was ever turned."""
        ...

    async def turn(self, scope: str, *, stopped: bool, by: str, reason: str) -> bool:
        """Stop or release, audited; no effect begins after a stop returned. False when it stood so already.

        A stop cancels the release that somebody asked for, of this switch; the first stop of all, every one's.

        Raises:
            Forbidden: a release, and people are configured: then two of them release.
        """
        ...

    async def ask_release(self, scope: str, *, by: str, reason: str, valid_s: float) -> AskedRelease | None:
        """Ask that a switch be released; audited. None when it is not stopped. Asked again by the same, it is anew.

        Raises:
            ReleaseRefused: somebody else asks already.
        """
        ...

    async def asked_release(self, release_id: UUID) -> AskedRelease:
        """What was asked, whatever became of it. Raises NotFound."""
        ...

    async def confirm_release(self, release_id: UUID, *, by: str) -> bool:
        """Release what another asked for; audited. False when the same person confirmed it before.

        Raises:
            Forbidden: the same person asked for it.
            NotFound: nobody asked for it.
            ReleaseRefused: too late, cancelled by a stop, or another confirmed it.
        """
        ...


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits for its publication."""

    id: int
    record: Record


class Outbox(Protocol):
    """Rows that were committed with the decision and are published afterwards."""

    async def hold(self, owner: UUID, lease_s: float) -> list[int]:
        """Take or renew every lane that is free or ours; returns the lanes that `owner` holds now."""
        ...

    async def release(self, owner: UUID) -> None:
        """Give the lanes back at once."""
        ...

    async def pending(self, lanes: Sequence[int], limit: int) -> list[OutboxRow]:
        """The oldest rows of these lanes, in order."""
        ...

    async def append(self, record: Record) -> None:
        """Add a record of an effect; what belongs to a decision comes with the run's record."""
        ...

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget rows whose publication was acknowledged."""
        ...


class Captures(Protocol):
    """What the sweep remembers."""

    async def cursor(self, name: str) -> datetime | None:
        """Where the sweep called `name` has got to."""
        ...

    async def move_cursor(self, name: str, to: datetime) -> None:
        """Move on; only after the broker has acknowledged everything before `to`."""
        ...

    async def known(self, event_ids: Sequence[UUID]) -> set[UUID]:
        """Which of these the sweep has published or the inbox has accepted."""
        ...

    async def remember(self, published: Sequence[tuple[UUID, Mapping[str, JsonValue]]]) -> None:
        """Keep the ids that the sweep has published (72 h), with where they came from."""
        ...

    async def bind(self, wanted: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Give each key its event id, unless it has one already: the first one stays. Returns the id of each key.

        Written before anything is published, so that what has two possible ids never gets both.
        """
        ...

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters of the capture edge; the same letter twice is one row."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event of the capture lanes as the inbox knows it."""

    event_id: UUID
    lane: str
    received_at: datetime
    runs: int
    """How many runs it has; replays are not counted."""


class CaptureHistory(Protocol):
    """What the audit asks the store."""

    async def accepted(self, event_ids: Sequence[UUID]) -> list[Accepted]:
        """Those of these events that are in the inbox."""
        ...

    async def captured_between(self, since: datetime, until: datetime) -> list[Accepted]:
        """Events of assets that a capture lane brought and the inbox received in this time; no lifecycle events."""
        ...

    async def dropped_doubles(self, since: datetime, until: datetime) -> int:
        """Events that arrived again and were dropped."""
        ...

    async def buried(self, event_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these events that lie among the dead letters."""
        ...


@runtime_checkable
class FencedThreads(Protocol):
    """A saver of checkpoints that refuses, with StaleFence, what a worker writes that has lost the run."""

    def begin(self, thread_id: str, owner: UUID, fence: int, *, fresh: bool = False) -> None:
        """From here on the thread is written only while `owner` holds its run under this fence.

        `fresh`: the thread has no checkpoint yet, so nothing need be read before its first put.
        """
        ...

    def end(self, thread_id: str, fence: int) -> None:
        """The run is done with the thread; a later claim of it is left as it is."""
        ...
