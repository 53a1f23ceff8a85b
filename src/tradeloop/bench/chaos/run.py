"""`tradeloop bench chaos`: kill everything, count everything."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tradeloop.bench.chaos.leg import Size, measure
from tradeloop.bench.report import Leg, as_json, machine, print_table
from tradeloop.bench.stage import say
from tradeloop.errors import TradeloopError


def run(seeds: Sequence[int], size: Size, *, seed_design: bool, json_alone: bool) -> list[Leg]:
    """One leg a seed, each on a stack of its own; print a table and, as the last line, JSON."""
    state, begun = machine(), time.monotonic()
    earlier = signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="tradeloop-chaos-") as folder:
            legs = [_measure(Path(folder), seed, size, of_the_seed=False) for seed in seeds]
            if seed_design:
                legs += [_measure(Path(folder), seed, size, of_the_seed=True) for seed in seeds]
    finally:
        signal.signal(signal.SIGTERM, earlier)
    if not json_alone:
        print_table(legs)
    took_s = round(time.monotonic() - begun)
    print(as_json("chaos", legs, seeds=list(seeds), kills=size.kills, machine=state, took_s=took_s), flush=True)
    return legs


def _measure(folder: Path, seed: int, size: Size, *, of_the_seed: bool) -> Leg:
    name = f"{'seed design' if of_the_seed else 'engine'}, schedule {seed}"
    say(f"chaos: {name}: a stack of its own starts")
    home = folder / name.replace(" ", "-").replace(",", "")
    try:
        leg = measure(home, name, seed, size, of_the_seed=of_the_seed)
    except TradeloopError as problem:
        say(f"chaos: {name} broke off: {problem.message} {problem.where}")
        return Leg(name, f"{name}: not measured", notes=[problem.message], broke_off=True)
    for target in leg.targets:
        say(f"chaos: {'met' if target.met else 'NOT MET'}: {target.text}")
    return leg


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt
