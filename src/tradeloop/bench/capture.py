"""`tradeloop bench capture`: what capture costs, what it loses, how quick it is."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from tradeloop.bench import call, hook, latency, missing, runs
from tradeloop.bench.report import Leg, as_json, machine, print_table
from tradeloop.bench.stage import say
from tradeloop.errors import SettingInvalid, TradeloopError


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    hook_calls: int
    hook_starts: int
    call_pairs: int
    run_repeats: int
    peer_stopped: int
    latency_events: int


FULL: Final = Size(
    hook_calls=300,
    hook_starts=3,
    call_pairs=200,
    run_repeats=20,
    peer_stopped=3,
    latency_events=40,
)
QUICK: Final = Size(
    hook_calls=40,
    hook_starts=1,
    call_pairs=30,
    run_repeats=2,
    peer_stopped=1,
    latency_events=4,
)

LEGS: Final[dict[str, Callable[[Path, Size], Leg]]] = {
    "hook": lambda home, size: hook.measure(home, calls=size.hook_calls, starts=size.hook_starts),
    "call": lambda home, size: call.measure(home, pairs=size.call_pairs),
    "runs": lambda home, size: runs.measure(home, repeats=size.run_repeats, peer_repeats=size.peer_stopped),
    "missing": lambda home, _: missing.measure(home),
    "latency": lambda home, size: latency.measure(home, events=size.latency_events),
}


def run(only: Iterable[str], *, quick: bool, json_alone: bool) -> list[Leg]:
    """Measure the named legs, or all, each on a stack of its own; print a table and, as the last line, JSON.

    A leg that breaks off is told and does not spoil the others. Ctrl-C and SIGTERM end everything that was started
    and remove the scratch folder.

    Raises:
        SettingInvalid: there is no leg of that name.
    """
    names = list(only) or list(LEGS)
    for name in names:
        if name not in LEGS:
            raise SettingInvalid(f"there is no leg {name!r}.", hint=f"legs: {', '.join(LEGS)}")
    size, state, begun = QUICK if quick else FULL, machine(), time.monotonic()
    earlier = signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="tradeloop-bench-") as folder:
            legs = [_measure(name, Path(folder) / name, size) for name in names]
    finally:
        signal.signal(signal.SIGTERM, earlier)
    if not json_alone:
        print_table(legs)
    print(as_json("capture", legs, quick=quick, machine=state, took_s=round(time.monotonic() - begun)), flush=True)
    return legs


def _measure(name: str, home: Path, size: Size) -> Leg:
    say(f"{name}: a stack of its own starts")
    try:
        leg = LEGS[name](home, size)
    except TradeloopError as problem:
        say(f"{name}: broke off: {problem.message} {problem.where}")
        return Leg(name, f"{name}: not measured", notes=[problem.message], broke_off=True)
    for target in leg.targets:
        say(f"{name}: {'met' if target.met else 'NOT MET'}: {target.text}")
    return leg


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt
