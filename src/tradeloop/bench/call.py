"""Leg (b): the API server's latency of a task's terminal call, capture off and on."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tradeloop.bench.figures import Figure, medians_differ, spread
from tradeloop.bench.hook import PARTS
from tradeloop.bench.report import Leg
from tradeloop.bench.servers import api_server
from tradeloop.bench.stage import Stage, say
from tradeloop.bench.tasks import TaskEnds

WARM_UP: Final = 20
"""Calls to each server that are not counted: the first ones compile queries and fill pools."""
ROUNDS: Final = 2
"""Fresh pairs of servers: what one process happens to be like is not taken for the effect of capture."""


def measure(home: Path, *, pairs: int) -> Leg:
    """Two API servers side by side on one database, one with capture off; calls go to both in turn.

    Nothing is restarted between the two kinds of call, so both see the same database, the same load and the same
    minute. Which server is asked first is drawn anew for each pair. See `TaskEnds` for what a call is.
    """
    leg = Leg("call", "(b) latency of the task's terminal call, as the client sees it")
    leg.notes.append(
        f"PATCH task-instances/{{id}}/state with one event of 12 KB; {pairs} pairs, order drawn for each, "
        f"over {ROUNDS} pairs of servers. Difference: on - off, medians, 95 % bootstrap."
    )
    with Stage(home, parts=PARTS) as stage, ExitStack() as after:
        ends = TaskEnds(stage)
        after.callback(ends.close)
        times: dict[str, dict[bool, list[float]]] = {"up": {True: [], False: []}, "stopped": {True: [], False: []}}
        for number in range(ROUNDS):
            with api_server(stage, on=True) as on, api_server(stage, on=False) as off:
                servers = {True: on, False: off}
                _call(ends, servers, WARM_UP)
                for broker, found in times.items():
                    say(f"call: broker {broker}, round {number + 1} of {ROUNDS}")
                    with stage.stopped(*(["kafka"] if broker == "stopped" else [])):
                        for kind, walls in _call(ends, servers, pairs // ROUNDS).items():
                            found[kind] += walls
    for broker, found in times.items():
        for kind in (False, True):
            leg.add(f"broker {broker}, capture {'on' if kind else 'off'}", spread(found[kind], "ms"))
    for broker, found in times.items():
        difference, low, high = medians_differ(found[False], found[True])
        figures: dict[str, Figure] = {"of_medians_ms": difference, "low_ms": low, "high_ms": high}
        leg.add(f"broker {broker}, difference", figures)
    return leg


def _call(ends: TaskEnds, servers: dict[bool, str], pairs: int) -> dict[bool, list[float]]:
    tasks = iter(ends.reserve(2 * pairs))
    walls: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(pairs):
        for kind in random.sample([True, False], 2):
            walls[kind].append(ends.end(next(tasks), servers[kind]))
    return walls
