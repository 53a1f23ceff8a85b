"""Leg (c): how long a DAG run of four light tasks takes, from the trigger to its end."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Final

from tradeloop.bench import peer
from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import Stage, say
from tradeloop.errors import PartFailed, PrerequisiteMissing
from tradeloop.kafka.administration import make_topic, records_of

CHAIN: Final = "bench_chain"
PLAIN: Final = "bench_plain"
OURS: Final = ("relay", "worker")


def measure(home: Path, *, repeats: int, rounds: int, peer_stopped: int) -> Leg:
    """Wall times of runs, one after the other: capture off, on, on with the broker stopped; then the stock plugin."""
    leg = Leg("runs", "(c) wall time of a run of 4 light tasks, one of which emits an event")
    leg.notes.append(
        "wall: from the trigger to the end as REST shows it, polled every 50 ms; run: the DAG run's own end - start. "
        "Off: fast lane off, relay and worker stopped. The first run after a start of servers is not counted."
    )
    with Stage(home) as stage:
        _measure_ours(leg, stage, repeats, rounds)
        try:
            provider = peer.install(home / "provider")
        except PrerequisiteMissing as problem:
            leg.notes.append(f"The stock plugin was not measured: {problem.message} {problem.where}".strip())
        else:
            _measure_peer(leg, stage, provider, repeats, peer_stopped)
    return leg


def _measure_ours(leg: Leg, stage: Stage, repeats: int, rounds: int) -> None:
    plain: list[tuple[float, float]] = []
    off: list[tuple[float, float]] = []
    on: list[tuple[float, float]] = []
    for number in range(rounds):
        say(f"runs: capture off, round {number + 1} of {rounds}")
        stage.capture(on=False)
        with stage.stopped(*OURS):
            plain += _times(stage, PLAIN, repeats)
            off += _times(stage, CHAIN, repeats)
        say(f"runs: capture on, round {number + 1} of {rounds}")
        stage.capture(on=True)
        on += _times(stage, CHAIN, repeats)
    say("runs: capture on, broker stopped")
    with stage.stopped("kafka"):
        stopped = _times(stage, CHAIN, repeats * rounds)
    _add(leg, "no event at all, capture off", plain)
    figures_off = _add(leg, "capture off", off)
    figures_on = _add(leg, "capture on", on)
    figures_stopped = _add(leg, "capture on, broker stopped", stopped)
    for case, figures in (("capture on", figures_on), ("capture on, broker stopped", figures_stopped)):
        more = float(figures["wall_median_s"]) - float(figures_off["wall_median_s"])
        leg.notes.append(f"{case}: {more:+.3f} s against capture off (medians).")


def _measure_peer(leg: Leg, stage: Stage, provider: Path, repeats: int, stopped_repeats: int) -> None:
    say("runs: Airflow's stock Kafka event plugin, broker up")
    bootstrap = stage.settings.kafka_bootstrap
    make_topic(bootstrap, peer.TOPIC)
    stage.stack.restart("airflow", environment=peer.switched_on(provider, bootstrap))
    with stage.stopped(*OURS):
        before = records_of(bootstrap, peer.TOPIC)
        up = _add(leg, "stock plugin", _times(stage, CHAIN, repeats))
        up_records = records_of(bootstrap, peer.TOPIC) - before
        say(f"runs: Airflow's stock Kafka event plugin, broker stopped, {stopped_repeats} times: 42 s each or so")
        with stage.stopped("kafka"):
            found = _times(stage, CHAIN, stopped_repeats, warm_up=0)
        stopped = _add(leg, "stock plugin, broker stopped", found)
        lost = 8 * stopped_repeats - (records_of(bootstrap, peer.TOPIC) - before - up_records)
    times = float(stopped["wall_median_s"]) / float(up["wall_median_s"])
    leg.notes.append(
        f"stock plugin, broker stopped: {', '.join(f'{wall:.1f}' for wall, _ in found)} s, {times:.0f} times as long "
        f"as with the broker up; {lost} of {8 * stopped_repeats} events never arrived. "
        f"With the broker up {up_records} events for {repeats + 1} runs."
    )


def _times(stage: Stage, dag_id: str, repeats: int, warm_up: int = 1) -> list[tuple[float, float]]:
    """Wall time and the run's own time, in seconds."""
    found = []
    for number in range(warm_up + repeats):
        begun = time.monotonic()
        run_id = stage.trigger(dag_id)
        run = stage.wait_until_ended(dag_id, run_id)
        wall = time.monotonic() - begun
        if run.state != "success":
            raise PartFailed(f"{dag_id} {run_id} ended as {run.state}.")
        if number >= warm_up and run.start_at and run.end_at:
            found.append((wall, (run.end_at - run.start_at).total_seconds()))
    return found


def _add(leg: Leg, case: str, times: list[tuple[float, float]]) -> dict[str, Figure]:
    walls, runs = [wall for wall, _ in times], [run for _, run in times]
    return leg.add(
        case,
        {
            "n": len(times),
            "wall_median_s": round(median(walls), 3),
            "wall_min_s": round(min(walls), 3),
            "wall_max_s": round(max(walls), 3),
            "run_median_s": round(median(runs), 3),
        },
    )
