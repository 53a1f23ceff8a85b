"""The saver under what goes wrong: bad rows, lost connections, lost runs, cancelled callers, the process's end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import psycopg
import pytest
from langgraph.checkpoint.base import INTERRUPT, RESUME
from threads import LANE_BACKENDS, checkpoint, count, own_run, put, thread, until

from tradeloop.errors import DatabaseUnreachable, RunLost, SettingInvalid, StaleFence
from tradeloop.store import lanes
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database
from tradeloop.store.wire import Wire


@pytest.fixture
async def saver(database: Database) -> AsyncIterator[CheckpointStore]:
    async with CheckpointStore(database) as opened:
        yield opened


async def test_the_puts_of_many_threads_are_few_transactions(database: Database, saver: CheckpointStore) -> None:
    await asyncio.gather(*(put(saver, thread(), channel=[number]) for number in range(500)))
    assert await count(database) == 500
    rows = await database.rows("SELECT DISTINCT xmin::text FROM checkpoints")
    assert len(rows) <= 4


async def test_one_bad_row_of_64_fails_its_own_caller_alone(database: Database, saver: CheckpointStore) -> None:
    puts = [put(saver, thread(), text="a\x00b" if number == 40 else "good") for number in range(64)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    failed = [number for number, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [40]
    assert isinstance(answers[40], psycopg.DataError)
    assert await count(database) == 63


async def test_task_writes_that_cannot_be_stored_do_not_take_their_neighbours_along(
    database: Database, saver: CheckpointStore
) -> None:
    good, bad = await put(saver, thread()), await put(saver, thread())
    answers = await asyncio.gather(
        saver.aput_writes(good, [("channel", 1)], "task"),
        saver.aput_writes(bad, [("chan\x00nel", 1)], "task"),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), psycopg.errors.CharacterNotInRepertoire]
    assert await count(database, "checkpoint_writes") == 1


async def test_a_key_too_long_for_an_index_is_a_bad_row(database: Database, saver: CheckpointStore) -> None:
    tail = "".join(str(uuid4()) for _ in range(400))  # does not compress to what an index takes
    answers = await asyncio.gather(put(saver, thread()), put(saver, thread(tail)), return_exceptions=True)
    assert [isinstance(answer, psycopg.errors.ProgramLimitExceeded) for answer in answers] == [False, True]
    assert await count(database) == 1


async def test_a_cancelled_caller_stops_nobody_and_its_put_is_stored(
    database: Database, saver: CheckpointStore
) -> None:
    tasks = [asyncio.create_task(put(saver, thread())) for _ in range(200)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 100
    await put(saver, thread())
    assert await count(database) == 201


async def test_a_storm_of_cancelled_callers_leaves_the_lanes_alive(database: Database, saver: CheckpointStore) -> None:
    for turns in range(20):
        tasks = [asyncio.create_task(put(saver, thread())) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(put(saver, thread()) for _ in range(20)))


async def test_a_backend_that_ends_between_two_puts_is_not_noticed(database: Database, saver: CheckpointStore) -> None:
    config = await put(saver, thread())
    await database.rows(f"SELECT pg_terminate_backend(pid) {LANE_BACKENDS}")
    await put(saver, config)
    assert await count(database) == 2


async def test_a_backend_that_ends_within_a_commit_costs_a_second_try(
    database: Database, saver: CheckpointStore
) -> None:
    config = await put(saver, thread())
    async with database.pool.connection() as locking, locking.transaction():
        await locking.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")
        tasks = [asyncio.create_task(put(saver, config)) for _ in range(5)]
        waiting = f"SELECT pg_terminate_backend(pid) {LANE_BACKENDS} AND wait_event_type = 'Lock'"

        async def terminated() -> bool:
            return bool(await database.rows(waiting))

        await until(terminated)
    await asyncio.gather(*tasks)
    assert await count(database) == 6


async def test_an_answer_that_is_lost_after_the_commit_is_asked_for_again(
    database: Database, saver: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, lost = Wire.call, [True]

    async def loses_one_answer(wire: Wire, encoded: Sequence[bytes]) -> str:
        answer = await call(wire, encoded)
        if lost and await count(database) == 30:
            lost.clear()
            raise psycopg.OperationalError("lost in COMMIT")
        return answer

    monkeypatch.setattr(Wire, "call", loses_one_answer)
    await asyncio.gather(*(put(saver, thread("one"), n=number) for number in range(30)))
    assert not lost
    assert await count(database) == 30


async def test_a_database_that_stays_away_is_told_to_every_caller(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(url: str) -> Wire:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(Wire, "open", refuse)
    monkeypatch.setattr(lanes, "QUEUE_ITEMS", 10)
    async with CheckpointStore(database, patience_s=0.2) as saver:
        answers = await asyncio.gather(*(put(saver, thread()) for _ in range(50)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {DatabaseUnreachable}
        monkeypatch.undo()
        await put(saver, thread())
    assert await count(database) == 1


async def test_a_statement_that_never_answers_ends_with_the_patience(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.pool.connection() as locking, locking.transaction():
        await locking.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")
        async with CheckpointStore(database, patience_s=0.3, close_s=0.1) as saver:
            with pytest.raises(DatabaseUnreachable):
                await put(saver, thread())


async def test_a_deadlock_is_tried_again(
    database: Database, saver: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, problems = Wire.call, [psycopg.errors.DeadlockDetected("one"), psycopg.errors.SerializationFailure("two")]

    async def conflicts(wire: Wire, encoded: Sequence[bytes]) -> str:
        if problems:
            raise problems.pop()
        return await call(wire, encoded)

    monkeypatch.setattr(Wire, "call", conflicts)
    await put(saver, thread())
    assert await count(database) == 1


async def test_a_schema_of_another_release_says_what_to_do(database: Database, saver: CheckpointStore) -> None:
    await database.rows("ALTER FUNCTION copy_thread RENAME TO not_there")
    await database.rows("ALTER TABLE checkpoints RENAME TO not_there")
    with pytest.raises(SettingInvalid, match="not that of this release") as caught:
        await put(saver, thread())
    assert caught.value.hint == "tradeloop db migrate"


async def test_a_lane_that_breaks_is_started_again_and_fails_its_callers(
    database: Database, saver: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> list[bytes]:
        raise AssertionError("a defect")

    monkeypatch.setattr(lanes, "arguments", breaks)
    with pytest.raises(DatabaseUnreachable, match="the checkpoint lane broke: a defect"):
        await put(saver, thread())
    monkeypatch.undo()
    await put(saver, thread())
    assert await count(database) == 1


async def test_a_worker_that_lost_the_run_stores_nothing_and_its_neighbours_all(
    database: Database, saver: CheckpointStore
) -> None:
    owner = uuid4()
    mine, lost = await own_run(database, owner), await own_run(database, owner)
    for run in (mine, lost):
        saver.begin(run, owner, 1)
    await database.rows("UPDATE work SET owner = %s, fence = 2 WHERE run_id = %s", (uuid4(), lost))
    puts = [put(saver, thread(mine)), put(saver, thread(lost)), put(saver, thread())]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert [isinstance(answer, StaleFence) for answer in answers] == [False, True, False]
    assert isinstance(answers[1], RunLost)
    assert await count(database) == 2


async def test_two_workers_with_the_same_thread_are_told_apart_by_their_fence(database: Database) -> None:
    slow, quick = uuid4(), uuid4()
    run = await own_run(database, slow)
    async with CheckpointStore(database) as old, CheckpointStore(database) as new:
        old.begin(run, slow, 1)
        await put(old, thread(run), by="slow")
        await database.rows("UPDATE work SET owner = %s, fence = 2 WHERE run_id = %s", (quick, run))
        new.begin(run, quick, 2)
        with pytest.raises(StaleFence):
            await put(old, thread(run), by="slow again")
        await put(new, thread(run), by="quick")
        found = await new.aget_tuple(thread(run))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"by": "quick"}


async def test_a_write_that_comes_after_the_end_of_its_claim_is_refused(
    database: Database, saver: CheckpointStore
) -> None:
    owner = uuid4()
    run = await own_run(database, owner, fence=2)
    late = {**thread(run), "metadata": {"fence": 1}}
    saver.begin(run, owner, 2)
    with pytest.raises(StaleFence):
        await put(saver, late)
    saver.end(run, 1)  # of the earlier claim: the present one stays
    await put(saver, {**thread(run), "metadata": {"fence": 2}})
    saver.end(run, 2)
    with pytest.raises(StaleFence):
        await put(saver, {**thread(run), "metadata": {"fence": 2}})


async def test_a_new_thread_is_not_read_before_its_first_put(
    database: Database, saver: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = uuid4()
    run = await own_run(database, owner)
    await put(saver, thread(run))
    saver.begin(run, owner, 1, fresh=True)
    assert await saver.aget_tuple(thread(run)) is None
    await put(saver, thread(run), n=2)
    found = await saver.aget_tuple(thread(run))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"n": 2}


async def test_a_read_sees_what_was_put_before_it(saver: CheckpointStore) -> None:
    config = thread()
    task = asyncio.create_task(put(saver, config, n=1))
    await asyncio.sleep(0)
    found = await saver.aget_tuple(config)
    assert found is not None
    waiting = asyncio.create_task(put(saver, thread()))
    await asyncio.sleep(0)
    assert [one.checkpoint["channel_values"] async for one in saver.alist(config)] == [{"n": 1}]
    assert len([one async for one in saver.alist(None)]) == 2
    await asyncio.gather(task, waiting)


async def test_the_same_checkpoint_twice_at_once_keeps_the_second(database: Database, saver: CheckpointStore) -> None:
    config, first = thread(), checkpoint(n=1)
    second = {**first, "channel_values": {"n": 2}}
    await asyncio.gather(saver.aput(config, first, {}, {"n": "1"}), saver.aput(config, second, {}, {"n": "1"}))
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"n": 2}


async def test_special_writes_are_overwritten_and_others_are_not(saver: CheckpointStore) -> None:
    config = await put(saver, thread())
    await asyncio.gather(
        saver.aput_writes(config, [(INTERRUPT, "first"), (INTERRUPT, "second")], "a"),
        saver.aput_writes(config, [(INTERRUPT, "third")], "a"),
        saver.aput_writes(config, [("channel", "first")], "b"),
        saver.aput_writes(config, [("channel", "second")], "b"),
        saver.aput_writes(config, [], "c"),
    )
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.pending_writes == [("a", INTERRUPT, "third"), ("b", "channel", "first")]


@pytest.mark.parametrize(("keep_history", "kept"), [(False, 1), (True, 2)])
async def test_a_step_in_one_batch_keeps_task_writes_only_for_a_full_history(
    database: Database, keep_history: bool, kept: int
) -> None:
    async with CheckpointStore(database, keep_history=keep_history) as saver:
        before = await put(saver, thread())
        await asyncio.gather(
            saver.aput_writes(before, [("channel", 1)], "plain"),
            saver.aput_writes(before, [(RESUME, 1)], "special"),
            put(saver, before, channel=1),
        )
    assert await count(database, "checkpoint_writes") == kept


async def test_task_writes_of_delta_channels_are_always_kept(database: Database, saver: CheckpointStore) -> None:
    before = await put(saver, thread())
    counters = {"counters_since_delta_snapshot": {"channel": (1, 1)}}
    await asyncio.gather(
        saver.aput_writes(before, [("channel", 1)], "task"), saver.aput(before, checkpoint(), counters, {})
    )
    assert await count(database, "checkpoint_writes") == 1


async def test_a_crowded_lane_makes_callers_wait_in_order(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "QUEUE_ITEMS", 3)
    monkeypatch.setattr(lanes, "BATCH_ITEMS", 2)
    async with CheckpointStore(database, lanes=1) as saver:
        tasks = [asyncio.create_task(put(saver, thread("one"), n=number)) for number in range(40)]
        await asyncio.sleep(0)
        tasks[20].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        seen = [one.checkpoint["channel_values"]["n"] async for one in saver.alist(thread("one"))]
    assert seen == [number for number in reversed(range(40)) if number != 20]


async def test_closing_commits_what_is_queued_and_refuses_the_rest(database: Database) -> None:
    saver = CheckpointStore(database)
    tasks = [asyncio.create_task(put(saver, thread())) for _ in range(300)]
    await asyncio.sleep(0)
    await saver.aclose()
    await asyncio.gather(*tasks)
    assert await count(database) == 300
    with pytest.raises(DatabaseUnreachable, match="the process ends"):
        await put(saver, thread())


async def test_closing_under_load_ends_every_caller(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "QUEUE_ITEMS", 5)
    async with database.pool.connection() as locking, locking.transaction():
        await locking.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")
        saver = CheckpointStore(database, close_s=0.1)
        tasks = [asyncio.create_task(put(saver, thread())) for _ in range(50)]
        await asyncio.sleep(0.01)
        await saver.aclose()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseUnreachable}


async def test_a_batch_larger_than_the_sockets_buffer_arrives(database: Database, saver: CheckpointStore) -> None:
    await asyncio.gather(*(put(saver, thread("one"), blob=[bytes([number]) * 3_000_000]) for number in range(5)))
    rows = await database.rows("SELECT octet_length(blob) > 3000000 AS whole FROM checkpoint_blobs")
    assert [row["whole"] for row in rows] == [True]
    assert await count(database) == 5


async def test_callers_beyond_the_lanes_bytes_wait_before_they_encode(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "QUEUE_BYTES", 100_000)
    monkeypatch.setattr(lanes, "BATCH_BYTES", 50_000)
    async with CheckpointStore(database, lanes=1) as saver:
        encoded, dumps = 0, saver.serde.dumps_typed

        def counted(value: object) -> tuple[str, bytes]:
            nonlocal encoded
            encoded += 1
            return dumps(value)

        monkeypatch.setattr(saver.serde, "dumps_typed", counted)
        async with database.pool.connection() as locking, locking.transaction():
            await locking.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")
            tasks = [asyncio.create_task(put(saver, thread(), blob=[bytes(10_000)])) for _ in range(100)]
            waiting = f"SELECT 1 {LANE_BACKENDS} AND wait_event_type = 'Lock'"

            async def held_up() -> bool:
                return bool(await database.rows(waiting))

            await until(held_up)
            assert encoded <= (100_000 + 50_000) // 10_000 + 1
        await asyncio.gather(*tasks)
    assert encoded == await count(database) == 100


async def test_memory_does_not_grow_with_puts(saver: CheckpointStore) -> None:
    async def burst() -> int:
        configs = await asyncio.gather(*(put(saver, thread(), n=[number]) for number in range(1000)))
        await asyncio.gather(*(saver.aput_writes(config, [("n", 1)], "task") for config in configs))
        gc.collect()
        return len(gc.get_objects())

    await burst()
    before = await burst()
    for _ in range(3):
        after = await burst()
    assert after < before + 1000
