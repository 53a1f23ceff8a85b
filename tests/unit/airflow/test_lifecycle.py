"""Lifecycle events: each change of a run or an attempt once, whatever Airflow overwrote and whoever read it before."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from histories import NOON, after
from lifecycles import Bench, crash


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_run_that_began_and_ended_unseen_is_told_twice_in_order(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.end("load", "r1", "success", after(2))

    await bench.tick(after(3))

    assert bench.types == ["workflow.triggered", "workflow.completed"]
    event = bench.the("workflow.completed")
    assert (event.workflow_id, event.workflow_run_id, event.subject) == ("load", "r1", "load/r1")
    assert event.timestamp == after(2)
    assert event.payload.data["duration_s"] == 1
    assert {r.header("tradeloop_lane") for r in bench.log.records("workflow-events")} == {"sweep"}


async def test_a_task_that_is_retried_and_fails_is_told_attempt_by_attempt(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.errors = {("t", 1): "ValueError: one", ("t", 2): "ValueError: two"}
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "up_for_retry", after(3))
    await bench.tick(after(4))
    bench.airflow.task("load", "r1", "t", "running", after(5))
    bench.airflow.task("load", "r1", "t", "failed", after(6))
    bench.airflow.task("load", "r1", "u", "upstream_failed", after(6))
    bench.airflow.end("load", "r1", "failed", after(7))
    await bench.tick(after(8))

    assert bench.types == ["workflow.triggered", "task.retried", "task.failed", "workflow.failed"]
    retried, failed = bench.the("task.retried").payload.data, bench.the("task.failed").payload.data
    assert (retried["try_number"], retried["error"], retried["state"]) == (1, "ValueError: one", "up_for_retry")
    assert (failed["try_number"], failed["error"], failed["operator"]) == (2, "ValueError: two", "PythonOperator")
    assert (retried["start_at"], retried["end_at"]) == ("2026-11-23T12:00:02.000000Z", "2026-11-23T12:00:03.000000Z")
    ended = bench.the("workflow.failed").payload.data
    assert (ended["failed_tasks"], ended["upstream_failed_tasks"]) == (["t"], ["u"])


async def test_an_attempt_that_only_the_history_knows_is_recovered(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "up_for_retry", after(3))
    bench.airflow.task("load", "r1", "t", "running", after(3.1))
    bench.airflow.task("load", "r1", "t", "success", after(3.2))

    await bench.tick(after(4))

    event = bench.the("task.retried")
    assert (event.metadata.model_extra or {})["recovered"] is True
    assert event.payload.data["end_at"] == "2026-11-23T12:00:03.000000Z"


async def test_a_wait_of_a_quarter_of_a_second_is_told(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    for state, second in (("running", 2.0), ("awaiting_input", 2.1), ("running", 2.3), ("success", 2.4)):
        bench.airflow.task("load", "r1", "ask", state, after(second))

    await bench.tick(after(4))

    assert bench.the("task.awaiting_input").timestamp == after(2.1)


async def test_what_was_told_live_is_not_recovered_after_a_restart(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "up_for_retry", after(3))
    await bench.tick(after(4))
    bench.airflow.task("load", "r1", "t", "running", after(5))
    bench.restart()

    await bench.tick(after(6))

    assert Counter(bench.types) == {"workflow.triggered": 1, "task.retried": 1}


async def test_a_crash_between_publishing_and_remembering_makes_a_double_of_one_id(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "up_for_retry", after(3))
    remember, bench.store.remember = bench.store.remember, crash  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await bench.tick(after(4))
    bench.store.remember = remember  # type: ignore[method-assign]
    bench.airflow.task("load", "r1", "t", "running", after(5))  # the live row has moved on
    bench.restart()
    await bench.tick(after(6))

    retried = [event.event_id for event in bench.events if event.event_type == "task.retried"]
    assert len(retried) == 2
    assert len(set(retried)) == 1


async def test_a_cleared_run_is_told_again_and_tasks_that_it_left_alone_are_not(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "off", "skipped", after(2))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "failed", after(3))
    bench.airflow.end("load", "r1", "failed", after(4))
    await bench.tick(after(5))
    await bench.tick(after(2_000))
    bench.store._captured.clear()  # as after three days
    bench.restart()
    bench.airflow.clear("load", "r1", after(3_000), ["t"])
    await bench.tick(after(3_001))
    bench.airflow.task("load", "r1", "t", "running", after(3_002))
    bench.airflow.task("load", "r1", "t", "failed", after(3_003))
    bench.airflow.end("load", "r1", "failed", after(3_004))
    await bench.tick(after(3_005))

    assert Counter(bench.types) == {
        "workflow.triggered": 2,
        "task.skipped": 1,
        "task.failed": 2,
        "workflow.failed": 2,
    }


async def test_a_task_skipped_again_after_a_clear_is_told_again(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "off", "skipped", after(2))
    bench.airflow.end("load", "r1", "success", after(3))
    await bench.tick(after(4))
    bench.airflow.clear("load", "r1", after(5))
    bench.airflow.task("load", "r1", "off", "skipped", after(6))
    bench.airflow.end("load", "r1", "success", after(7))
    for second in (8, 30, 60):
        bench.restart()
        await bench.tick(after(second))

    skipped = [event for event in bench.events if event.event_type == "task.skipped"]
    assert len(skipped) == 2
    assert not any((event.metadata.model_extra or {}).get("recovered") for event in skipped)


async def test_a_skip_that_was_cleared_while_the_relay_was_down_is_recovered_once(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "off", "skipped", after(2))
    bench.airflow.end("load", "r1", "success", after(3))
    bench.airflow.clear("load", "r1", after(5))
    for second in (8, 30, 60):
        bench.restart()
        await bench.tick(after(second))

    assert (bench.the("task.skipped").metadata.model_extra or {})["recovered"] is True


async def test_an_attempt_of_long_ago_is_not_told_when_its_task_is_cleared(bench: Bench) -> None:
    long_ago = NOON - timedelta(days=90)
    bench.airflow.trigger("load", "r1", long_ago)
    for task_id, state in (("off", "skipped"), ("t", "failed")):
        bench.airflow.task("load", "r1", task_id, state, long_ago)
    bench.airflow.end("load", "r1", "failed", long_ago)
    await bench.tick(NOON)
    bench.airflow.clear("load", "r1", after(5))

    await bench.tick(after(8))
    await bench.tick(after(3_700))

    assert set(bench.types) <= {"workflow.triggered"}


async def test_a_task_that_a_person_marks_failed_is_told_though_it_is_logged_before_it_is_done(bench: Bench) -> None:
    bench.airflow.trigger("load", "r1", after(-1))
    bench.airflow.task("load", "r1", "t", "success", after(-0.5))
    await bench.tick(NOON)
    bench.airflow.mark("load", "r1", "t", "success", after(1))  # the row of the log alone
    await bench.tick(after(2))
    bench.airflow._task("load", "r1", "t", -1, after(2)).now = _failed(bench)
    bench.airflow._runs["load", "r1"].tasks["t", -1].changed_at = after(2.5)

    await bench.tick(after(3), is_whole=False)

    assert bench.the("task.failed").payload.data["task_id"] == "t"


def _failed(bench: Bench) -> Any:
    from dataclasses import replace

    return replace(bench.airflow._runs["load", "r1"].tasks["t", -1].now, state="failed")


@pytest.mark.parametrize(("retries", "told"), [(1, "task.retried"), (0, "task.failed")])
@pytest.mark.parametrize("moves_on", [False, True])
async def test_what_the_scheduler_logs_as_failed_is_told_as_what_it_became(
    bench: Bench, retries: int, told: str, moves_on: bool
) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.set_tries("load", "r1", "t", retries, after(1))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.scheduler_fails("load", "r1", "t", after(3))
    if moves_on:
        if not retries:
            bench.airflow.clear("load", "r1", after(3.5))
        bench.airflow.task("load", "r1", "t", "running", after(3.6))

    await bench.tick(after(4))
    bench.restart()
    await bench.tick(after(5))

    assert [kind for kind in bench.types if kind.startswith("task.")] == [told]
    assert bench.the(told).payload.data["error"] == "the executor says success, the task says running"


async def test_mapped_tasks_are_told_one_by_one(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    for index in range(3):
        bench.airflow.task("load", "r1", "t", "running", after(2), index)
        bench.airflow.task("load", "r1", "t", "failed", after(3), index)

    await bench.tick(after(4))

    told = [event.payload.data["map_index"] for event in bench.events if event.event_type == "task.failed"]
    assert sorted(told) == [0, 1, 2]
