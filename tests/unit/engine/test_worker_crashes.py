"""Workers that die, lose their lease, are stopped; answers of the store that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from engine_in_memory import EVENTS, GROUP, House, accept, accept_and_note, event, until, workflow

from tradeloop import Workflow
from tradeloop.domain.runs import RunState
from tradeloop.engine import worker as worker_module
from tradeloop.errors import DatabaseUnreachable
from tradeloop.testing.log import topic_id_of
from tradeloop.testing.store import MemoryStore

LEASE_S = 0.2


class Road:
    """A graph of three nodes and `act`, which counts its steps and can be told to hang in one of them."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        self.hangs_in = ""

    def workflow(self) -> Workflow:
        return workflow(*(self._node(name) for name in ("first", "second", "decide")))

    def _node(self, name: str) -> Callable[..., Any]:
        async def node(state: Any) -> dict[str, Any]:
            self.visits.append(name)
            if self.hangs_in == name:
                await asyncio.Event().wait()
            if name == "decide":
                return accept_and_note(state)
            return {"facts": {**state.get("facts", {}), name: len(self.visits)}}

        node.__name__ = name
        return node


async def crash(task: asyncio.Task[None]) -> None:
    """End a worker as a kill does: nothing is drained, nothing given back."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("dies_in", "visits"),
    [
        ("first", ["first", "first", "second", "decide"]),
        ("second", ["first", "second", "second", "decide"]),
        ("decide", ["first", "second", "decide", "decide"]),
        ("act", ["first", "second", "decide"]),
    ],
)
async def test_after_a_crash_another_worker_goes_on_from_the_checkpoint(
    house: House, dies_in: str, visits: list[str]
) -> None:
    road = Road()
    road.hangs_in, house.board.hangs_after_the_note = dies_in, dies_in == "act"
    dying = asyncio.create_task(house.worker(road.workflow(), lease_s=LEASE_S).run(asyncio.Event()))
    await house.send(event())
    await until(lambda: dies_in in road.visits or house.board.notes)
    await crash(dying)
    road.hangs_in, house.board.hangs_after_the_note = "", False
    async with house.working(road.workflow(), lease_s=LEASE_S):
        await until(house.ended())
    (outcome,) = house.store.finished.values()
    assert (outcome.state, outcome.claim.fence, outcome.claim.takeovers) == (RunState.DONE, 2, 1)
    assert road.visits == visits
    assert len(house.board.notes) == 1
    assert [effect.state.value for effect in house.store.effects.values()] == ["executed"]
    assert len(await house.decisions()) == 1


async def test_after_a_crash_before_the_record_no_node_is_run_again(house: House) -> None:
    road, refused = Road(), asyncio.Event()

    class NoRecord(MemoryStore):
        async def record(self, *_: Any) -> set[UUID]:
            refused.set()
            await asyncio.Event().wait()
            return set()

    house.store = NoRecord()
    dying = asyncio.create_task(house.worker(road.workflow(), lease_s=LEASE_S).run(asyncio.Event()))
    await house.send(event())
    await refused.wait()
    await crash(dying)
    house.store.__class__ = MemoryStore
    async with house.working(road.workflow(), lease_s=LEASE_S):
        await until(house.ended())
    assert road.visits == ["first", "second", "decide"]
    assert house.board.calls == 1


async def test_a_run_that_kills_its_workers_ends_as_a_crash_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "MAX_TAKEOVERS", 2)
    road = Road()
    road.hangs_in = "second"
    await house.send(event())
    for life in range(1, 3):
        task = asyncio.create_task(house.worker(road.workflow(), lease_s=LEASE_S).run(asyncio.Event()))
        await until(lambda life=life: road.visits.count("second") == life)
        await crash(task)
    async with house.working(road.workflow(), lease_s=LEASE_S):
        await until(house.ended())
    outcome = house.outcomes()["s"]
    assert (outcome.state, outcome.error_class) == (RunState.FAILED, "CrashLoop")
    assert outcome.error == "2 workers died with this run"


async def test_a_worker_that_lost_its_lease_starts_over_under_another_name(house: House) -> None:
    road = Road()
    road.hangs_in = "second"
    async with house.working(road.workflow(), lease_s=LEASE_S) as worker:
        await house.send(event())
        await until(lambda: "second" in road.visits)
        before = worker.owner
        road.hangs_in = ""
        await house.store.retire(before)  # what another worker's takeover does
        await until(house.ended())
        await until(lambda: worker.owner != before)
    assert road.visits.count("first") == 1
    assert (len(house.store.finished), len(house.board.notes)) == (1, 1)


async def test_what_a_worker_without_lease_has_decided_is_not_recorded(house: House) -> None:
    release, visits = asyncio.Event(), []

    async def slow(state: Any) -> dict[str, Any]:
        visits.append(1)
        if len(visits) == 1:
            await release.wait()
        return accept(state)

    async with house.working(workflow(slow), lease_s=60) as worker:
        await house.send(event())
        await until(lambda: house.store._work and visits)
        await house.store.retire(worker.owner)
        heir = house.worker(workflow(slow), source=_Silent(), lease_s=60)
        stop = asyncio.Event()
        task = asyncio.create_task(heir.run(stop))
        await until(house.ended())
        release.set()
        await until(lambda: not worker._running)
        stop.set()
        await task
    assert worker.recorded == 0
    assert heir.recorded == 1


class _Silent:
    async def batch(self) -> list[Any]:
        await asyncio.Event().wait()
        return []

    def done(self, batch: Any) -> None:
        """Never reached."""


async def test_a_stop_gives_back_what_does_not_end_in_time(house: House) -> None:
    road = Road()
    road.hangs_in = "second"
    async with house.working(road.workflow(), drain_s=0.05):
        await house.send(event())
        await until(lambda: "second" in road.visits)
    (work,) = house.store._work.values()
    assert (work.state, work.owner, work.takeovers) == ("q", None, 0)
    road.hangs_in = ""
    async with house.working(road.workflow()):
        await until(house.ended())
    assert road.visits == ["first", "second", "second", "decide"]


async def test_a_stop_lets_what_is_in_hand_end_and_takes_nothing_new(house: House) -> None:
    release, started = asyncio.Event(), asyncio.Event()

    async def slow(state: Any) -> dict[str, Any]:
        started.set()
        await release.wait()
        return accept(state)

    worker, stop = house.worker(workflow(slow)), asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    await house.send(event("in hand"))
    await started.wait()
    stop.set()
    await until(lambda: "take_in" not in {task.get_name() for task in asyncio.all_tasks()})
    await house.send(event("new"))
    release.set()
    await task
    assert set(house.outcomes()) == {"in hand"}


async def test_a_run_that_is_being_drained_may_still_rest(house: House) -> None:
    started = asyncio.Event()

    async def failing(state: Any) -> dict[str, Any]:
        started.set()
        await asyncio.sleep(0.01)
        raise DatabaseUnreachable("gone")

    async with house.working(workflow(failing)):
        await house.send(event())
        await started.wait()
    (work,) = house.store._work.values()
    assert (work.state in {"q", "w"}, work.owner) == (True, None)


async def test_a_stop_ends_a_worker_whose_database_never_answered(house: House) -> None:
    class Away(MemoryStore):
        async def enlist(self, *_: Any) -> None:
            raise DatabaseUnreachable("away")

    house.store = Away()
    async with asyncio.timeout(5), house.working(workflow()):
        await asyncio.sleep(0.05)


async def test_a_stop_ends_a_worker_whose_database_went_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "UNWIND_S", 0.1)
    async with asyncio.timeout(5), house.working(workflow(), drain_s=0.1):
        await house.send(event())
        await until(house.ended())
        for name in ("record", "retire", "claim", "renew", "take_over", "accept", "retry"):
            monkeypatch.setattr(house.store, name, _away)
        await house.send(event("late"))


async def _away(*_: Any) -> Any:
    raise DatabaseUnreachable("away")


ANSWERS = ("enlist", "accept", "claim", "record", "retry", "renew", "take_over", "prepare", "begin", "finish")


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("is_committed", [True, False], ids=["answer lost", "call lost"])
async def test_a_call_of_the_store_that_breaks_off_loses_and_doubles_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str, is_committed: bool
) -> None:
    call, left = getattr(house.store, name), [2]

    async def breaks_twice(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            return await call(*arguments, **named)
        left[0] -= 1
        if is_committed:
            await call(*arguments, **named)
        raise DatabaseUnreachable("broken off")

    if name == "retry":
        house.board.problems = [DatabaseUnreachable("so that it rests")]
    monkeypatch.setattr(house.store, name, breaks_twice)
    async with house.working(workflow(accept_and_note), lease_s=0.5, concurrency=2):
        await house.send(*(event(f"s{n}") for n in range(4)), event("s0"))
        await until(house.ended(5))
        await until(lambda: left[0] == 0)
    assert [outcome.state for outcome in house.store.finished.values()] == [RunState.DONE] * 5
    assert len(house.board.notes) == 5
    assert len(await house.decisions()) == 5


class Refusing(MemoryStore):
    """A store that refuses rows of the subject `bad`, as a database does for a value that it cannot hold."""

    async def accept(self, group: str, owner: UUID, arrivals: Any, dead: Any, slots: int, quotas: Any = None) -> Any:
        if any(arrival.subject == "bad arrival" for arrival in arrivals):
            raise ValueError("cannot be stored")
        return await super().accept(group, owner, arrivals, dead, slots, quotas)

    async def record(self, owner: UUID, outcomes: Any, decisions_topic: str) -> set[UUID]:
        if any(o.claim.subject == "bad record" and o.decision for o in outcomes):
            raise ValueError("cannot be stored")
        return await super().record(owner, outcomes, decisions_topic)


async def test_a_record_that_the_store_refuses_fails_alone(house: House) -> None:
    house.store = Refusing()
    async with house.working(workflow()):
        await house.send(*(event(f"s{n}") for n in range(5)), event("bad record"), *(event(f"t{n}") for n in range(5)))
        await until(house.ended(11))
    failed = [subject for subject, outcome in house.outcomes().items() if outcome.state is RunState.FAILED]
    assert failed == ["bad record"]
    assert house.outcomes()["bad record"].error == "ValueError: cannot be stored"


async def test_an_event_that_the_store_refuses_is_a_dead_letter_alone(house: House) -> None:
    house.store = Refusing()
    events = [event(f"s{n % 3}" if n % 7 else "bad arrival", number=n) for n in range(40)]
    await house.send(*events)
    await house.send_bytes(b"rubbish")
    async with house.working(workflow()):
        await until(house.ended(sum(n % 7 != 0 for n in range(40))))
    assert sorted(letter.cause for letter in house.store.dead) == ["cannot be stored"] * 6 + [
        "not JSON: Expecting value: line 1 column 1 (char 0)"
    ]
    for subject in ("s0", "s1", "s2"):
        decided = [o.claim.event_id for o in house.store.finished.values() if o.claim.subject == subject]
        assert decided == [sent.event_id for sent in events if sent.subject == subject]
    ends = {record.partition: record.offset + 1 for record in house.log.records(EVENTS)}
    places = [(topic_id_of(EVENTS), partition) for partition in ends]
    assert await house.store.positions(GROUP, places) == dict(zip(places, ends.values(), strict=True))
