"""What every store promises about dead letters: one replay, in order, audited, the bytes kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop.domain.letters import LetterFilter, LetterState, ReplayResult
from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.errors import NotFound
from tradeloop.ports import Arrival
from tradeloop.testing.letters import MemoryLetters
from tradeloop.testing.store import MemoryStore

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
RAW = b'{"broken": true}'


@dataclass
class Store:
    inbox: Any
    runs: Any
    letters: Any
    owner: UUID
    audited: Callable[[], Awaitable[list[tuple[str, int, str]]]]
    """Kind, letter and who, of every audit record of the dead letters, in order."""


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        memory = MemoryStore()
        letters = MemoryLetters(memory)

        async def kept() -> list[tuple[str, int, str]]:
            return letters.audit

        await memory.enlist(owner := uuid4(), "test", 60)
        yield Store(memory, memory, letters, owner, kept)
        return
    from tradeloop.domain.letters import DEAD_LETTER_STREAM
    from tradeloop.store.database import Database
    from tradeloop.store.inbox import PostgresInbox
    from tradeloop.store.letters import PostgresLetters
    from tradeloop.store.runs import PostgresRuns

    async with Database(request.getfixturevalue("database_url"), size=4) as database:

        async def audited() -> list[tuple[str, int, str]]:
            rows = await database.rows(
                "SELECT kind, body FROM audit WHERE stream_id = %s ORDER BY n", (DEAD_LETTER_STREAM,)
            )
            return [(row["kind"], row["body"]["letter"], row["body"]["by"]) for row in rows]

        runs = PostgresRuns(database)
        await runs.enlist(owner := uuid4(), "test", 60)
        yield Store(PostgresInbox(database), runs, PostgresLetters(database), owner, audited)


def arrival(offset: int = 0, *, subject: str = "s", event_id: UUID | None = None, raw: bytes = RAW) -> Arrival:
    return Arrival(
        received=Received("events", TOPIC, 0, offset, b"k", raw, (("tradeloop_lane", b"fast"),)),
        event_id=event_id or uuid4(),
        event_type="some.type",
        desk="desk",
        subject=subject,
        run_id=new_run_id(),
    )


def again(former: Arrival) -> Arrival:
    """The same event, on its way in a second time."""
    return arrival(subject=former.subject, event_id=former.event_id, raw=former.received.value)


def failed(claim: Claim, error: str = "ValueError: broken") -> Outcome:
    return Outcome(claim, RunState.FAILED, uuid4(), "desk", "v1", error=error, error_class="ValueError")


async def take(store: Store, *arrivals: Arrival, slots: int = 10) -> list[Claim]:
    claims: list[Claim] = await store.inbox.accept("g", store.owner, arrivals, [], slots)
    return claims


async def failing(store: Store, *arrivals: Arrival) -> list[Any]:
    """Take these in and let them fail; their letters."""
    claims = await take(store, *arrivals)
    await store.runs.record(store.owner, [failed(claim) for claim in claims], "decisions")
    found: list[Any] = await store.letters.after(0, LetterFilter(), 100)
    return found


async def unreadable(store: Store, offset: int = 0, cause: str = "not JSON", topic: str = "events") -> Any:
    received = Received(topic, TOPIC, 0, offset, b"k", RAW)
    letter = DeadLetter("kafka", cause, "EventNotJson", RAW, topic, TOPIC, 0, offset)
    await store.inbox.accept("g", store.owner, [], [(received, letter)], 0)
    return (await store.letters.after(0, LetterFilter(), 100))[-1]


async def test_a_failed_run_is_replayed_as_the_next_generation(store: Store) -> None:
    first = arrival()
    [letter] = await failing(store, first)
    replayed = again(first)
    answer = await store.letters.replay(letter.letter_id, replayed, "anna.k")
    assert (answer.result, answer.run_id, answer.generation) == (ReplayResult.REPLAYED, replayed.run_id, 1)
    [claim] = await store.runs.claim(store.owner, ["desk"], 10)
    assert (claim.run_id, claim.event_id, claim.generation, claim.payload) == (
        replayed.run_id,
        first.event_id,
        1,
        RAW,
    )


async def test_a_replayed_letter_keeps_its_bytes_and_says_who_and_which_run(store: Store) -> None:
    first = arrival()
    [letter] = await failing(store, first)
    replayed = again(first)
    await store.letters.replay(letter.letter_id, replayed, "anna.k")
    found = await store.letters.find(letter.letter_id)
    assert (found.state, found.decided_by, found.replay_run_id, found.raw) == (
        LetterState.REPLAYED,
        "anna.k",
        replayed.run_id,
        RAW,
    )
    assert found.decided_at is not None
    assert await store.audited() == [("dead_letter_replayed", letter.letter_id, "anna.k")]


async def test_a_second_replay_changes_nothing(store: Store) -> None:
    first = arrival()
    [letter] = await failing(store, first)
    await store.letters.replay(letter.letter_id, again(first), "anna.k")
    answer = await store.letters.replay(letter.letter_id, again(first), "ben.o")
    assert (answer.result, answer.run_id) == (ReplayResult.SETTLED, None)
    assert len(await store.runs.claim(store.owner, ["desk"], 10)) == 1
    assert len(await store.audited()) == 1


async def test_replays_at_the_same_time_make_one_run(store: Store) -> None:
    first = arrival()
    [letter] = await failing(store, first)
    answers = await asyncio.gather(*(store.letters.replay(letter.letter_id, again(first), "a") for _ in range(4)))
    assert sorted(answer.result for answer in answers) == ["replayed", "settled", "settled", "settled"]
    assert len(await store.runs.claim(store.owner, ["desk"], 10)) == 1


async def test_a_replay_that_fails_leaves_a_letter_of_its_own(store: Store) -> None:
    first = arrival()
    [letter] = await failing(store, first)
    await store.letters.replay(letter.letter_id, again(first), "a")
    claims = await store.runs.claim(store.owner, ["desk"], 10)
    await store.runs.record(store.owner, [failed(claim) for claim in claims], "decisions")
    [second] = await store.letters.after(0, LetterFilter(), 10)
    assert second.letter_id > letter.letter_id
    answer = await store.letters.replay(second.letter_id, again(first), "a")
    assert (answer.result, answer.generation) == (ReplayResult.REPLAYED, 2)


async def test_an_unreadable_event_that_can_be_read_enters_for_the_first_time(store: Store) -> None:
    letter = await unreadable(store, offset=7)
    assert letter.place == "events[0]@7"
    event = arrival()
    answer = await store.letters.replay(letter.letter_id, event, "a")
    assert (answer.result, answer.generation) == (ReplayResult.REPLAYED, 0)
    [claim] = await store.runs.claim(store.owner, ["desk"], 10)
    assert (claim.event_id, claim.generation) == (event.event_id, 0)


async def test_an_event_that_came_in_another_way_is_not_put_back(store: Store) -> None:
    letter = await unreadable(store, offset=0)
    event = arrival(1)
    await take(store, event)
    answer = await store.letters.replay(letter.letter_id, again(event), "a")
    assert answer.result is ReplayResult.DOUBLED
    assert (await store.letters.find(letter.letter_id)).state is LetterState.OPEN
    assert await store.audited() == []


async def test_the_event_of_a_replay_is_a_double_when_it_arrives_again(store: Store) -> None:
    letter = await unreadable(store, offset=0)
    event = arrival(1)
    await store.letters.replay(letter.letter_id, event, "a")
    assert await take(store, event) == []
    assert len(await store.runs.claim(store.owner, ["desk"], 10)) == 1


async def test_another_event_than_the_letters_is_not_put_back(store: Store) -> None:
    [letter] = await failing(store, arrival())
    answer = await store.letters.replay(letter.letter_id, arrival(), "a")
    assert answer.result is ReplayResult.DOUBLED


async def test_a_replay_waits_for_what_lives_of_its_subject(store: Store) -> None:
    first = arrival(0)
    [letter] = await failing(store, first)
    [live] = await take(store, arrival(1))
    replayed, later = again(first), arrival(2)
    await store.letters.replay(letter.letter_id, replayed, "a")
    assert await take(store, later) == []
    assert await store.runs.claim(store.owner, ["desk"], 10) == []
    await store.runs.record(store.owner, [failed(live)], "decisions")
    [second] = await store.runs.claim(store.owner, ["desk"], 10)
    assert second.run_id == replayed.run_id
    await store.runs.record(store.owner, [failed(second)], "decisions")
    [third] = await store.runs.claim(store.owner, ["desk"], 10)
    assert third.run_id == later.run_id


async def test_a_discarded_letter_is_kept_with_its_reason_and_never_replayed(store: Store) -> None:
    first = arrival()
    [letter] = await failing(store, first)
    assert await store.letters.discard(letter.letter_id, "anna.k", "test data")
    assert not await store.letters.discard(letter.letter_id, "ben.o", "again")
    answer = await store.letters.replay(letter.letter_id, again(first), "ben.o")
    found = await store.letters.find(letter.letter_id)
    assert answer.result is ReplayResult.SETTLED
    assert (found.state, found.decided_by, found.reason, found.raw) == (
        LetterState.DISCARDED,
        "anna.k",
        "test data",
        RAW,
    )
    assert await store.audited() == [("dead_letter_discarded", letter.letter_id, "anna.k")]


async def test_a_letter_that_does_not_exist_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no dead letter 99"):
        await store.letters.find(99)


async def test_letters_are_narrowed_by_every_filter(store: Store) -> None:
    [run] = await failing(store, arrival())
    kafka = await unreadable(store, offset=5, cause="not UTF-8: byte 7", topic="other")
    await store.letters.discard(kafka.letter_id, "a", "r")
    later = await unreadable(store, offset=6, cause="not JSON at all", topic="other")
    now = datetime.now(UTC)

    async def numbers(wanted: LetterFilter) -> list[int]:
        found = [letter.letter_id for letter in await store.letters.after(0, wanted, 10)]
        assert await store.letters.count(wanted) == len(found)
        return found

    assert await numbers(LetterFilter()) == [run.letter_id, later.letter_id]
    assert await numbers(LetterFilter(state=None)) == [run.letter_id, kafka.letter_id, later.letter_id]
    assert await numbers(LetterFilter(state=LetterState.DISCARDED)) == [kafka.letter_id]
    assert await numbers(LetterFilter(ids=(later.letter_id,))) == [later.letter_id]
    assert await numbers(LetterFilter(cause="NOT JSON")) == [later.letter_id]
    assert await numbers(LetterFilter(kind="ValueError")) == [run.letter_id]
    assert await numbers(LetterFilter(source="kafka")) == [later.letter_id]
    assert await numbers(LetterFilter(topic="other")) == [later.letter_id]
    assert await numbers(LetterFilter(since=now - timedelta(hours=1))) == [run.letter_id, later.letter_id]
    assert await numbers(LetterFilter(since=now + timedelta(hours=1))) == []
    assert await store.letters.after(run.letter_id, LetterFilter(), 10) == [later]
