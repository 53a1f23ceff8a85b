"""Pollers with stale batches, claimers and recorders at once: every run ends, in order per subject, none sleeps."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID, uuid4

from real_parts import until

from tradeloop import Decision
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
PARTITIONS, SUBJECTS, EVENTS, DOUBLES = 3, 48, 1000, 0.2


def a_log(random_: random.Random) -> dict[int, list[Arrival]]:
    """Partitions of events, every fifth of them a double of an earlier one, also of another partition."""
    log: dict[int, list[Arrival]] = {part: [] for part in range(PARTITIONS)}
    known: list[tuple[UUID, str]] = []
    while len(known) < EVENTS:
        if known and random_.random() < DOUBLES:
            event_id, subject = random_.choice(known)
        else:
            event_id, subject = uuid4(), f"s{random_.randrange(SUBJECTS)}"
            known.append((event_id, subject))
        part = int(subject[1:]) % PARTITIONS
        received = Received("events", TOPIC, part, len(log[part]), b"k", b"{}")
        log[part].append(Arrival(received, event_id, "some.type", "desk", subject, new_run_id()))
    return log


def again(batch: Sequence[Arrival]) -> list[Arrival]:
    """The same records as another poll would hand them over: runs of new ids."""
    return [Arrival(a.received, a.event_id, a.event_type, a.desk, a.subject, new_run_id()) for a in batch]


class Crowd:
    def __init__(self, database: Database, log: dict[int, list[Arrival]]) -> None:
        self.inbox, self.runs, self.database = PostgresInbox(database), PostgresRuns(database), database
        self.log = log
        self.owner = uuid4()
        self.claimed: asyncio.Queue[Claim] = asyncio.Queue()
        self.recorded: list[Claim] = []
        self.running: set[str] = set()
        self.random = random.Random(20261123)

    async def poll(self) -> None:
        """Read from the database's position; sometimes hand a batch over that is long stale."""
        stale: list[list[Arrival]] = []
        while True:
            part = self.random.randrange(PARTITIONS)
            at = (await self.inbox.positions("g", [(TOPIC, part)])).get((TOPIC, part), 0)
            batch = self.log[part][at : at + self.random.randint(1, 25)]
            if stale and self.random.random() < 0.3:
                batch = stale.pop()
            elif batch and self.random.random() < 0.3:
                stale.append(batch)
                await asyncio.sleep(self.random.random() * 0.02)
            if batch:
                self.own(await self.inbox.accept("g", self.owner, again(batch), [], self.random.randint(0, 4)))
            elif not stale and await self.all_read():
                return

    async def all_read(self) -> bool:
        places = [(TOPIC, part) for part in self.log]
        positions = await self.inbox.positions("g", places)
        return all(positions.get((TOPIC, part), 0) >= len(records) for part, records in self.log.items())

    async def claim(self) -> None:
        while True:
            self.own(await self.runs.claim(self.owner, ["desk"], 8))
            await asyncio.sleep(0.001)

    def own(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            assert claim.subject not in self.running, "two runs of one subject at a time"
            self.running.add(claim.subject)
            self.claimed.put_nowait(claim)

    async def record(self) -> None:
        while True:
            claims = [await self.claimed.get()]
            while not self.claimed.empty() and len(claims) < 8:
                claims.append(self.claimed.get_nowait())
            self.recorded += claims
            for claim in claims:  # before the commit that lets the next one of the subject go
                self.running.discard(claim.subject)
            done = await self.runs.record(self.owner, [_done(claim) for claim in claims], "decisions")
            assert done == {claim.run_id for claim in claims}


def _done(claim: Claim) -> Outcome:
    return Outcome(claim, RunState.DONE, uuid4(), "desk", "v1", Decision(outcome="ACCEPT"))


async def test_a_thousand_events_end_in_order_and_none_sleeps(database_url: str) -> None:
    async with Database(database_url, size=8) as database:
        crowd = Crowd(database, a_log(random.Random(7)))
        await crowd.runs.enlist(crowd.owner, "test", 600)
        others = [asyncio.create_task(work()) for work in (crowd.claim, crowd.claim, *[crowd.record] * 3)]
        try:
            async with asyncio.timeout(60):
                await asyncio.gather(*(crowd.poll() for _ in range(3)))
            await until(lambda: len(crowd.recorded) >= EVENTS or any(task.done() for task in others), limit_s=20)
        finally:
            for task in others:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
        assert [problem for problem in ended if not isinstance(problem, asyncio.CancelledError)] == []
        left = await database.rows("SELECT state, head FROM work")
        assert left == []
    expected: dict[str, list[UUID]] = defaultdict(list)
    for records in crowd.log.values():
        for arrival in records:
            if arrival.event_id not in expected[arrival.subject]:
                expected[arrival.subject].append(arrival.event_id)
    found: dict[str, list[UUID]] = defaultdict(list)
    for claim in crowd.recorded:
        found[claim.subject].append(claim.event_id)
    assert found == expected


async def test_a_subject_that_comes_by_two_partitions_runs_once_at_a_time(database_url: str) -> None:
    owner = uuid4()
    async with Database(database_url, size=8) as database:
        inbox = PostgresInbox(database)

        async def accept(part: int, offset: int) -> list[Claim]:
            batch = [
                Arrival(
                    Received("events", TOPIC, part, offset + n, b"k", b"{}"),
                    uuid4(),
                    "some.type",
                    "desk",
                    f"s{offset}/{n}",
                    new_run_id(),
                )
                for n in (range(20) if part % 2 else reversed(range(20)))
            ]
            batch.sort(key=lambda arrival: arrival.received.offset)
            return await inbox.accept("g", owner, batch, [], 100)

        for offset in range(0, 200, 20):
            claims = [c for found in await asyncio.gather(*(accept(part, offset) for part in range(6))) for c in found]
            assert len({claim.subject for claim in claims}) == len(claims) == 20
        (heads,) = await database.rows("SELECT count(*) AS n FROM work WHERE head")
        assert heads["n"] == 200
