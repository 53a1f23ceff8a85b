"""Workers without graphs on the real stores: pollers that go back, claimers, recorders, leases that end."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID, uuid4

from tradeloop import Decision
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000ab")
GROUP = "race"
Log = dict[int, list[Arrival]]


def a_log(seed: int, *, events: int, subjects: int, partitions: int, doubles: float) -> Log:
    """Partitions of events; a share of them are doubles of earlier ones, each in its subject's partition."""
    random_ = random.Random(seed)
    log: Log = {part: [] for part in range(partitions)}
    known: list[tuple[UUID, str]] = []
    while len(known) < events:
        if known and random_.random() < doubles:
            event_id, subject = random_.choice(known)
        else:
            event_id, subject = uuid4(), f"s{random_.randrange(subjects)}"
            known.append((event_id, subject))
        part = int(subject[1:]) % partitions
        received = Received("events", TOPIC, part, len(log[part]), b"k", b"{}")
        log[part].append(Arrival(received, event_id, "some.type", "desk", subject, new_run_id()))
    return log


def order_of(log: Log) -> dict[str, list[UUID]]:
    """Events of each subject in the order of their first occurrence."""
    order: dict[str, list[UUID]] = defaultdict(list)
    for records in log.values():
        for arrival in records:
            if arrival.event_id not in order[arrival.subject]:
                order[arrival.subject].append(arrival.event_id)
    return dict(order)


class CrowdWorker:
    """One worker with connections of its own; `poll`, `claim`, `record` and `take_over` are its loops."""

    def __init__(self, database: Database, log: Log, seed: int) -> None:
        self._inbox, self._runs = PostgresInbox(database), PostgresRuns(database)
        self._log = log
        self._random = random.Random(seed)
        self._hand: asyncio.Queue[tuple[UUID, Claim]] = asyncio.Queue()
        self.owner = uuid4()
        self.lost = 0
        """Runs in hand that the record refused: another worker owned them."""

    async def enlist(self) -> None:
        await self._runs.enlist(self.owner, "test", 600)

    async def poll(self) -> None:
        """Read from the database's position; sometimes keep a batch and hand it over when it is long stale."""
        stale: list[list[Arrival]] = []
        while True:
            part = self._random.choice(list(self._log))
            at = (await self._inbox.positions(GROUP, [(TOPIC, part)])).get((TOPIC, part), 0)
            batch = self._log[part][at : at + self._random.randint(1, 25)]
            if stale and self._random.random() < 0.3:
                batch = stale.pop()
            elif batch and self._random.random() < 0.3:
                stale.append(batch)
                await asyncio.sleep(self._random.random() * 0.02)
            if batch:
                slots = self._random.randint(0, 4)
                owner = self.owner
                self._own(owner, await self._inbox.accept(GROUP, owner, _again(batch), [], slots))
            elif not stale and await self._all_read():
                return

    async def _all_read(self) -> bool:
        positions = await self._inbox.positions(GROUP, [(TOPIC, part) for part in self._log])
        return all(positions.get((TOPIC, part), 0) >= len(records) for part, records in self._log.items())

    async def claim(self) -> None:
        while True:
            owner = self.owner
            self._own(owner, await self._runs.claim(owner, ["desk"], 8))
            await asyncio.sleep(0.005)

    def _own(self, owner: UUID, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._hand.put_nowait((owner, claim))

    async def record(self) -> None:
        """Record what is in hand, in groups of one owner."""
        while True:
            owner, claim = await self._hand.get()
            group = [claim]
            while not self._hand.empty() and len(group) < 8:
                next_owner, claim = self._hand.get_nowait()
                if next_owner != owner:
                    self._hand.put_nowait((next_owner, claim))
                    break
                group.append(claim)
            done = await self._runs.record(owner, [_done(one) for one in group], "decisions")
            self.lost += len(group) - len(done)

    async def take_over(self) -> None:
        """Take over from the dead; be born again when others buried us."""
        while True:
            await self._runs.take_over()
            if not await self._runs.renew(self.owner, 600):
                self.owner = uuid4()
                await self.enlist()
            await asyncio.sleep(0.01)


async def end_leases(database: Database, random_: random.Random) -> None:
    """Let the lease of one worker after another end while it goes on working."""
    while True:
        await asyncio.sleep(0.05 + random_.random() * 0.1)
        await database.rows(
            "UPDATE workers SET lease_until = '-infinity' WHERE worker_id = "
            "(SELECT worker_id FROM workers WHERE state <> 'dead' ORDER BY random() LIMIT 1)"
        )


def _again(batch: Sequence[Arrival]) -> list[Arrival]:
    """The same records as another poll would hand them over: runs of new ids."""
    return [Arrival(a.received, a.event_id, a.event_type, a.desk, a.subject, new_run_id()) for a in batch]


def _done(claim: Claim) -> Outcome:
    return Outcome(claim, RunState.DONE, uuid4(), "desk", "v1", Decision(outcome="ACCEPT"))
