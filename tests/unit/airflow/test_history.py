"""Reading Airflow's history: every readable row once, whatever the pages do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from histories import ASSET, NOON, after
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tradeloop.airflow.history import BEGINNING, AssetHistory
from tradeloop.errors import AirflowForbidden, AirflowRefused, AirflowUnreachable
from tradeloop.ports import AssetEventPage
from tradeloop.testing.airflow import MemoryAirflow

SOON = after(60)


async def read(history: AssetHistory, since: datetime = NOON, until: datetime = SOON) -> list[int]:
    return [row.id async for _, rows in history.parts(since, until) for row in rows]


STAMPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 59_999_999)),  # microseconds: few instants, or any
        st.sampled_from([1, 2, 3, 40, 101, 130]),  # rows in a burst
    ),
    max_size=5,
)


@effort(max_examples=40, deadline=None)
@given(bursts=STAMPS, poisoned=st.sets(st.integers(0, 300), max_size=3), page_limit=st.sampled_from([1, 20, 99, 100]))
async def test_every_readable_row_comes_once_and_by_time(
    bursts: list[tuple[int, int]], poisoned: set[int], page_limit: int
) -> None:
    airflow = MemoryAirflow(page_limit=page_limit)
    stamps = [NOON + timedelta(microseconds=stamp) for stamp, count in bursts for _ in range(count)]
    for number, stamp in enumerate(stamps):
        airflow.add_event(ASSET, [1, 2] if number in poisoned else {}, stamp)
    bad = [number + 1 for number in range(len(stamps)) if number in poisoned]
    history = AssetHistory(airflow)

    first, again = await read(history), await read(history)

    expected = sorted((stamp, n) for n, stamp in enumerate(stamps, 1) if n not in bad)
    assert sorted(first) == sorted(again) == sorted(n for _, n in expected)
    assert [stamps[n - 1] for n in first] == [stamp for stamp, _ in expected]
    assert sum(history.unreadable.values()) == len(bad)


async def test_a_known_bad_row_is_not_searched_for_again() -> None:
    airflow = MemoryAirflow()
    airflow.add_event(ASSET, [1, 2], after(17.123456))
    history = AssetHistory(airflow)

    await read(history)
    search = airflow.requests
    await read(history)

    assert search < 150
    assert airflow.requests - search <= 8


async def test_a_lowered_page_limit_loses_nothing() -> None:
    airflow = MemoryAirflow(page_limit=100)
    for number in range(100):
        airflow.add_event(ASSET, {}, after(number / 10))
    history = AssetHistory(airflow)
    await read(history)
    airflow.page_limit = 20

    assert len(await read(history)) == 100


async def test_a_row_that_commits_between_two_pages_shifts_nothing() -> None:
    airflow = MemoryAirflow(page_limit=10)
    for number in range(30):
        airflow.add_event(ASSET, {}, after(10 + number))
    history = AssetHistory(airflow)

    def commit_late() -> None:
        if airflow.requests == 2:
            airflow.add_event(ASSET, {}, after(1))

    airflow.before_request = commit_late

    assert sorted(await read(history)) == list(range(1, 31))
    airflow.before_request = lambda: None
    assert sorted(await read(history)) == list(range(1, 32))


async def test_the_parts_tell_how_far_everything_was_read() -> None:
    airflow = MemoryAirflow()
    for hours in (0.5, 1.5, 700):
        airflow.add_event(ASSET, {}, NOON + timedelta(hours=hours))

    reached, until = NOON, NOON + timedelta(days=60)
    async for to, rows in AssetHistory(airflow).parts(NOON, until):
        assert all(reached <= row.timestamp < to for row in rows)
        assert to > reached
        reached = to

    assert reached == until


async def test_years_without_a_row_are_crossed_in_few_requests() -> None:
    airflow = MemoryAirflow()

    await read(AssetHistory(airflow), NOON - timedelta(days=3650), NOON)

    assert airflow.requests < 150


async def test_an_ill_airflow_is_not_taken_for_bad_rows() -> None:
    airflow = MemoryAirflow(is_ill=True)
    airflow.add_event(ASSET, {}, after(1))
    history = AssetHistory(airflow)

    with pytest.raises(AirflowUnreachable, match="ill itself"):
        await read(history)

    assert history.unreadable == {}
    assert airflow.requests <= 4


async def test_an_airflow_that_falls_ill_in_the_middle_of_the_search_blames_no_row() -> None:
    airflow = MemoryAirflow()
    airflow.add_event(ASSET, [1, 2], after(1))
    airflow.add_event(ASSET, {}, after(2))
    history = AssetHistory(airflow)

    def fall_ill() -> None:
        airflow.is_ill = airflow.requests > 40

    airflow.before_request = fall_ill

    with pytest.raises(AirflowUnreachable):
        await read(history)
    assert history.unreadable == {}

    airflow.before_request = lambda: None
    airflow.is_ill = False
    assert await read(history) == [2]


class Stumbling(MemoryAirflow):
    """Its first answer about the second row of an instant is 500, whatever the row."""

    stumbled = False

    async def asset_events(self, since: datetime, until: datetime, *, limit: int, offset: int = 0) -> AssetEventPage:
        if offset == 1 and not self.stumbled:
            self.stumbled = True
            raise AirflowRefused("Airflow answered 500", status=500)
        return await super().asset_events(since, until, limit=limit, offset=offset)


async def test_one_weak_moment_does_not_make_a_good_row_unreadable() -> None:
    airflow = Stumbling()
    airflow.add_event(ASSET, [1, 2], after(1))
    airflow.add_event(ASSET, {}, after(1))
    history = AssetHistory(airflow)

    assert await read(history) == [2]
    assert airflow.stumbled
    assert list(history.unreadable.values()) == [1]


@pytest.mark.parametrize("mood", ["is_away", "is_forbidden"])
async def test_other_answers_are_passed_on(mood: str) -> None:
    airflow = MemoryAirflow(**{mood: True})

    with pytest.raises((AirflowUnreachable, AirflowForbidden)):
        await read(AssetHistory(airflow))

    assert airflow.requests == 1


async def test_a_bad_row_that_was_deleted_is_forgotten() -> None:
    airflow = MemoryAirflow()
    airflow.add_event(ASSET, [1, 2], after(1))
    history = AssetHistory(airflow)
    await read(history)
    airflow.delete_events(after(2))

    await read(history)

    assert history.unreadable == {}


async def test_the_oldest_row_is_found_though_it_cannot_be_read() -> None:
    airflow = MemoryAirflow()
    assert await AssetHistory(airflow).oldest_at() is None
    airflow.add_event(ASSET, [1, 2], after(0))
    airflow.add_event(ASSET, {}, after(3600))

    oldest = await AssetHistory(airflow).oldest_at()

    assert oldest is not None
    assert BEGINNING < after(-1) <= oldest <= after(0)
