"""Records of one run in the audit, written by two at once: numbered one after the other, and nobody is refused."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
from crowd import GROUP, TOPIC

from tradeloop import Decision
from tradeloop.domain.records import Received
from tradeloop.domain.runs import Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.store.database import Database
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns


async def test_a_run_is_recorded_while_an_earlier_owner_still_tells_of_its_effect(database_url: str) -> None:
    owner = uuid4()
    async with Database(database_url, size=2) as database:
        runs = PostgresRuns(database)
        await runs.enlist(owner, "test", 60)
        received = Received("events", TOPIC, 0, 0, b"k", b"{}")
        arrival = Arrival(received, uuid4(), "some.type", "desk", "s", new_run_id())
        (claim,) = await PostgresInbox(database).accept(GROUP, owner, [arrival], [], 1)
        outcome = Outcome(claim, RunState.DONE, uuid4(), "desk", "v1", Decision(outcome="ACCEPT"))

        async with await psycopg.AsyncConnection.connect(database_url) as late:
            await late.execute("SELECT append_audit(%s, 'effect_told_late', '{}')", (claim.run_id,))
            recording = asyncio.create_task(runs.record(owner, [outcome], "decisions"))
            await asyncio.sleep(0.5)
            assert not recording.done(), "it did not wait for the other's record, and cannot know its number"
            await late.commit()
        recorded = await recording

        assert recorded == {claim.run_id}
        rows = await database.rows("SELECT n, kind FROM audit WHERE stream_id = %s ORDER BY n", (claim.run_id,))
        assert [(row["n"], row["kind"]) for row in rows] == [(1, "effect_told_late"), (2, "run_done")]
