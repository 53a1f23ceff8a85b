"""The outbox's way to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from engine_in_memory import until

from tradeloop.domain.records import Delivery, Record
from tradeloop.engine import relay as relay_module
from tradeloop.engine.relay import Relay
from tradeloop.errors import AirflowUnreachable, CaptureGap, DatabaseUnreachable, PublishFailed
from tradeloop.ports import OutboxRow
from tradeloop.testing.log import MemoryLog
from tradeloop.testing.store import MemoryStore

TOPIC = "workflow-decisions"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "IDLE_POLL_S", 0.01)
    monkeypatch.setattr(relay_module, "LANE_LEASE_S", 0.2)
    monkeypatch.setattr(relay_module, "RETRY_S", 0.01)


def filled(store: MemoryStore, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        store._announce(Record(TOPIC, f"s{n % 3}".encode(), str(n).encode()))


def published(log: MemoryLog) -> list[int]:
    return sorted(int(record.value) for record in log.records(TOPIC))


def waiting(store: MemoryStore) -> list[OutboxRow]:
    return store._outbox


class Running:
    """A relay in the background, stopped at the end."""

    def __init__(self, relay: Relay) -> None:
        self.relay, self.stop = relay, asyncio.Event()

    async def __aenter__(self) -> Relay:
        self.task = asyncio.create_task(self.relay.run(self.stop))
        return self.relay

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self.task


async def test_rows_are_published_in_order_and_forgotten() -> None:
    store, log = MemoryStore(), MemoryLog()
    filled(store, 1200)  # more than two batches
    async with Running(Relay(store, log)) as relay:
        await until(lambda: not waiting(store))
    assert relay.published == 1200
    by_key: dict[bytes | None, list[int]] = {}
    for record in log.records(TOPIC):
        by_key.setdefault(record.key, []).append(int(record.value))
    assert by_key == {f"s{start}".encode(): list(range(start, 1200, 3)) for start in range(3)}


async def test_rows_are_kept_while_the_log_is_away() -> None:
    store, log = MemoryStore(), MemoryLog()
    log.is_away = True
    filled(store, 10)
    async with Running(Relay(store, log)):
        await until(lambda: store._lanes[0])
        await asyncio.sleep(0.05)
        assert (len(waiting(store)), published(log)) == (10, [])
        log.is_away = False
        await until(lambda: not waiting(store))
    assert published(log) == list(range(10))


async def test_what_was_acknowledged_beside_a_refused_record_is_not_published_again() -> None:
    class Refusing(MemoryLog):
        def __init__(self) -> None:
            super().__init__()
            self.refused = {b"4"}

        async def publish(self, records: Sequence[Record]) -> list[Delivery]:
            good = {place for place, record in enumerate(records) if record.value not in self.refused}
            await super().publish([records[place] for place in sorted(good)])
            if len(good) < len(records):
                raise PublishFailed("refused", acknowledged=frozenset(good))
            return []

    store, log = MemoryStore(), Refusing()
    filled(store, 10)
    async with Running(Relay(store, log)):
        await until(lambda: len(waiting(store)) == 1)
        assert waiting(store)[0].record.value == b"4"
        log.refused = set()
        await until(lambda: not waiting(store))
    assert published(log) == list(range(10))


async def test_of_two_relays_one_holds_a_lane_and_the_other_takes_it_when_it_is_free() -> None:
    store, log = MemoryStore(), MemoryLog()
    first, second = Running(Relay(store, log)), Running(Relay(store, log))
    async with second:
        async with first:
            await until(lambda: store._lanes[0])
            filled(store, 50)
            await until(lambda: not waiting(store))
            assert sorted([first.relay.published, second.relay.published]) == [0, 50]
            holder = first if first.relay.published else second
        if holder is second:
            return
        filled(store, 50, first=50)
        await until(lambda: not waiting(store))
        assert second.relay.published == 50
    assert published(log) == list(range(100))


async def test_the_lanes_of_a_relay_that_died_are_taken_when_its_lease_ends() -> None:
    store, log = MemoryStore(), MemoryLog()
    await store.hold(uuid4(), 0.1)
    filled(store, 5)
    async with Running(Relay(store, log)):
        await until(lambda: not waiting(store))
    assert published(log) == list(range(5))


async def test_a_stop_gives_the_lanes_back() -> None:
    store = MemoryStore()
    async with Running(Relay(store, MemoryLog())):
        await until(lambda: store._lanes[0])
    assert len(await store.hold(uuid4(), 1)) == 16


async def test_a_wake_up_is_not_waited_for_longer_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "IDLE_POLL_S", 60)
    store, log = MemoryStore(), MemoryLog()
    async with Running(Relay(store, log)) as relay:
        await until(lambda: relay._lanes)
        await asyncio.sleep(0.02)
        filled(store, 1)
        relay.outbox_wake.set()
        await until(lambda: not waiting(store), limit_s=2)
    assert published(log) == [0]


@pytest.mark.parametrize("name", ["hold", "pending", "remove", "release"])
async def test_a_database_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    store, log = MemoryStore(), MemoryLog()
    call, left = getattr(store, name), [2]

    async def breaks_twice(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise DatabaseUnreachable("away")
        return await call(*arguments)

    monkeypatch.setattr(store, name, breaks_twice)
    filled(store, 3)
    async with Running(Relay(store, log)):
        await until(lambda: not waiting(store))
    assert set(published(log)) == {0, 1, 2}


class Sweep:
    def __init__(self, *problems: Exception) -> None:
        self.problems, self.ticks = list(problems), 0

    async def tick(self) -> object:
        self.ticks += 1
        if self.problems:
            raise self.problems.pop(0)
        return None


async def test_the_holder_of_the_lane_sweeps_and_the_other_does_not() -> None:
    store, log = MemoryStore(), MemoryLog()
    await store.hold(uuid4(), 0.15)
    sweep = Sweep()
    async with Running(Relay(store, log, sweep=sweep, sweep_interval_s=0.01)) as relay:
        await until(lambda: relay._lanes == [] and relay.sweep_wake is not None)
        assert sweep.ticks == 0
        await until(lambda: sweep.ticks > 3)


@pytest.mark.parametrize("problem", [DatabaseUnreachable("away"), CaptureGap("a gap"), ZeroDivisionError()])
async def test_a_sweep_that_fails_stops_neither_the_next_nor_the_outbox(problem: Exception) -> None:
    store, log, sweep = MemoryStore(), MemoryLog(), Sweep(problem)
    async with Running(Relay(store, log, sweep=sweep, sweep_interval_s=0.01)) as relay:
        await until(lambda: sweep.ticks == 1)
        filled(store, 3)
        await until(lambda: not waiting(store))
        relay.sweep_wake.set()
        await until(lambda: sweep.ticks > 1)


@pytest.mark.parametrize("problem", [None, ZeroDivisionError()])
async def test_the_holder_of_the_lane_keeps_house_and_a_defect_there_stops_nothing(problem: Exception | None) -> None:
    store, log = MemoryStore(), MemoryLog()
    await store.hold(uuid4(), 0.15)
    chore = Sweep(problem) if problem else Sweep()
    async with Running(Relay(store, log, chore=chore, chore_interval_s=0.01)) as relay:
        await until(lambda: relay._lanes == [])
        assert chore.ticks == 0
        await until(lambda: chore.ticks > 3)
        filled(store, 3)
        await until(lambda: not waiting(store))


@pytest.mark.parametrize("problem", [None, ZeroDivisionError("a defect"), AirflowUnreachable("Airflow is away")])
async def test_the_holder_of_the_lane_takes_ballots_and_a_failure_there_stops_nothing(
    problem: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradeloop.engine.relay.BALLOTS_S", 0.01)
    store, log = MemoryStore(), MemoryLog()
    await store.hold(uuid4(), 0.15)
    ballots = Sweep(problem) if problem else Sweep()
    async with Running(Relay(store, log, ballots=ballots)) as relay:
        await until(lambda: relay._lanes == [])
        assert ballots.ticks == 0
        await until(lambda: ballots.ticks > (0 if problem else 3))
        filled(store, 3)
        await until(lambda: not waiting(store))


@pytest.mark.parametrize("problem", [None, DatabaseUnreachable("away"), RuntimeError("defect")])
async def test_the_holder_of_the_lane_seals_the_audit_and_a_failure_there_stops_nothing(
    problem: Exception | None,
) -> None:
    class Sealer:
        interval_s = 0.01
        ticks = 0

        async def tick(self) -> None:
            self.ticks += 1
            if problem and self.ticks < 3:
                raise problem

    store, log, sealer = MemoryStore(), MemoryLog(), Sealer()
    async with Running(Relay(store, log, sealer=sealer)):
        await until(lambda: sealer.ticks > 3)
        filled(store, 2)
        await until(lambda: published(log) == [0, 1])


async def test_a_loop_that_breaks_ends_the_relay_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "pending", broken)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(Relay(store, MemoryLog()).run(asyncio.Event()), 5)


async def test_draining_publishes_what_is_there() -> None:
    store, log = MemoryStore(), MemoryLog()
    filled(store, 7)
    assert await Relay(store, log).drain() == 7
    assert await Relay(MemoryStore(), log).drain() == 0
