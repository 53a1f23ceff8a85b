"""Leg (c): how long a DAG run of four light tasks takes, from the trigger to its end."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from tradeloop.bench import peer
from tradeloop.bench.figures import Figure, medians_differ
from tradeloop.bench.report import Leg
from tradeloop.bench.servers import Switch, api_server
from tradeloop.bench.stage import Stage, say, wait_for
from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.errors import PartFailed, PrerequisiteMissing
from tradeloop.kafka.administration import make_topic, records_of

CHAIN: Final = "bench_chain"
PLAIN: Final = "bench_plain"
OURS: Final = ("relay", "worker")
OFF: Final = "capture off"
ON: Final = "capture on"
STOPPED: Final = "capture on, broker stopped"
WARM_UP: Final = 1
PEER_UP: Final = 5
"""Enough beside runs that take ten times as long."""
Times = tuple[float, float]
"""Wall time and the run's own time, in seconds."""


@dataclass(frozen=True)
class Case:
    """What is different in a run."""

    name: str
    dag_id: str
    server: str
    stopped: tuple[str, ...] = ()


CASES: Final = (
    Case("no event at all, capture off", PLAIN, "off", OURS),
    Case(OFF, CHAIN, "off", OURS),
    Case(ON, CHAIN, "on"),
    Case(STOPPED, CHAIN, "on", ("kafka",)),
)


def measure(home: Path, *, repeats: int, peer_repeats: int) -> Leg:
    """Wall times of runs, one after the other on an idle stack; then the same with the stock plugin.

    The cases take turns, in an order drawn anew each time, so that all see the same load of the machine. Nothing is
    restarted between them: two API servers run side by side, one with the fast lane off, and the tasks of a run reach
    one or the other through a switch.
    """
    leg = Leg("runs", "(c) wall time of a run of 4 light tasks, one of which emits an event")
    leg.notes.append(
        "wall: from the trigger to the end as REST shows it, polled every 50 ms; run: the DAG run's own end - start. "
        "Off: fast lane off, relay and worker stopped. Each run begins when the events of all earlier ones are there."
    )
    with (
        Switch() as switch,
        Stage(home, airflow={"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{switch.url}/execution/"}) as stage,
    ):
        with api_server(stage, on=True) as on, api_server(stage, on=False) as off:
            _measure_ours(leg, stage, switch, {"on": on, "off": off}, repeats)
        switch.target = stage.settings.airflow_url
        try:
            provider = peer.install(home / "provider")
        except PrerequisiteMissing as problem:
            leg.notes.append(f"The stock plugin was not measured: {problem.message} {problem.where}".strip())
        else:
            _measure_peer(leg, stage, provider, min(repeats, PEER_UP), peer_repeats)
    return leg


def _measure_ours(leg: Leg, stage: Stage, switch: Switch, servers: dict[str, str], repeats: int) -> None:
    found: dict[str, list[Times]] = {case.name: [] for case in CASES}
    for number in range(repeats + WARM_UP):
        say(f"runs: capture off and on, broker up and stopped, {number + 1} of {repeats + WARM_UP}")
        for case in random.sample(CASES, len(CASES)):
            switch.target = servers[case.server]
            with stage.stopped(*case.stopped):
                times = _time(stage, case.dag_id)
            _settle(stage)
            if number >= WARM_UP:
                found[case.name].append(times)
    for case in CASES:
        _add(leg, case.name, found[case.name])
    walls = {name: [wall for wall, _ in times] for name, times in found.items()}
    for name in (ON, STOPPED):
        difference, low, high = medians_differ(walls[OFF], walls[name])
        figures: dict[str, Figure] = {"of_medians_s": difference, "low_s": low, "high_s": high}
        leg.add(f"{name} - {OFF}", figures)


def _settle(stage: Stage) -> None:
    """Wait until every event that is in Airflow is in the inbox, whichever lane brings it."""
    emitted = int(stage.airflow_rows("SELECT count(*) AS n FROM asset_event", {})[0]["n"])
    wait_for(partial(_arrived, stage, emitted), 120, "the arrival of the events")


def _arrived(stage: Stage, emitted: int) -> bool | None:
    of_assets = "SELECT count(*) AS n FROM tradeloop.inbox WHERE event_type <> ALL(%(lifecycle)s)"
    found = stage.rows(of_assets, {"lifecycle": [kind.value for kind in LifecycleType]})
    return True if found[0]["n"] >= emitted else None


def _measure_peer(leg: Leg, stage: Stage, provider: Path, up_repeats: int, stopped_repeats: int) -> None:
    say("runs: Airflow's stock Kafka event plugin, broker up")
    bootstrap = stage.settings.kafka_bootstrap
    make_topic(bootstrap, peer.TOPIC)
    stage.stack.restart("airflow", environment=peer.switched_on(provider, bootstrap))
    with stage.stopped(*OURS):
        before = records_of(bootstrap, peer.TOPIC)
        _time(stage, CHAIN)
        up = _add(leg, "stock plugin", [_time(stage, CHAIN) for _ in range(up_repeats)])
        up_records = records_of(bootstrap, peer.TOPIC) - before
        say(f"runs: Airflow's stock Kafka event plugin, broker stopped, {stopped_repeats} times: 42 s each or so")
        with stage.stopped("kafka"):
            found = [_time(stage, CHAIN) for _ in range(stopped_repeats)]
        stopped = _add(leg, "stock plugin, broker stopped", found)
        lost = 8 * stopped_repeats - (records_of(bootstrap, peer.TOPIC) - before - up_records)
    times = float(stopped["wall_median_s"]) / float(up["wall_median_s"])
    leg.notes.append(
        f"stock plugin, broker stopped: {', '.join(f'{wall:.1f}' for wall, _ in found)} s, {times:.0f} times as long "
        f"as with the broker up; {lost} of {8 * stopped_repeats} events never arrived. "
        f"With the broker up {up_records} events for {up_repeats + 1} runs."
    )


def _time(stage: Stage, dag_id: str) -> Times:
    begun = time.monotonic()
    run_id = stage.trigger(dag_id)
    run = stage.wait_until_ended(dag_id, run_id)
    wall = time.monotonic() - begun
    if run.state != "success" or not run.start_at or not run.end_at:
        raise PartFailed(f"{dag_id} {run_id} ended as {run.state}.")
    return wall, (run.end_at - run.start_at).total_seconds()


def _add(leg: Leg, case: str, times: list[Times]) -> dict[str, Figure]:
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
