"""`tradeloop bench decisions`: from the event on Kafka to the decision on Kafka, beside LangGraph alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tradeloop.bench.engine_stage import Decided, EngineStage
from tradeloop.bench.engine_workflow import measured_event
from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say
from tradeloop.errors import PartFailed
from tradeloop.stack.processes import python_environment

CONCURRENCY: Final = 128
"""Slots that keep one core at work while commits are awaited; 64 leave it idle for an eighth of the time."""
WARM_UP: Final = 400
SECONDS: Final = 10.0
"""How long a repeat of our side takes: the 0.3 s until the first runs end weigh little."""
PATIENCE_S: Final = 150.0
OF_BARE: Final = 0.45
TIMES_SEED: Final = 2.0
OURS: Final = "tradeloop, everything durable"
SEED: Final = "the seed's design, nothing durable"
BARE: Final = "LangGraph alone, no broker, no database"


@dataclass(frozen=True)
class Speed:
    """Decisions a second, and CPU milliseconds of each process for one of them."""

    per_s: float
    cpu_ms: dict[str, float]


def measure(home: Path, *, repeats: int) -> Leg:
    """Interleaved repeats of the three on one stack; ratios are medians of the repeats' own."""
    leg = Leg("decisions", "Decisions a second, a 3-node graph, events with 300 bytes of data")
    found: dict[str, list[Speed]] = {BARE: [], OURS: [], SEED: []}
    with EngineStage(home, concurrency=CONCURRENCY) as stage:
        with stage.running():
            per_s = drain(stage, WARM_UP).per_s
            count = max(WARM_UP, int(drain(stage, int(per_s * 2) + WARM_UP).per_s * SECONDS))
        for number in range(repeats):
            say(f"decisions: repeat {number + 1} of {repeats}, {count} events")
            found[BARE].append(bare(count))
            with stage.running():
                drain(stage, WARM_UP)
                found[OURS].append(drain(stage, count))
            found[SEED].append(seed(stage, max(WARM_UP, count // 2)))
    for case, speeds in found.items():
        leg.add(case, _figures(speeds))
    _aim(leg, found)
    leg.notes += [
        f"Medians of {repeats} interleaved repeats. Broker, database, driver and all processes share the machine. "
        "CPU is user and system time of each process with its children, in milliseconds a decision.",
        f"tradeloop: one worker with {CONCURRENCY} slots, one relay; fsync and synchronous_commit on, acks=all. "
        "Bare: the same graph, as many at a time, in a process of its own. Seed: as there, aiokafka with auto-commit, "
        "ten records a fetch, a detached task each, the graph in a pool of threads, LangGraph's in-memory saver.",
    ]
    return leg


def drain(stage: EngineStage, count: int, topic: str = "") -> Speed:
    """Publish so many events at once and wait for their decisions on the topic."""
    records = stage.records((measured_event(number) for number in range(count)), topic)
    decided = Decided(stage, fetch_wait_ms=100)
    try:
        before, began = stage.cpu_s(), time.perf_counter()
        stage.send(records)
        seen = decided.wait(count, PATIENCE_S)
        seconds, after = time.perf_counter() - began, stage.cpu_s()
    finally:
        decided.close()
    if seen < count:
        raise PartFailed(f"{seen} of {count} decisions came within {PATIENCE_S:.0f} s.")
    cpu_ms = {name: 1000 * (after[name] - before[name]) / count for name in after if name in before}
    return Speed(count / seconds, cpu_ms)


def bare(count: int) -> Speed:
    """The graph alone, in a fresh process."""
    argv = [sys.executable, "-m", "tradeloop.bench.bare", str(count), str(CONCURRENCY)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=python_environment())
    said = json.loads(done.stdout.splitlines()[-1])
    return Speed(said["per_s"], {"process": said["cpu_ms"]})


def seed(stage: EngineStage, count: int) -> Speed:
    """The design that tradeloop replaced, on the same broker."""
    with stage.seed_design() as topic:
        drain(stage, WARM_UP, topic)
        return drain(stage, count, topic)


def _figures(speeds: list[Speed]) -> dict[str, Figure]:
    names = [name for name in speeds[0].cpu_ms if all(name in speed.cpu_ms for speed in speeds)]
    figures: dict[str, Figure] = {"decisions_per_s": round(median(s.per_s for s in speeds), 1)}
    return figures | {f"{name}_cpu_ms": round(median(s.cpu_ms[name] for s in speeds), 2) for name in names}


def _aim(leg: Leg, found: dict[str, list[Speed]]) -> None:
    of_bare = median(ours.per_s / alone.per_s for ours, alone in zip(found[OURS], found[BARE], strict=True))
    times = median(ours.per_s / other.per_s for ours, other in zip(found[OURS], found[SEED], strict=True))
    leg.add("ratios of tradeloop", {"of_bare": round(of_bare, 3), "times_seed": round(times, 2)})
    leg.aim(f"{of_bare:.2f} x LangGraph alone; target {OF_BARE:g}", met=of_bare >= OF_BARE)
    leg.aim(f"{times:.2f} x the seed's design; target {TIMES_SEED:g}", met=times >= TIMES_SEED)
