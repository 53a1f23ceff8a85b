"""A benchmark of one leg on one stack: run it, print its table and its JSON."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tradeloop.bench.report import Leg, as_json, machine, print_table
from tradeloop.bench.stage import say
from tradeloop.errors import TradeloopError


def run(name: str, measure: Callable[[Path], Leg], *, quick: bool, json_alone: bool) -> Leg:
    """Measure in a scratch folder; print a table and, as the last line, JSON. SIGTERM ends it as Ctrl-C does."""
    state, begun = machine(), time.monotonic()
    earlier = signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="tradeloop-bench-") as folder:
            leg = _measured(name, measure, Path(folder) / "home")
    finally:
        signal.signal(signal.SIGTERM, earlier)
    if not json_alone:
        print_table([leg])
    print(as_json(name, [leg], quick=quick, machine=state, took_s=round(time.monotonic() - begun)), flush=True)
    return leg


def _measured(name: str, measure: Callable[[Path], Leg], home: Path) -> Leg:
    say(f"{name}: a stack of its own starts")
    try:
        return measure(home)
    except TradeloopError as problem:
        say(f"{name}: broke off: {problem.message} {problem.where}")
        return Leg(name, f"{name}: not measured", notes=[problem.message], broke_off=True)


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt
