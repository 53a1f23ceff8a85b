"""Leg (a): what the listener's hook costs inside the API server."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tradeloop.bench.figures import spread
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import Stage, say, wait_for
from tradeloop.bench.tasks import TaskEnds

PARTS: Final = ("postgres", "kafka", "api-server", "dag-processor")
TARGET_P50_MS: Final = 1.0
TARGET_P99_MS: Final = 5.0
TARGET_FIRST_MS: Final = 5.0


def measure(home: Path, *, calls: int, starts: int) -> Leg:
    """The hook's wall time as it notes it itself, the broker up, stopped and gone; each first call on its own."""
    leg = Leg("hook", "(a) wall time of the hook inside the API server")
    leg.notes.append(
        "Task instances of Airflow are reported as successful over its execution API, one event of 12 KB each, one "
        "after the other. First: the first call after a start of the API server in that state of the broker."
    )
    with Stage(home, parts=PARTS) as stage, ExitStack() as after:
        ends = TaskEnds(stage)
        after.callback(ends.close)
        for name, broker in (("up", _up), ("stopped", _stopped), ("gone", _gone)):
            with broker(stage):
                _measure_one(leg, stage, ends, name, calls, starts)
    return leg


def _measure_one(leg: Leg, stage: Stage, ends: TaskEnds, broker: str, calls: int, starts: int) -> None:
    firsts: list[float] = []
    others: list[float] = []
    for number in range(starts):
        say(f"hook: broker {broker}, start {number + 1} of {starts} of the API server")
        stage.stack.restart("api-server")
        ends.forget_connections()
        share = calls - len(others) if number == starts - 1 else calls // starts
        tasks = ends.reserve(share + 1)
        pid = stage.stack.part("api-server").pid
        for task in tasks:
            ends.end(task)
        seen = wait_for(partial(_noted, stage.trace_file, pid, share + 2), 30, "the hook's trace")
        firsts.append(seen[1])
        others += seen[2:]
    first, figures = max(firsts), spread(others, "ms")
    leg.add(f"broker {broker}", {**figures, "starts": starts, "first_worst_ms": round(first, 3)})
    p50, p99 = float(figures["p50_ms"]), float(figures["p99_ms"])
    leg.aim(f"broker {broker}: p50 {p50:.3f} ms, at most {TARGET_P50_MS:.0f} ms", met=p50 <= TARGET_P50_MS)
    leg.aim(f"broker {broker}: p99 {p99:.3f} ms, at most {TARGET_P99_MS:.0f} ms", met=p99 <= TARGET_P99_MS)
    leg.aim(f"broker {broker}: first {first:.3f} ms, at most {TARGET_FIRST_MS:.0f} ms", met=first <= TARGET_FIRST_MS)


def _noted(trace_file: Path, pid: int, count: int) -> list[float] | None:
    """The process's wall times in milliseconds once there are so many; the first is the rehearsal at its start."""
    if not trace_file.exists():
        return None
    lines = [json.loads(line) for line in trace_file.read_text().splitlines() if line.endswith("}")]
    found = [line["wall_ns"] / 1e6 for line in lines if line["pid"] == pid]
    return found if len(found) >= count else None


@contextmanager
def _up(_: Stage) -> Iterator[None]:
    yield


@contextmanager
def _stopped(stage: Stage) -> Iterator[None]:
    with stage.stopped("kafka"):
        yield


@contextmanager
def _gone(stage: Stage) -> Iterator[None]:
    stage.stack.signal("kafka", signal.SIGKILL)
    yield
