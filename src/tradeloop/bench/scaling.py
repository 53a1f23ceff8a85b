"""`tradeloop bench workers`: what more workers are good for, with nodes that wait and with nodes that compute."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Final

from tradeloop.bench.engine_stage import Decided, EngineStage
from tradeloop.bench.engine_workflow import COMPUTING, THINKING, THINKS_S, measured_event
from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say
from tradeloop.errors import PartFailed

SLOTS: Final = 4
"""Of each worker: few, so that waiting, not this machine's processor, is what a worker runs out of."""
TARGETS: Final = {2: 1.9, 4: 3.5}
PATIENCE_S: Final = 120.0


def measure(home: Path, *, repeats: int, seconds: float) -> Leg:
    """One, two and four workers; the nodes of one kind wait as for a model, those of the other compute."""
    leg = Leg("workers", "Decisions a second by number of workers")
    waiting: dict[int, list[float]] = {1: [], 2: [], 4: []}
    computing: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with EngineStage(home, concurrency=SLOTS) as stage:
        for number in range(repeats):
            for workers, rates in waiting.items():
                say(f"workers: repeat {number + 1} of {repeats}, {workers} with nodes that wait")
                count = int(seconds * workers * SLOTS / THINKS_S)
                rates.append(_rate(stage, workers, THINKING, count)[0])
            for workers, found in computing.items():
                found.append(_rate(stage, workers, COMPUTING, int(seconds * 60)))
    one = median(waiting[1])
    for workers, rates in waiting.items():
        leg.add(f"{workers} x {SLOTS} slots, a node waits {1000 * THINKS_S:.0f} ms", _figures(rates, one))
    for workers, found in computing.items():
        busy = median(share for _, share in found)
        leg.add(
            f"{workers} x {SLOTS} slots, a node computes",
            _figures([rate for rate, _ in found], median(rate for rate, _ in computing[1]))
            | {"cores_busy": round(busy, 2)},
        )
    for workers, target in TARGETS.items():
        times = median(waiting[workers]) / one
        leg.aim(f"{workers} workers do {times:.2f} x one; target {target:g}", met=times >= target)
    leg.notes.append(
        "cores busy: CPU seconds of workers, relay, PostgreSQL and Kafka in each second. Where it nears the number of "
        "cores, the processor is the limit; one worker computes in one thread, so alone it uses one core for graphs."
    )
    return leg


def _rate(stage: EngineStage, workers: int, event_type: str, count: int) -> tuple[float, float]:
    decided = Decided(stage)
    try:
        with stage.running(workers):
            stage.publish(measured_event(number, event_type) for number in range(2 * workers * SLOTS))
            decided.wait(2 * workers * SLOTS, PATIENCE_S)
            events = [measured_event(number, event_type) for number in range(count)]
            before, began = sum(stage.cpu_s().values()), time.perf_counter()
            stage.publish(events)
            seen = decided.wait(count, PATIENCE_S)
            taken = time.perf_counter() - began
            busy = (sum(stage.cpu_s().values()) - before) / taken
    finally:
        decided.close()
    if seen < count:
        raise PartFailed(f"{seen} of {count} decisions came within {PATIENCE_S:.0f} s.")
    return count / taken, busy


def _figures(rates: list[float], one: float) -> dict[str, Figure]:
    return {"decisions_per_s": round(median(rates), 1), "times_one": round(median(rates) / one, 2)}
