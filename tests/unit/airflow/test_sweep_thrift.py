"""What the sweep must not do too often: ask for bad rows, and stop with an alarm."""

from __future__ import annotations

from datetime import timedelta

import pytest
from histories import ASSET, after, extra_of, settings

from tradeloop.airflow.sweep import Sweep
from tradeloop.testing.airflow import MemoryAirflow
from tradeloop.testing.log import MemoryLog
from tradeloop.testing.store import MemoryStore

TOPIC = "workflow-events"


async def test_a_quick_tick_asks_nothing_about_a_known_bad_row() -> None:
    airflow, log = MemoryAirflow(), MemoryLog()
    sweep = Sweep(airflow, log, MemoryStore(), settings())
    airflow.add_event(ASSET, [1, 2], after(0))
    airflow.add_event(ASSET, extra_of(1), after(0))
    await sweep.tick(after(5))
    before = airflow.requests

    await sweep.tick(after(6))

    assert airflow.requests - before == 2, "one window before the bad row, one behind it"
    assert len(log.records(TOPIC)) == 1


@pytest.mark.parametrize("hours", [2, 23])
async def test_a_history_that_was_cleaned_in_quiet_times_is_no_gap_after_a_short_pause(hours: int) -> None:
    airflow, log, store = MemoryAirflow(), MemoryLog(), MemoryStore()
    airflow.add_event(ASSET, extra_of(1), after(0))
    monthly = after(0) + timedelta(days=20)
    await Sweep(airflow, log, store, settings()).tick(after(10))
    await Sweep(airflow, log, store, settings()).tick(monthly)
    airflow.delete_events(monthly - timedelta(days=7))
    airflow.add_event(ASSET, extra_of(2), monthly + timedelta(hours=1))

    await Sweep(airflow, log, store, settings()).tick(monthly + timedelta(hours=hours))

    assert len(log.records(TOPIC)) == 2
