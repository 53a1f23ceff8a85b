"""The comparison of Airflow's history with the inbox: each kind of difference by its name."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from histories import ASSET, MemoryHistory, after, extra_of, ids_of

from tradeloop.airflow.capture_audit import CaptureReport, audit_capture
from tradeloop.testing.airflow import MemoryAirflow

SINCE, UNTIL = after(0), after(600)


class Compared:
    def __init__(self) -> None:
        self.airflow, self.inbox = MemoryAirflow(), MemoryHistory()

    def emitted(self, number: int, seconds: float) -> UUID:
        extra = extra_of(number)
        self.airflow.add_event(ASSET, extra, after(seconds))
        return ids_of(extra)[0]

    async def report(self) -> CaptureReport:
        return await audit_capture(self.airflow, self.inbox, "local", SINCE, UNTIL, now=UNTIL)


@pytest.fixture
def compared() -> Compared:
    return Compared()


async def test_all_that_arrived_once_is_complete_and_counted_by_lane(compared: Compared) -> None:
    for number in range(5):
        event_id = compared.emitted(number, number)
        compared.inbox.take(event_id, after(number + 0.5), lane="sweep" if number == 3 else "fast")

    report = await compared.report()

    assert report.is_complete
    assert (report.in_airflow, report.accepted, report.by_lane) == (5, 5, {"fast": 4, "sweep": 1})
    assert report.worst_delay_s == 0.5
    assert json.loads(json.dumps(report.as_json()))["is_complete"] is True


async def test_an_event_that_is_nowhere_is_missing(compared: Compared) -> None:
    event_id = compared.emitted(1, 10)

    report = await compared.report()

    assert not report.is_complete
    assert report.missing == [str(event_id)]


async def test_an_event_of_this_moment_is_pending_and_not_missing(compared: Compared) -> None:
    compared.emitted(1, 598)

    report = await compared.report()

    assert report.is_complete
    assert report.pending == 1


async def test_an_old_window_has_no_pending_events(compared: Compared) -> None:
    compared.emitted(1, 598)

    report = await audit_capture(compared.airflow, compared.inbox, "local", SINCE, UNTIL, now=after(9_000))

    assert len(report.missing) == 1


async def test_an_event_with_two_runs_is_doubled(compared: Compared) -> None:
    event_id = compared.emitted(1, 10)
    compared.inbox.take(event_id, after(11), runs=2)

    report = await compared.report()

    assert not report.is_complete
    assert report.doubled == [str(event_id)]


async def test_an_event_that_airflow_never_had_is_a_phantom(compared: Compared) -> None:
    event_id = uuid4()
    compared.inbox.take(event_id, after(11))

    report = await compared.report()

    assert not report.is_complete
    assert report.phantom == [str(event_id)]


@pytest.mark.parametrize("hours", [0.5, 5, 40, 150])
async def test_an_event_that_arrived_days_late_is_no_phantom(compared: Compared, hours: float) -> None:
    event_id = compared.emitted(1, -3600 * hours)
    compared.inbox.take(event_id, after(11), lane="sweep")

    report = await compared.report()

    assert report.phantom == []


async def test_an_event_that_took_longer_than_half_a_minute_is_late(compared: Compared) -> None:
    event_id = compared.emitted(1, 10)
    compared.inbox.take(event_id, after(50), lane="sweep")

    report = await compared.report()

    assert report.is_complete
    assert (report.late, report.worst_delay_s) == (1, 40.0)


async def test_what_both_lanes_brought_is_counted(compared: Compared) -> None:
    event_id = compared.emitted(1, 10)
    compared.inbox.take(event_id, after(10))
    compared.inbox.doubles[event_id] = after(11)

    assert (await compared.report()).seen_by_both == 1


async def test_dead_letters_are_not_missing(compared: Compared) -> None:
    compared.inbox.letters.add(compared.emitted(1, 10))
    compared.airflow.add_event(ASSET, [1, 2], after(20))
    compared.airflow.add_event(ASSET, [1, 2], after(20) - timedelta(hours=0.9))

    report = await compared.report()

    assert report.missing == []
    assert (report.dead_lettered, report.unreadable_rows) == (1, 1)


async def test_a_masked_event_that_the_fast_lane_brought_is_neither_missing_nor_phantom(compared: Compared) -> None:
    extra = extra_of(1)
    (event_id,) = ids_of(extra)
    extra["events"][0]["body"] = "***"
    compared.airflow.add_event(ASSET, extra, after(10))
    compared.inbox.take(event_id, after(10.1))

    report = await compared.report()

    assert report.is_complete
    assert (report.in_airflow, report.accepted) == (1, 1)


async def test_an_event_that_arrived_after_its_dead_letter_is_accepted_and_not_both(compared: Compared) -> None:
    event_id = compared.emitted(1, 10)
    compared.inbox.letters.add(event_id)
    compared.inbox.take(event_id, after(12))

    report = await compared.report()

    assert (report.in_airflow, report.accepted, report.dead_lettered) == (1, 1, 0)


async def test_a_row_with_two_partitions_is_one_event(compared: Compared) -> None:
    extra = extra_of(1)
    for _ in range(2):
        compared.airflow.add_event(ASSET, extra, after(10))
    compared.inbox.take(ids_of(extra)[0], after(10.1))

    report = await compared.report()

    assert report.is_complete
    assert report.in_airflow == 1
