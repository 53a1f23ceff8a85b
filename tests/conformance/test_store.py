"""What every store promises the engine; run against memory and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from tradeloop import Decision, WorkflowEvent
from tradeloop.domain.records import DeadLetter, Received, Record
from tradeloop.domain.runs import Claim, Outcome, RunState, new_run_id
from tradeloop.ports import Arrival
from tradeloop.testing.store import MemoryStore

TOPIC = UUID("00000000-0000-0000-0000-0000000000aa")
GROUP = "conformance"


@dataclass
class Store:
    inbox: Any
    runs: Any
    effects: Any
    outbox: Any
    captures: Any
    owner: UUID
    seen: Any
    """Counts of what is not part of a port: doubles, dead letters, unhandled."""


def _memory() -> Store:
    store = MemoryStore()

    async def seen() -> SimpleNamespace:
        letters = [(letter.error_class, letter.cause, letter.raw) for letter in store.dead]
        counts = {"doubles": len(store.doubles), "differing": len(store.differing), "unhandled": len(store.unhandled)}
        return SimpleNamespace(**counts, dead=len(letters), letters=letters)

    return Store(store, store, store, store, store, uuid4(), seen)


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        found = _memory()
        await found.runs.enlist(found.owner, "test", 60)
        yield found
        return
    from tradeloop.store.captures import PostgresCaptures
    from tradeloop.store.database import Database
    from tradeloop.store.effects import PostgresEffects
    from tradeloop.store.inbox import PostgresInbox
    from tradeloop.store.outbox import PostgresOutbox
    from tradeloop.store.runs import PostgresRuns

    async with Database(request.getfixturevalue("database_url"), size=4) as database:

        async def seen() -> SimpleNamespace:
            row = await database.row(
                "SELECT (SELECT count(*) FROM inbox_doubles) AS doubles, (SELECT count(*) FROM dead_letters) AS dead, "
                "(SELECT count(*) FROM inbox_doubles WHERE differs) AS differing, "
                "(SELECT count(*) FROM runs WHERE state = 'unhandled') AS unhandled"
            )
            rows = await database.rows("SELECT error_class, cause, raw FROM dead_letters ORDER BY dl_id")
            letters = [(found["error_class"], found["cause"], bytes(found["raw"])) for found in rows]
            return SimpleNamespace(**(row or {}), letters=letters)

        found = Store(
            PostgresInbox(database),
            PostgresRuns(database),
            PostgresEffects(database),
            PostgresOutbox(database),
            PostgresCaptures(database),
            uuid4(),
            seen,
        )
        await found.runs.enlist(found.owner, "test", 60)
        yield found


def arrival(
    offset: int, *, subject: str = "s", desk: str = "desk", event_id: UUID | None = None, part: int = 0
) -> Arrival:
    return Arrival(
        received=Received("events", TOPIC, part, offset, b"k", b'{"n": 1}', (("tradeloop_lane", b"fast"),)),
        event_id=event_id or uuid4(),
        event_type="some.type",
        desk=desk,
        subject=subject,
        run_id=new_run_id(),
    )


def ended(claim: Claim, state: RunState = RunState.DONE) -> Outcome:
    decision_id = uuid4()
    event = WorkflowEvent(
        event_id=decision_id,
        event_type="decision.recorded",
        timestamp=datetime.now(UTC),
        source="tradeloop",
        workflow_id="w",
        workflow_run_id="r",
        subject=claim.subject,
    )
    return Outcome(
        claim=claim,
        state=state,
        decision_id=decision_id,
        graph="g",
        graph_version="v",
        decision=Decision(outcome="ACCEPT"),
        event=event if state is RunState.DONE else None,
        error="" if state is RunState.DONE else "broken",
    )


async def take(store: Store, *arrivals: Arrival, slots: int = 10) -> list[Claim]:
    return await store.inbox.accept(GROUP, store.owner, list(arrivals), [], slots)


async def test_an_accepted_event_is_claimed_at_once(store: Store) -> None:
    only = arrival(0)
    claims = await take(store, only)
    assert [(c.run_id, c.fence, c.payload) for c in claims] == [(only.run_id, 1, b'{"n": 1}')]


async def test_the_position_moves_behind_what_was_accepted(store: Store) -> None:
    await take(store, arrival(0), arrival(7, part=1))
    assert await store.inbox.positions(GROUP, [(TOPIC, 0), (TOPIC, 1), (TOPIC, 2)]) == {(TOPIC, 0): 1, (TOPIC, 1): 8}


async def test_records_below_the_position_change_nothing(store: Store) -> None:
    await take(store, arrival(5))
    assert await take(store, arrival(3), arrival(5)) == []
    assert (await store.seen()).doubles == 0


async def test_an_event_that_comes_again_is_counted_and_dropped(store: Store) -> None:
    first = arrival(0)
    await take(store, first)
    assert await take(store, arrival(1, event_id=first.event_id)) == []
    assert (await store.seen()).doubles == 1


def again(first: Arrival, offset: int, value: bytes, lane: bytes = b"fast") -> Arrival:
    """The same event id, with this value."""
    other = arrival(offset, event_id=first.event_id)
    return replace(other, received=replace(other.received, value=value, headers=(("tradeloop_lane", lane),)))


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
async def test_an_id_with_other_content_is_a_dead_letter_and_never_runs(store: Store, together: bool) -> None:
    first = arrival(0)
    batches = [[first, again(first, 1, b'{"n": 2}')]] if together else [[first], [again(first, 1, b'{"n": 2}')]]
    claims = [claim for batch in batches for claim in await take(store, *batch)]
    assert [claim.run_id for claim in claims] == [first.run_id]
    seen = await store.seen()
    cause = f"event_id {first.event_id} was accepted before with other content, from events[0]@0"
    assert (seen.doubles, seen.differing) == (1, 1)
    assert seen.letters == [("EventIdReused", cause, b'{"n": 2}')]


async def test_the_same_content_spelled_differently_is_only_a_double(store: Store) -> None:
    first = arrival(0)
    await take(store, first, again(first, 1, b'{"n":1}'))
    seen = await store.seen()
    assert (seen.doubles, seen.differing, seen.dead) == (1, 0, 0)


async def test_what_the_sweep_tells_again_with_other_words_is_marked_and_nobodys_mistake(store: Store) -> None:
    first = arrival(0)
    told = replace(first, received=replace(first.received, headers=(("tradeloop_lane", b"sweep"),)))
    await take(store, told)
    await take(store, again(first, 1, b'{"n": 2}', lane=b"sweep"))
    seen = await store.seen()
    assert (seen.doubles, seen.differing, seen.dead) == (1, 1, 0)


async def test_an_event_twice_in_one_batch_makes_one_run(store: Store) -> None:
    first = arrival(0)
    claims = await take(store, first, arrival(1, event_id=first.event_id))
    assert [claim.run_id for claim in claims] == [first.run_id]


async def test_only_the_head_of_a_subject_runs(store: Store) -> None:
    first, second, other = arrival(0), arrival(1), arrival(2, subject="other")
    claims = await take(store, first, second, other)
    assert {claim.run_id for claim in claims} == {first.run_id, other.run_id}
    assert await store.runs.claim(store.owner, ["desk"], 10) == []


async def test_the_record_of_a_run_lets_the_next_of_its_subject_go(store: Store) -> None:
    first, second = arrival(0), arrival(1)
    (claim,) = await take(store, first, second)
    assert await store.runs.record(store.owner, [ended(claim)], "decisions") == {first.run_id}
    (following,) = await store.runs.claim(store.owner, ["desk"], 10)
    assert following.run_id == second.run_id


async def test_no_more_runs_are_claimed_than_there_are_slots(store: Store) -> None:
    claims = await take(store, *(arrival(n, subject=f"s{n}") for n in range(5)), slots=2)
    assert len(claims) == 2
    assert len(await store.runs.claim(store.owner, ["desk"], 2)) == 2


async def test_a_type_that_nobody_handles_is_recorded_as_such(store: Store) -> None:
    assert await take(store, arrival(0, desk="")) == []
    assert (await store.seen()).unhandled == 1


async def test_a_dead_letter_read_twice_is_one(store: Store) -> None:
    received = Received("events", TOPIC, 0, 0, None, b"rubbish")
    letter = DeadLetter("kafka", "not JSON", "EventNotJson", b"rubbish", "events", TOPIC, 0, 0)
    for _ in range(2):
        await store.inbox.accept(GROUP, store.owner, [], [(received, letter)], 10)
    assert (await store.seen()).dead == 1
    assert await store.inbox.positions(GROUP, [(TOPIC, 0)]) == {(TOPIC, 0): 1}


async def test_a_run_is_recorded_once(store: Store) -> None:
    (claim,) = await take(store, arrival(0))
    outcome = ended(claim)
    assert await store.runs.record(store.owner, [outcome], "decisions") == {claim.run_id}
    assert await store.runs.record(store.owner, [outcome], "decisions") == set()


async def test_a_decision_waits_in_the_outbox_until_it_is_removed(store: Store) -> None:
    (claim,) = await take(store, arrival(0, subject="SPX"))
    await store.runs.record(store.owner, [ended(claim)], "decisions")
    lanes = await store.outbox.hold(store.owner, 10)
    (row,) = await store.outbox.pending(lanes, 10)
    assert (row.record.topic, row.record.key) == ("decisions", b"SPX")
    await store.outbox.remove([row.id])
    assert await store.outbox.pending(lanes, 10) == []


async def test_lanes_belong_to_one_relay_at_a_time(store: Store) -> None:
    other = uuid4()
    assert len(await store.outbox.hold(store.owner, 10)) == 16
    assert await store.outbox.hold(other, 10) == []
    await store.outbox.release(store.owner)
    assert len(await store.outbox.hold(other, 10)) == 16


async def test_a_failed_run_leaves_a_dead_letter(store: Store) -> None:
    (claim,) = await take(store, arrival(0))
    await store.runs.record(store.owner, [ended(claim, RunState.FAILED)], "decisions")
    assert (await store.seen()).dead == 1


async def test_a_resting_run_comes_back_when_it_is_due(store: Store) -> None:
    (claim,) = await take(store, arrival(0))
    assert await store.runs.retry(store.owner, claim, 0.0, "Error: later")
    assert await store.runs.claim(store.owner, ["desk"], 10) == []
    assert await store.runs.take_over() == 1
    (again,) = await store.runs.claim(store.owner, ["desk"], 10)
    assert (again.run_id, again.fence, again.fails) == (claim.run_id, 2, 1)


async def test_the_runs_of_a_dead_worker_go_to_another(store: Store) -> None:
    dead, (claim,) = store.owner, await take(store, arrival(0))
    assert await store.runs.renew(dead, -1.0)
    assert await store.runs.take_over() == 1
    heir = uuid4()
    await store.runs.enlist(heir, "test", 60)
    (taken,) = await store.runs.claim(heir, ["desk"], 10)
    assert (taken.fence, taken.takeovers) == (2, 1)
    assert await store.runs.record(dead, [ended(claim)], "decisions") == set()
    assert not await store.runs.renew(dead, 60)
    assert await store.runs.record(heir, [ended(taken)], "decisions") == {taken.run_id}


async def test_a_worker_that_leaves_gives_its_runs_back(store: Store) -> None:
    await take(store, arrival(0))
    await store.runs.retire(store.owner)
    assert len(await store.runs.claim(uuid4(), ["desk"], 10)) == 1


async def test_the_capture_cursor_never_moves_back(store: Store) -> None:
    late, early = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    assert await store.captures.cursor("business") is None
    await store.captures.move_cursor("business", late)
    await store.captures.move_cursor("business", early)
    assert await store.captures.cursor("business") == late


async def test_what_was_published_accepted_or_buried_is_known(store: Store) -> None:
    accepted, published, buried, unknown = arrival(0), uuid4(), uuid4(), uuid4()
    await take(store, accepted)
    await store.captures.remember([(published, {"dag": "d"})])
    await store.captures.bury([DeadLetter("airflow", "redacted", "EventRedacted", b"{}", event_id=buried)])
    asked = [accepted.event_id, published, buried, unknown]
    assert await store.captures.known(asked) == {accepted.event_id, published, buried}


async def test_a_worker_can_ask_what_it_owns(store: Store) -> None:
    first, second, other = arrival(0), arrival(1), arrival(2, subject="other")
    claims = await take(store, first, second, other)
    owned = await store.runs.owned(store.owner)
    assert owned == sorted(claims, key=lambda claim: claim.run_id != first.run_id)
    await store.runs.record(store.owner, [ended(owned[0])], "decisions")
    assert [claim.run_id for claim in await store.runs.owned(store.owner)] == [other.run_id]
    assert await store.runs.owned(uuid4()) == []


async def test_a_worker_may_enlist_twice(store: Store) -> None:
    await store.runs.enlist(store.owner, "test", 60)
    assert await store.runs.renew(store.owner, 60)


async def test_a_record_with_a_clock_of_its_own_is_taken_in(store: Store) -> None:
    for offset, at_ms in enumerate((-1, 0, 10**18)):
        made = arrival(offset, subject=f"s{offset}")
        made = replace(made, received=replace(made.received, appended_at_ms=at_ms))
        assert len(await take(store, made)) == 1


async def test_the_first_id_that_is_bound_to_a_key_stays(store: Store) -> None:
    key, first, second, other = uuid4(), uuid4(), uuid4(), uuid4()
    assert await store.captures.bind({key: first}) == {key: first}
    assert await store.captures.bind({key: second, other: second}) == {key: first, other: second}
    assert await store.captures.known([first, second]) == set()
    await store.captures.remember([(first, {"dag_id": "d"})])
    assert await store.captures.bind({key: second}) == {key: first}
    assert await store.captures.known([first, second]) == {first}


async def test_a_record_of_an_effect_waits_in_the_outbox_too(store: Store) -> None:
    record = Record("events", b"SPX", b'{"n": 1}', (("ce_id", b"x"), ("ce_id", b"y")))
    await store.outbox.append(record)
    lanes = await store.outbox.hold(store.owner, 10)
    (row,) = await store.outbox.pending(lanes, 10)
    assert row.record == record


async def test_large_rows_of_the_outbox_are_handed_out_a_few_at_a_time(database_url: str) -> None:
    from tradeloop.store.database import Database
    from tradeloop.store.outbox import PostgresOutbox

    async with Database(database_url, size=1) as database:
        await database.rows(
            "INSERT INTO outbox (lane, topic, key, value, headers) "
            "SELECT n %% 16, 't', 'k', convert_to(repeat('x', 900000), 'UTF8'), '[]' FROM generate_series(1, 40) n",
            {},
        )
        outbox, counts = PostgresOutbox(database), []
        while rows := await outbox.pending(range(16), 500):
            counts.append(len(rows))
            await outbox.remove([row.id for row in rows])
    assert counts == [18, 18, 4]


async def test_a_batch_starts_no_more_of_a_desk_than_its_quota(store: Store) -> None:
    arrivals = [arrival(n, subject=f"{desk}{n}", desk=desk) for n, desk in enumerate("aaaabbc")]
    claims = await store.inbox.accept(GROUP, store.owner, arrivals, [], 9, {"a": 2, "b": 1})
    assert sorted(claim.desk for claim in claims) == ["a", "a", "b"]


async def test_a_claim_gives_each_desk_its_quota_and_the_oldest_first(store: Store) -> None:
    arrivals = [arrival(n, subject=f"{desk}{n}", desk=desk) for n, desk in enumerate("aaaabbc")]
    await take(store, *arrivals, slots=0)
    claims = await store.runs.claim(store.owner, ["a", "b", "c"], 4, quotas={"a": 3, "b": 1, "c": 1})
    assert sorted(claim.subject for claim in claims) == ["a0", "a1", "b4", "c6"]


async def test_the_version_of_the_first_claim_stays_on_the_run(store: Store) -> None:
    await take(store, arrival(0), slots=0)
    (claim,) = await store.runs.claim(store.owner, ["desk"], 9, graphs=[("some.type", "v1")])
    assert claim.graph_version == "v1"
    assert await store.runs.retry(store.owner, claim, 0, "E: passing")
    await store.runs.take_over()
    assert await store.runs.claim(store.owner, ["desk"], 9, graphs=[("some.type", "v2")]) == []
    (again,) = await store.runs.claim(store.owner, ["desk"], 9, graphs=[("some.type", "v2"), ("some.type", "v1")])
    assert (again.graph_version, again.fence) == ("v1", 2)


async def test_a_run_that_starts_at_once_has_the_version_of_its_intake(store: Store) -> None:
    (claim,) = await take(store, replace(arrival(0), graph_version="v1"))
    assert claim.graph_version == "v1"
    assert [owned.graph_version for owned in await store.runs.owned(store.owner)] == ["v1"]


async def test_a_type_without_a_graph_here_is_left_to_other_workers(store: Store) -> None:
    await take(store, arrival(0), slots=0)
    assert await store.runs.claim(store.owner, ["desk"], 9, graphs=[("other.type", "v1")]) == []


async def test_a_run_whose_version_nobody_has_stops_and_wakes_with_a_worker_that_has_it(store: Store) -> None:
    (claim,) = await take(store, replace(arrival(0), graph_version="v1"))
    assert await store.runs.retry(store.owner, claim, 0, "E: passing")
    await store.runs.take_over()
    await store.runs.tend(0)
    found = await store.runs.tend(0)
    assert found.heads == 0
    assert await store.runs.claim(store.owner, ["desk"], 9) == []
    other = uuid4()
    await store.runs.enlist(other, "test", 60, ["v1"])
    assert (await store.runs.tend(0)).served == 1
    (again,) = await store.runs.claim(other, ["desk"], 9, graphs=[("some.type", "v1")])
    assert again.run_id == claim.run_id


async def test_a_buried_worker_gets_no_run(store: Store) -> None:
    await store.runs.retire(store.owner)
    assert await take(store, arrival(0)) == []
    assert await store.runs.claim(store.owner, ["desk"], 9) == []


async def test_the_backlog_counts_what_is_queued_up_to_a_bound(store: Store) -> None:
    await take(store, *(arrival(n, subject=f"s{n}") for n in range(5)), slots=2)
    assert [await store.runs.backlog(bound) for bound in (2, 10)] == [2, 3]


async def test_nobody_wants_a_run_cancelled_unless_it_is_said(store: Store) -> None:
    await take(store, arrival(0))
    assert await store.runs.cancellable(store.owner) == {}
