"""The sweep: nothing is lost, and the cursor never runs ahead of the broker's word."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from histories import ASSET, NOON, after, extra_of, ids_of
from structlog.testing import capture_logs
from sweeping import TOPIC, Bench

from tradeloop.airflow.envelope import envelopes
from tradeloop.airflow.sweep import CURSOR, LONG_DOWN, WHOLE_EVERY_S, accept_gap
from tradeloop.domain.records import Record
from tradeloop.errors import AirflowUnreachable, CaptureGap, PublishFailed
from tradeloop.testing.log import MemoryLog


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_emit_left_is_published_byte_by_byte(bench: Bench) -> None:
    extra = extra_of(1, events=3)
    bench.airflow.add_event(ASSET, extra, after(0))

    await bench.tick(after(10))

    records = bench.log.records(TOPIC)
    assert sorted(r.value.decode() for r in records) == sorted(e.body for e in envelopes(extra))
    assert {r.header("tradeloop_lane") for r in records} == {"sweep"}
    assert {r.key for r in records} == {b"s1"}
    assert Counter(UUID(r.header("ce_id")) for r in records) == Counter(ids_of(extra))


async def test_the_first_sweep_begins_with_the_oldest_row(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), NOON - timedelta(days=40))

    await bench.tick(NOON)

    assert len(bench.published) == 1
    assert await bench.cursor() == NOON


async def test_an_event_is_published_once_however_often_its_row_is_read(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(0))
    for second in range(5, 400, 5):
        await bench.tick(after(second), is_whole=second % 15 == 0)

    assert len(bench.published) == 1


async def test_the_cursor_waits_for_the_acknowledgement(bench: Bench) -> None:
    await bench.tick(after(0))
    extra = extra_of(1)
    bench.airflow.add_event(ASSET, extra, after(5))
    bench.log.is_away = True

    for second in (10, 1_000, 3_000):
        with pytest.raises(PublishFailed):
            await bench.tick(after(second))
    assert await bench.cursor() == after(0)

    bench.log.is_away = False
    await bench.tick(after(3_100))
    assert bench.published == ids_of(extra)
    assert await bench.cursor() == after(3_100)


async def test_a_failure_in_the_middle_of_catching_up_keeps_what_was_done(bench: Bench) -> None:
    for number in range(250):
        bench.airflow.add_event(ASSET, extra_of(number), NOON + timedelta(minutes=number * 2))
    await bench.store.move_cursor(CURSOR, NOON)

    class Faltering(MemoryLog):
        async def publish(self, records):  # type: ignore[no-untyped-def]
            self.is_away = len(self.records(TOPIC)) >= 150
            return await super().publish(records)

    bench.log = Faltering()
    bench.restart()
    now = NOON + timedelta(hours=9)
    with pytest.raises(PublishFailed):
        await bench.tick(now)

    reached = await bench.cursor()
    assert reached is not None
    assert NOON < reached < now
    assert len(bench.published) >= 120


async def test_a_row_that_commits_long_after_its_time_stamp_is_found(bench: Bench) -> None:
    for second in range(0, 300, 10):
        await bench.tick(after(second))
    extra = extra_of(1)
    bench.airflow.add_event(ASSET, extra, after(15))

    await bench.tick(after(300))

    assert bench.published == ids_of(extra)


async def test_a_row_that_outlasts_the_overlap_is_found_by_reconciling(bench: Bench) -> None:
    await bench.tick(after(0))
    await bench.tick(after(1_000))
    extra = extra_of(1)
    bench.airflow.add_event(ASSET, extra, after(15))
    await bench.tick(after(1_100))
    assert bench.published == []

    await bench.tick(after(3_700))

    assert bench.published == ids_of(extra)


async def test_reconciling_is_due_though_the_relay_restarts_every_half_hour(bench: Bench) -> None:
    await bench.tick(after(0))
    await bench.tick(after(1_800))
    bench.airflow.add_event(ASSET, extra_of(1), after(15))
    bench.restart()

    await bench.tick(after(3_601))

    assert len(bench.published) == 1


async def test_a_fresh_row_is_left_to_the_fast_lane_for_a_moment(bench: Bench) -> None:
    await bench.tick(after(0))
    bench.airflow.add_event(ASSET, extra_of(1), after(9.5))

    await bench.tick(after(10), is_whole=False)
    assert bench.published == []

    await bench.tick(after(10.6), is_whole=False)
    assert len(bench.published) == 1


async def test_a_row_that_was_too_fresh_is_found_by_the_next_relay(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(9.9))
    await bench.tick(after(10))
    bench.restart()

    await bench.tick(after(60))

    assert len(bench.published) == 1


async def test_what_the_fast_lane_has_brought_is_not_sent_again(bench: Bench) -> None:
    extra = extra_of(1)
    bench.airflow.add_event(ASSET, extra, after(0))
    bench.store._keys.update(ids_of(extra))

    await bench.tick(after(10))

    assert bench.published == []


async def test_a_row_that_airflow_cannot_serve_is_buried_once_and_stops_nothing(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(0))
    bench.airflow.add_event(ASSET, [1, 2], after(1))
    bench.airflow.add_event(ASSET, extra_of(2), after(2))

    await bench.tick(after(10))
    asked = bench.airflow.requests
    await bench.tick(after(30))
    searched_again = bench.airflow.requests - asked
    bench.restart()
    await bench.tick(after(50))

    assert len(bench.published) == 2
    assert [letter.error_class for letter in bench.store.dead] == ["AirflowRefused"]
    assert searched_again < 15


async def test_a_row_that_waits_for_its_runs_to_start_is_no_dead_letter(bench: Bench) -> None:
    waiting = bench.airflow.add_event(ASSET, extra_of(1), after(1))
    bench.airflow.add_event(ASSET, extra_of(2), after(2))
    bench.airflow.queued[waiting.id] = "consumer"
    await bench.tick(after(10))
    await bench.tick(after(30))
    assert (len(bench.published), bench.store.dead) == (1, [])

    del bench.airflow.queued[waiting.id]
    await bench.tick(after(50))

    assert (len(bench.published), bench.store.dead) == (2, [])


async def test_a_run_that_waits_hides_a_broken_row_only_until_it_starts(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, [1, 2], after(1))
    bench.airflow.queued[99] = "another"
    await bench.tick(after(10))
    assert bench.store.dead == []

    bench.airflow.queued.clear()
    await bench.tick(after(30))

    assert [letter.error_class for letter in bench.store.dead] == ["AirflowRefused"]


async def test_the_very_first_row_may_be_one_that_cannot_be_read(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, [1, 2], NOON - timedelta(days=3))
    bench.airflow.add_event(ASSET, extra_of(1), after(0))

    await bench.tick(after(10))

    assert len(bench.published) == 1
    assert len(bench.store.dead) == 1


async def test_a_restart_goes_on_without_sending_anything_again(bench: Bench) -> None:
    for number in range(5):
        bench.airflow.add_event(ASSET, extra_of(number), after(number))
    await bench.tick(after(10))
    bench.restart()
    bench.airflow.add_event(ASSET, extra_of(9), after(20))

    await bench.tick(after(60))

    assert len(bench.published) == len(set(bench.published)) == 6


async def test_a_relay_that_died_before_it_remembered_sends_again_and_loses_nothing(bench: Bench) -> None:
    extra = extra_of(1)
    bench.airflow.add_event(ASSET, extra, after(0))

    async def fails(published: object) -> None:
        raise ConnectionError("the database went away after the broker had acknowledged")

    remember, bench.store.remember = bench.store.remember, fails  # type: ignore[method-assign, assignment]
    with pytest.raises(ConnectionError):
        await bench.tick(after(10))
    bench.store.remember = remember  # type: ignore[method-assign]
    bench.restart()
    await bench.tick(after(20))

    assert bench.published == ids_of(extra) * 2


async def test_two_sweeps_lose_nothing_and_share_what_they_remember(bench: Bench) -> None:
    other = bench.another()
    extras = [extra_of(number) for number in range(20)]
    for number, extra in enumerate(extras):
        bench.airflow.add_event(ASSET, extra, after(number))
        await bench.tick(after(number + 2))
        other._whole_at -= WHOLE_EVERY_S
        await other.tick(after(number + 1))

    assert sorted(bench.published) == sorted(event_id for extra in extras for event_id in ids_of(extra))
    assert await bench.cursor() == after(21)


@pytest.mark.parametrize("is_whole", [False, True])
async def test_a_clock_that_was_set_back_does_not_blind_the_sweep(bench: Bench, is_whole: bool) -> None:
    await bench.tick(after(7_200))
    bench.airflow.add_event(ASSET, extra_of(1), after(5))

    await bench.tick(after(10), is_whole=is_whole)

    assert len(bench.published) == 1


async def test_an_airflow_whose_clock_is_behind_loses_nothing(bench: Bench) -> None:
    await bench.tick(after(0))
    for second in range(10, 100, 10):
        bench.airflow.add_event(ASSET, extra_of(second), after(second - 60))
        await bench.tick(after(second))

    assert len(bench.published) == 9


async def test_a_quiet_airflow_is_no_gap(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(0))
    await bench.tick(after(10))
    bench.restart()

    await bench.tick(after(10) + timedelta(days=10))

    assert len(bench.published) == 1


@pytest.mark.parametrize("is_empty", [False, True])
async def test_rows_that_were_deleted_unread_stop_the_sweep_with_an_alarm(bench: Bench, is_empty: bool) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(0))
    await bench.tick(after(10))
    later = after(10) + LONG_DOWN + timedelta(days=9)
    bench.airflow.delete_events(later)
    if not is_empty:
        bench.airflow.add_event(ASSET, extra_of(2), later - timedelta(minutes=5))

    for _ in range(2):
        with pytest.raises(CaptureGap, match="deleted unread"):
            await bench.tick(later)
    assert await bench.cursor() == after(10)

    given_up = await accept_gap(bench.airflow, bench.store, later)
    assert given_up == (after(10), later if is_empty else later - timedelta(minutes=5))
    await bench.tick(later)
    assert len(bench.published) == (1 if is_empty else 2)


async def test_there_is_nothing_to_accept_where_there_is_no_gap(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(0))
    await bench.tick(after(10))

    assert await accept_gap(bench.airflow, bench.store, after(20)) is None
    assert await bench.cursor() == after(10)


async def test_an_airflow_that_is_away_moves_nothing(bench: Bench) -> None:
    await bench.tick(after(0))
    bench.airflow.is_away = True
    with pytest.raises(AirflowUnreachable):
        await bench.tick(after(100))
    bench.airflow.is_away = False
    bench.airflow.add_event(ASSET, extra_of(1), after(50))

    await bench.tick(after(200))

    assert len(bench.published) == 1


async def test_nothing_is_published_that_is_no_record(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, extra_of(1), after(0))
    handed: list[Record] = []

    class Watching(MemoryLog):
        async def publish(self, records):  # type: ignore[no-untyped-def]
            handed.extend(records)
            return await super().publish(records)

    bench.log = Watching()
    bench.restart()
    await bench.tick(after(10))

    assert [(record.topic, record.key) for record in handed] == [(TOPIC, b"s1")]


async def test_missing_permissions_are_told_until_they_are_given(bench: Bench) -> None:
    bench.airflow.hidden = ("read DAG runs",)
    with capture_logs() as logs:
        await bench.tick(after(0))
        await bench.tick(after(1))
        bench.airflow.hidden = ()
        await bench.tick(after(2))
        await bench.tick(after(3))

    told = [entry["missing"] for entry in logs if entry["event"] == "airflow_permissions_missing"]
    assert told == [["read DAG runs"]] * 2
