"""The engine's tables in memory: Inbox, Runs, EffectLedger, Outbox and Captures of one process."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.actions import EffectState
from tradeloop.domain.records import DeadLetter, Lane, Received, Record
from tradeloop.domain.runs import Claim, Outcome, RunState
from tradeloop.errors import EventIdReused
from tradeloop.kafka.messages import LANE_HEADER, to_record
from tradeloop.ports import Arrival, OutboxRow, Tended, TopicPartition
from tradeloop.testing.effects import MemoryEffects, Work


@dataclass
class MemoryStore(MemoryEffects):
    """Everything that PostgreSQL keeps for the engine; one instance serves as each of the store's ports.

    Single-threaded: a call runs to its end without giving up the loop, which is what a transaction is there.
    """

    finished: dict[UUID, Outcome] = field(default_factory=dict)
    unhandled: set[UUID] = field(default_factory=set)
    dead: list[DeadLetter] = field(default_factory=list)
    doubles: list[UUID] = field(default_factory=list)
    differing: set[UUID] = field(default_factory=set)
    """Ids that came again with other content."""
    _keys: set[UUID] = field(default_factory=set)
    _firsts: dict[UUID, Received] = field(default_factory=dict)
    _generations: dict[UUID, int] = field(default_factory=dict)
    _positions: dict[tuple[str, UUID, int], int] = field(default_factory=dict)
    _leases: dict[UUID, float] = field(default_factory=dict)
    _outbox: list[OutboxRow] = field(default_factory=list)
    _lanes: tuple[UUID | None, float] = (None, 0.0)
    _cursors: dict[str, datetime] = field(default_factory=dict)
    _captured: set[UUID] = field(default_factory=set)
    _bound: dict[UUID, UUID] = field(default_factory=dict)
    _numbers: int = 0
    _graphs: dict[UUID, frozenset[str]] = field(default_factory=dict)
    _buried: set[UUID] = field(default_factory=set)

    async def positions(self, group: str, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Next offset of each partition that has been read before."""
        known = {(topic, part): offset for (name, topic, part), offset in self._positions.items() if name == group}
        return {place: known[place] for place in partitions if place in known}

    async def accept(
        self,
        group: str,
        owner: UUID,
        arrivals: Sequence[Arrival],
        dead: Sequence[tuple[Received, DeadLetter]],
        slots: int,
        quotas: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        """Take a batch in and claim up to `slots` of its runs, or up to `quotas` of each desk."""
        before = dict(self._positions)
        left = dict(quotas or {})
        claims: list[Claim] = []
        for arrival in arrivals:
            place = (group, arrival.received.topic_id, arrival.received.partition)
            if arrival.received.offset < before.get(place, 0):
                continue
            self._move(place, arrival.received.offset)
            if arrival.event_id in self._keys:
                self._repeat(arrival)
                continue
            self._keys.add(arrival.event_id)
            self._firsts[arrival.event_id] = arrival.received
            if not arrival.desk:
                self.unhandled.add(arrival.run_id)
                continue
            is_head = all(
                (w.claim.desk, w.claim.subject) != (arrival.desk, arrival.subject) for w in self._work.values()
            )
            work = Work(_claim(arrival), self._number(), "q")
            self._work[arrival.run_id] = work
            if (
                is_head
                and owner not in self._buried
                and (len(claims) < slots if quotas is None else left.get(arrival.desk, 0) > 0)
            ):
                left[arrival.desk] = left.get(arrival.desk, 0) - 1
                work.graph_version = arrival.graph_version
                claims.append(self._own(work, owner))
        for received, letter in dead:
            place = (group, received.topic_id, received.partition)
            if received.offset >= before.get(place, 0):
                self._bury(letter)
            self._move(place, received.offset)
        return claims

    def readmit(self, arrival: Arrival, *, former: UUID | None) -> int | None:
        """Let an event in again after run `former`, or for the first time; its generation, None when it is a double."""
        generation = 0
        if former is None and arrival.event_id in self._keys:
            return None
        if former is not None:
            ended = self.finished.get(former)
            known = self._generations.get(arrival.event_id, 0)
            if ended is None or ended.claim.event_id != arrival.event_id or ended.claim.generation != known:
                return None
            generation = known + 1
        self._keys.add(arrival.event_id)
        self._firsts[arrival.event_id] = arrival.received
        self._generations[arrival.event_id] = generation
        claim = replace(_claim(arrival), generation=generation)
        self._work[arrival.run_id] = Work(claim, self._number(), "q")
        return generation

    async def enlist(self, owner: UUID, build: str, lease_s: float, graphs: Sequence[str] = ()) -> None:
        """Make `owner` known, with a lease and the graph versions that it can run."""
        self._leases[owner] = time.monotonic() + lease_s
        self._graphs[owner] = frozenset(graphs)

    async def renew(self, owner: UUID, lease_s: float) -> bool:
        """Heartbeat; False when the owner was buried."""
        if owner not in self._leases:
            return False
        self._leases[owner] = time.monotonic() + lease_s
        return True

    async def retire(self, owner: UUID) -> None:
        """Give back every run and the lease."""
        self._leases.pop(owner, None)
        self._buried.add(owner)
        for work in self._work.values():
            if work.state == "r" and work.owner == owner:
                work.state, work.owner = "q", None

    async def take_over(self) -> int:
        """Bury the dead, requeue what nobody owns, wake what is due."""
        now = time.monotonic()
        self._buried |= {owner for owner, until in self._leases.items() if until < now}
        self._leases = {owner: until for owner, until in self._leases.items() if until >= now}
        moved = 0
        for work in self._work.values():
            if work.state == "r" and work.owner not in self._leases:
                work.state, work.owner, work.takeovers, moved = "q", None, work.takeovers + 1, moved + 1
            elif work.state == "w" and work.due_at <= now:
                work.state, moved = "q", moved + 1
        return moved

    async def claim(
        self,
        owner: UUID,
        desks: Sequence[str],
        limit: int,
        *,
        quotas: Mapping[str, int] | None = None,
        graphs: Sequence[tuple[str, str]] | None = None,
    ) -> list[Claim]:
        """Own up to `limit` runs: heads of their subjects, the oldest first, up to `quotas` of each desk."""
        heads: dict[tuple[str, str], Work] = {}
        for work in sorted(self._work.values(), key=lambda w: w.seq):
            heads.setdefault((work.claim.desk, work.claim.subject), work)
        if owner in self._buried:
            return []
        left = {desk: limit if quotas is None else quotas.get(desk, 0) for desk in desks}
        order = {desk: place for place, desk in enumerate(sorted(left, key=left.__getitem__))}
        claims: list[Claim] = []
        for work in sorted(heads.values(), key=lambda w: (order.get(w.claim.desk, 0), w.seq)):
            if work.state != "q" or left.get(work.claim.desk, 0) < 1 or len(claims) >= limit:
                continue
            if graphs is not None:
                ours = [version for event_type, version in graphs if event_type == work.claim.event_type]
                if not ours or work.graph_version not in ("", *ours):
                    continue
                work.graph_version = work.graph_version or ours[0]
            left[work.claim.desk] -= 1
            claims.append(self._own(work, owner))
        return claims

    async def tend(self, grace_s: float) -> Tended:
        """Stop runs whose graph version no live worker has had for `grace_s`, and wake them."""
        now, unserved, served = time.monotonic(), 0, 0
        live = frozenset().union(*(self._graphs.get(owner, frozenset()) for owner in self._leases))
        for work in self._work.values():
            if not work.graph_version or work.state not in ("q", "v"):
                continue
            if work.graph_version in live:
                served += work.state == "v"
                work.state, work.unserved_since = "q", None
            elif work.state == "q":
                work.unserved_since = work.unserved_since or now
                if now - work.unserved_since >= grace_s:
                    work.state, work.unserved_since, unserved = "v", None, unserved + 1
        return Tended(0, unserved, served)

    async def cancellable(self, owner: UUID) -> Mapping[UUID, str]:
        """Of the runs in hand those that somebody wants cancelled, with the reason, and that began no effect."""
        mine = [work for work in self._work.values() if (work.state, work.owner) == ("r", owner) and work.cancel]
        return {work.claim.run_id: work.cancel for work in mine if not self._has_begun_an_effect(work.claim.run_id)}

    async def backlog(self, limit: int) -> int:
        """How many runs are queued; counted up to `limit`."""
        return min(limit, sum(work.state == "q" for work in self._work.values()))

    def wish_cancelled(self, run_id: UUID, reason: str) -> None:
        """As `tradeloop runs cancel` does: nobody but the run's owner removes it."""
        self._work[run_id].cancel = reason

    async def owned(self, owner: UUID) -> list[Claim]:
        """Every run that `owner` owns."""
        mine = [work for work in self._work.values() if (work.state, work.owner) == ("r", owner)]
        return [self._view(work) for work in sorted(mine, key=lambda w: w.seq)]

    async def retry(self, owner: UUID, claim: Claim, delay_s: float, error: str) -> bool:
        """Let the run rest and come back."""
        work = self._owned(owner, claim)
        if work is None:
            return False
        work.state, work.owner, work.fails = "w", None, work.fails + 1
        work.due_at, work.error = time.monotonic() + delay_s, error.partition(": ")[2]
        return True

    async def record(self, owner: UUID, outcomes: Sequence[Outcome], decisions_topic: str) -> set[UUID]:
        """End the runs that `owner` still owns."""
        recorded: set[UUID] = set()
        for outcome in outcomes:
            if self._owned(owner, outcome.claim) is None:
                continue
            if outcome.state is RunState.CANCELLED and self._has_begun_an_effect(outcome.claim.run_id):
                continue
            del self._work[outcome.claim.run_id]
            self.finished[outcome.claim.run_id] = outcome
            recorded.add(outcome.claim.run_id)
            if outcome.event:
                self._announce(to_record(outcome.event, decisions_topic, Lane.OUTBOX))
            if outcome.state.value == "failed":
                letter = DeadLetter("run", outcome.error, outcome.error_class, outcome.claim.payload)
                self._bury(replace(letter, run_id=outcome.claim.run_id, event_id=outcome.claim.event_id))
        return recorded

    async def hold(self, owner: UUID, lease_s: float) -> list[int]:
        """Take or renew the lanes when they are free or ours."""
        holder, until = self._lanes
        if holder not in (None, owner) and until > time.monotonic():
            return []
        self._lanes = (owner, time.monotonic() + lease_s)
        return list(range(16))

    async def release(self, owner: UUID) -> None:
        """Give the lanes back at once."""
        if self._lanes[0] == owner:
            self._lanes = (None, 0.0)

    async def pending(self, lanes: Sequence[int], limit: int) -> list[OutboxRow]:
        """The oldest rows, in order."""
        return self._outbox[:limit] if lanes else []

    async def append(self, record: Record) -> None:
        """Add a record of an effect."""
        self._announce(record)

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget published rows."""
        self._outbox = [row for row in self._outbox if row.id not in set(ids)]

    async def cursor(self, name: str) -> datetime | None:
        """Where the sweep has got to."""
        return self._cursors.get(name)

    async def move_cursor(self, name: str, to: datetime) -> None:
        """Move on; never back."""
        self._cursors[name] = max(to, self._cursors.get(name, to))

    async def known(self, event_ids: Sequence[UUID]) -> set[UUID]:
        """Which of these were published by the sweep, accepted, or buried."""
        buried = {letter.event_id for letter in self.dead if letter.source == "airflow"}
        return set(event_ids) & (self._captured | self._keys | buried)

    async def remember(self, published: Sequence[tuple[UUID, Mapping[str, JsonValue]]]) -> None:
        """Keep the ids that the sweep has published."""
        self._captured |= {event_id for event_id, _ in published}

    async def bind(self, wanted: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Give each key its event id, unless it has one already."""
        return {key: self._bound.setdefault(key, event_id) for key, event_id in wanted.items()}

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters of the capture edge."""
        for letter in letters:
            self._bury(letter)

    def _repeat(self, arrival: Arrival) -> None:
        first, again = self._firsts[arrival.event_id], arrival.received
        self.doubles.append(arrival.event_id)
        if json.loads(first.value) == json.loads(again.value):
            return
        self.differing.add(arrival.event_id)
        if {first.header(LANE_HEADER), again.header(LANE_HEADER)} == {Lane.SWEEP}:  # told again after a crash
            return
        place = f"{first.topic}[{first.partition}]@{first.offset}"
        cause = f"event_id {arrival.event_id} was accepted before with other content, from {place}"
        letter = DeadLetter("kafka", cause, EventIdReused.__name__, again.value, again.topic, again.topic_id)
        self._bury(replace(letter, partition=again.partition, offset=again.offset, event_id=arrival.event_id))

    def _bury(self, letter: DeadLetter) -> None:
        def place(of: DeadLetter) -> tuple[object, ...]:
            return (of.source, of.topic_id, of.partition, of.offset, of.run_id, of.event_id)

        if all(place(letter) != place(known) for known in self.dead):
            self.dead.append(letter)

    def _announce(self, record: Record) -> None:
        self._outbox.append(OutboxRow(self._number(), record))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _move(self, place: tuple[str, UUID, int], offset: int) -> None:
        self._positions[place] = max(self._positions.get(place, 0), offset + 1)

    def _own(self, work: Work, owner: UUID) -> Claim:
        work.state, work.owner, work.fence = "r", owner, work.fence + 1
        return self._view(work)

    def _view(self, work: Work) -> Claim:
        return replace(
            work.claim,
            fence=work.fence,
            fails=work.fails,
            takeovers=work.takeovers,
            graph_version=work.graph_version,
            cancel=work.cancel,
        )

    def _has_begun_an_effect(self, run_id: UUID) -> bool:
        begun = (EffectState.EXECUTING, EffectState.EXECUTED, EffectState.OUTCOME_UNKNOWN)
        return any(effect.run_id == run_id and effect.state in begun for effect in self.effects.values())


def _claim(arrival: Arrival) -> Claim:
    return Claim(
        run_id=arrival.run_id,
        fence=0,
        desk=arrival.desk,
        subject=arrival.subject,
        event_type=arrival.event_type,
        event_id=arrival.event_id,
        generation=0,
        payload=arrival.received.value,
        headers=arrival.received.headers,
    )
