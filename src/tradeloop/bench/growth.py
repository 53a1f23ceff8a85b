"""`tradeloop bench growth`: a full database, a long backlog, a long life."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from tradeloop.bench.decisions import WARM_UP, drain
from tradeloop.bench.engine_stage import Decided, EngineStage
from tradeloop.bench.engine_workflow import measured_event
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say
from tradeloop.errors import PartFailed

SHARE: Final = 0.9
MEMORY_GROWTH: Final = 0.10
SAME_RATE: Final = 0.9
CHUNK: Final = 5_000
"""Events made and published at a time: the driver's memory is not what is measured."""

FILL: Final = """
WITH n AS (SELECT g, gen_random_uuid() AS event_id,
                  (lpad(to_hex(1700000000000 + g), 12, '0') || '7' || substr(md5(g::text), 1, 3) || '8'
                   || substr(md5(g::text), 4, 15))::uuid AS run_id
           FROM generate_series(%(first)s::bigint, %(last)s::bigint) g),
k AS (INSERT INTO inbox_keys (event_id, run_id) SELECT event_id, run_id FROM n),
i AS (INSERT INTO inbox (run_id, event_id, topic, topic_id, partition, "offset", desk, subject, event_type, lane,
                         payload, headers, appended_at)
      SELECT run_id, event_id, 'workflow-events', gen_random_uuid(), 0, g, 'bench', 'subject/' || g,
             'bench.measured', '', convert_to(repeat('x', 600), 'UTF8'), '[]', now() FROM n),
a AS (INSERT INTO audit (stream_id, n, kind, body) SELECT run_id, 1, 'run_done', '{"decision": null}' FROM n),
c AS (INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
      SELECT run_id::text, '', run_id::text, '{"v": 4}', '{}' FROM n)
INSERT INTO runs (run_id, seq, desk, subject, state, event_id, graph, graph_version, fence, fails, decision_id,
                  decision)
SELECT run_id, nextval('run_seq'), 'bench', 'subject/' || g, 'done', event_id, 'bench', 'v', 1, 0, gen_random_uuid(),
       '{"outcome": "ACCEPT"}' FROM n
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    finished: int
    """Rows of history."""
    events: int
    """Through one worker, whose memory is looked at."""
    backlog: int
    """Against one of a thousand."""
    repeats: int


def measure(home: Path, size: Size) -> Leg:
    """The rate beside much history, memory over many events, a long backlog against a short one."""
    leg = Leg("growth", "What grows, and what it does to the rate")
    with EngineStage(home, concurrency=64) as stage:
        with stage.running():
            count = max(WARM_UP, int(drain(stage, WARM_UP * 2).per_s * 5))
            empty = [drain(stage, count).per_s for _ in range(size.repeats)]
        _full(leg, stage, size.finished, empty, count)
        with stage.running():
            _memory(leg, stage, size.events, count)
        _backlog(leg, stage, size.backlog)
    return leg


def _full(leg: Leg, stage: EngineStage, finished: int, empty: list[float], count: int) -> None:
    say(f"growth: {finished:,} finished runs are written")
    step = 50_000
    for first in range(0, finished, step):
        stage.rows(FILL, {"first": first + 1, "last": min(finished, first + step)})
    stage.rows("ANALYZE")
    with stage.running():
        drain(stage, WARM_UP)
        full = [drain(stage, count).per_s for _ in empty]
    share = median(full) / median(empty)
    leg.add("empty database", {"decisions_per_s": round(median(empty), 1)})
    leg.add(
        f"with {finished:,} finished runs", {"decisions_per_s": round(median(full), 1), "of_empty": round(share, 3)}
    )
    leg.aim(f"{share:.2f} of an empty database's rate; target {SHARE:g}", met=share >= SHARE)


def _memory(leg: Leg, stage: EngineStage, events: int, warm: int) -> None:
    drain(stage, max(warm, events // 10))
    worker = psutil.Process(stage.pid("worker-1"))
    before = worker.memory_info().rss
    peak, left = before, events
    while left > 0:
        drain(stage, min(CHUNK, left))
        left -= CHUNK
        peak = max(peak, worker.memory_info().rss)
    grown = worker.memory_info().rss / before - 1
    figures = {"warm_mb": round(before / 1e6, 1), "after_mb": round(worker.memory_info().rss / 1e6, 1)}
    leg.add(
        f"worker's memory over {events:,} events",
        {**figures, "peak_mb": round(peak / 1e6, 1), "growth": round(grown, 3)},
    )
    leg.aim(f"memory grew by {100 * grown:.1f} %; target {100 * MEMORY_GROWTH:g} %", met=grown <= MEMORY_GROWTH)


def _backlog(leg: Leg, stage: EngineStage, backlog: int) -> None:
    rates = {}
    for size in (1_000, backlog):
        say(f"growth: a backlog of {size:,}")
        for first in range(0, size, CHUNK):
            stage.publish(measured_event(number) for number in range(min(CHUNK, size - first)))
        decided = Decided(stage)
        began = time.perf_counter()
        with stage.running():
            started = time.perf_counter()
            seen = decided.wait(size, 60 + size / 20)
            rates[size] = size / (time.perf_counter() - started)
        decided.close()
        if seen < size:
            raise PartFailed(f"{seen} of {size} decisions came within {time.perf_counter() - began:.0f} s.")
        leg.add(f"a backlog of {size:,}", {"decisions_per_s": round(rates[size], 1)})
    share = rates[backlog] / rates[1_000]
    leg.aim(f"a backlog of {backlog:,} drains at {share:.2f} x the rate of 1,000", met=share >= SAME_RATE)
