"""What the sweep makes of each kind of row: an event, a dead letter, nothing."""

from __future__ import annotations

import pytest
from histories import ASSET, TYPE, after, extra_of, ids_of
from sweeping import TOPIC, Bench

from tradeloop import WorkflowEvent


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_event_that_was_created_by_rest_comes_by_the_sweep_at_once(bench: Bench) -> None:
    await bench.tick(after(0))
    row = bench.airflow.create_event_by_rest(ASSET, {"symbol": "SPX"}, after(9.9))

    await bench.tick(after(10))

    (record,) = bench.log.records(TOPIC)
    event = WorkflowEvent.from_json(record.value)
    assert (event.event_type, event.payload.data, event.timestamp) == (TYPE, {"symbol": "SPX"}, row.timestamp)


async def test_a_whole_event_that_rest_created_waits_for_no_fast_lane(bench: Bench) -> None:
    await bench.tick(after(0))
    extra = extra_of(1)
    bench.airflow.create_event_by_rest(ASSET, extra, after(9.9))

    await bench.tick(after(10))

    assert bench.published == ids_of(extra)


async def test_two_events_created_by_rest_do_not_wait_for_each_other(bench: Bench) -> None:
    for second in (1, 2):
        bench.airflow.create_event_by_rest(ASSET, {}, after(second))

    await bench.tick(after(10))

    assert len({record.key for record in bench.log.records(TOPIC)}) == 2


async def test_an_outlet_without_emit_says_that_it_happened(bench: Bench) -> None:
    bench.airflow.add_event(ASSET, {}, after(0), task_id="bash", map_index=3)

    await bench.tick(after(10))

    (record,) = bench.log.records(TOPIC)
    event = WorkflowEvent.from_json(record.value)
    assert (event.workflow_id, event.workflow_run_id, event.subject) == ("load", "manual__1", "load/manual__1")
    assert (event.metadata.model_extra or {})["task_id"] == "bash"


async def test_assets_whose_names_only_begin_alike_are_not_ours(bench: Bench) -> None:
    bench.airflow.add_event("tradeloops", extra_of(1), after(0))
    bench.airflow.add_event("tradeloop", {}, after(0))

    await bench.tick(after(10))

    assert bench.published == []
    assert bench.store.dead == []


@pytest.mark.parametrize("name", ["tradeloop.two words", "tradeloop.", "tradeloop.ü", "tradeloop." + "x" * 300])
async def test_an_asset_whose_name_is_no_type_is_buried_and_stops_nothing(bench: Bench, name: str) -> None:
    bench.airflow.add_event(name, {}, after(0))
    bench.airflow.add_event(ASSET, extra_of(1), after(1))

    await bench.tick(after(10))

    assert len(bench.published) == 1
    assert [letter.error_class for letter in bench.store.dead] == ["EventInvalid"]


async def test_a_masked_body_is_buried_once_and_never_sent_on(bench: Bench) -> None:
    extra = extra_of(1)
    extra["events"][0]["body"] = extra["events"][0]["body"].replace('"number":1', '"number":"***"')
    bench.airflow.add_event(ASSET, extra, after(0))

    await bench.tick(after(10))
    bench.restart()
    await bench.tick(after(30))

    assert bench.published == []
    (letter,) = bench.store.dead
    assert letter.error_class == "EventRedacted"
    assert letter.raw.decode() == extra["events"][0]["body"]


async def test_a_masked_body_that_the_fast_lane_brought_whole_is_no_dead_letter(bench: Bench) -> None:
    extra = extra_of(1)
    bench.store._keys.update(ids_of(extra))
    extra["events"][0]["body"] = "***"
    bench.airflow.add_event(ASSET, extra, after(0))

    await bench.tick(after(10))

    assert bench.store.dead == []


async def test_one_broken_element_does_not_take_the_others_with_it(bench: Bench) -> None:
    extra = extra_of(1, events=3)
    del extra["events"][1]["sha256"]
    bench.airflow.add_event(ASSET, extra, after(0))

    await bench.tick(after(10))

    assert len(bench.published) == 2
    assert len(bench.store.dead) == 1
