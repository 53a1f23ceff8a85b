"""Every order of changes, looks, restarts and crashes: no attempt twice, none lost that Airflow logs."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import datetime
from typing import Any

from histories import NOON, after
from hypothesis import given, settings
from hypothesis import strategies as st
from lifecycles import Bench, crash

from tradeloop.errors import PublishFailed

MOVES = {
    "": ["running", "skipped"],
    "running": ["up_for_retry", "failed", "awaiting_input", "success", "killed"],
    "up_for_retry": ["running"],
    "awaiting_input": ["running"],
}
"""What a task's next state may be; every other one waits for a clear."""
TOLD = {"up_for_retry": "task.retried", "failed": "task.failed", "awaiting_input": "task.awaiting_input"}
EVENTS = ["move"] * 8 + ["tick"] * 3 + ["clear", "end", "restart", "crash", "deaf"]
STEP = st.tuples(st.sampled_from(EVENTS), st.sampled_from(["a", "b"]), st.integers(0, 9))


@given(st.lists(STEP, min_size=5, max_size=30))
@settings(max_examples=150, deadline=None)
async def test_no_order_of_changes_looks_and_crashes_makes_a_double_or_loses_a_logged_attempt(
    steps: list[tuple[str, str, int]],
) -> None:
    bench = Bench()
    bench.airflow.trigger("load", "r", NOON)
    happened: Counter[tuple[str, str, int]] = Counter()
    for number, (step, task_id, choice) in enumerate(steps, 1):
        if step == "move":
            _move(bench, task_id, choice, after(number), happened)
        else:
            await _do(bench, step, task_id, after(number))
    bench.log.is_away = False
    bench.restart()
    for second in (len(steps) + 1, len(steps) + 40):
        await bench.tick(after(second))

    by_id = {event.event_id: event for event in bench.events}
    told = Counter(
        (event.event_type, event.payload.data["task_id"], event.payload.data["try_number"])
        for event in by_id.values()
        if event.event_type in ("task.failed", "task.retried", "task.awaiting_input")
    )
    assert set(told) == set(happened)
    assert all(count <= happened[what] for what, count in told.items())


def _move(bench: Bench, task_id: str, choice: int, at: datetime, happened: Counter[Any]) -> None:
    """Let the task do one of the things that it can; note what is to be told of it."""
    attempt = bench.airflow._task("load", "r", task_id, -1, at).now
    moves = MOVES.get(attempt.state, [])
    if not moves:
        return
    state = moves[choice % len(moves)]
    if state == "killed":
        state = "failed" if attempt.try_number > attempt.max_tries else "up_for_retry"
        bench.airflow.scheduler_fails("load", "r", task_id, at)
    else:
        bench.airflow.task("load", "r", task_id, state, at)
    if state in TOLD:
        happened[TOLD[state], task_id, attempt.try_number] += 1


async def _do(bench: Bench, step: str, task_id: str, at: datetime) -> None:
    match step:
        case "clear":
            bench.airflow.clear("load", "r", at, [task_id])
        case "end":
            bench.airflow.end("load", "r", "failed", at)
        case "tick":
            await _tick(bench, at)
        case "restart":
            bench.restart()
        case "deaf":
            bench.log.is_away = not bench.log.is_away
        case "crash":
            remember, bench.store.remember = bench.store.remember, crash  # type: ignore[method-assign]
            await _tick(bench, at)
            bench.store.remember = remember  # type: ignore[method-assign]
            bench.restart()


async def _tick(bench: Bench, at: datetime) -> None:
    with contextlib.suppress(PublishFailed, RuntimeError):
        await bench.tick(at)
