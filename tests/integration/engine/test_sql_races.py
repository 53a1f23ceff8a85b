"""Stale pollers, claimers, recorders and takeovers at once, each on connections of its own (ENGINE, bug 2).

Without the lock on the predecessor (FOR KEY SHARE in accept_batch) runs sleep here for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from uuid import UUID

from crowd import CrowdWorker, a_log, end_leases, order_of
from real_parts import until

from tradeloop.store.database import Database

EVENTS, SUBJECTS = 3_000, 48


async def test_three_thousand_events_end_once_in_order_and_none_sleeps(database_url: str) -> None:
    log = a_log(20261125, events=EVENTS, subjects=SUBJECTS, partitions=3, doubles=0.2)
    async with Database(database_url, size=2) as watching, AsyncExitStack() as stack:
        workers = [
            CrowdWorker(await stack.enter_async_context(Database(database_url, size=4)), log, seed) for seed in range(3)
        ]
        for worker in workers:
            await worker.enlist()

        async def all_recorded() -> bool:
            row = await watching.row("SELECT count(*) AS n FROM runs")
            return row is not None and row["n"] >= EVENTS

        others = [asyncio.create_task(end_leases(watching, random.Random(7)), name="leases")]
        for worker in workers:
            loops = (worker.claim, worker.record, worker.record, worker.take_over)
            others += [asyncio.create_task(loop()) for loop in loops]
        try:
            async with asyncio.timeout(200):
                await asyncio.gather(*(worker.poll() for worker in workers))
            others.pop(0).cancel()
            with suppress(TimeoutError):  # who sleeps is shown below
                await until(all_recorded, limit_s=60)
        finally:
            for task in others:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
        assert [problem for problem in ended if not isinstance(problem, asyncio.CancelledError)] == []
        assert await watching.rows("SELECT state, head FROM work") == []
        assert sum(worker.lost for worker in workers) > 0, "no lease ended with a run in hand: nothing was tried"
        recorded = await watching.rows(
            "SELECT r.subject, r.event_id FROM audit a JOIN runs r ON r.run_id = a.stream_id ORDER BY a.id"
        )
    found: dict[str, list[UUID]] = defaultdict(list)
    for row in recorded:
        found[row["subject"]].append(row["event_id"])
    assert found == order_of(log)
    async with Database(database_url, size=1) as after:  # the other connections told their counts when they closed
        assert await after.row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == {
            "deadlocks": 0
        }
