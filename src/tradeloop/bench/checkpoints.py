"""`tradeloop bench checkpoints`: what durable checkpoints cost, beside LangGraph's own savers in the same minutes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import psycopg

from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg, as_json, machine, print_table
from tradeloop.bench.savers import CASES, Measured, Size, measure
from tradeloop.bench.stage import say, settings_for
from tradeloop.errors import SettingInvalid
from tradeloop.stack import Stack
from tradeloop.store.migrations import migrate

FULL: Final = Size(repeats=5, runs=768, slow_runs=192)
QUICK: Final = Size(repeats=1, runs=64, slow_runs=16)
LEGS: Final = {"quiet": "nothing else runs", "busy": "another process keeps one core busy"}
STOCK: Final = ("stock, one connection", "stock, pool of 8")
OURS: Final = "tradeloop, fenced"
MEMORY: Final = "InMemorySaver"
TIMES_STOCK: Final = 4.0
SHARE_OF_MEMORY: Final = 0.75


def run(only: Iterable[str], *, quick: bool, json_alone: bool) -> list[Leg]:
    """Measure the named legs, or both, on a PostgreSQL of its own; print a table and, as the last line, JSON.

    Raises:
        SettingInvalid: there is no leg of that name.
    """
    names = list(only) or list(LEGS)
    for name in names:
        if name not in LEGS:
            raise SettingInvalid(f"there is no leg {name!r}.", hint=f"legs: {', '.join(LEGS)}")
    size, state, begun = QUICK if quick else FULL, machine(), time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as Ctrl-C does
    with tempfile.TemporaryDirectory(prefix="tradeloop-bench-") as folder:
        stack = Stack(settings_for(Path(folder) / "home"), parts=["postgres"])
        with stack:
            database_url = stack.settings.database_url
            migrate(database_url)
            settings = _server_settings(database_url)
            legs = [_leg(name, database_url, settings, size) for name in names]
    if not json_alone:
        print_table(legs)
    print(as_json("checkpoints", legs, quick=quick, machine=state, took_s=round(time.monotonic() - begun)), flush=True)
    return legs


def _leg(name: str, database_url: str, settings: str, size: Size) -> Leg:
    leg = Leg(name, f"Runs of a 3-node graph a second, 64 at a time, durability sync; {LEGS[name]}")
    found: dict[str, list[Measured]] = {case: [] for case in CASES}
    before = os.getloadavg()[0]
    with _busy(name == "busy"):
        for number in range(size.repeats):
            for case in random.sample(list(CASES), len(CASES)):
                found[case].append(asyncio.run(measure(CASES[case], database_url, size)))
            rates = ", ".join(f"{case} {measured[-1].per_s:.0f}/s" for case, measured in found.items())
            say(f"{name}: repeat {number + 1} of {size.repeats}: {rates}")
    for case, measured in found.items():
        leg.add(case, _figures(measured, found[MEMORY]))
    _aim(leg, found)
    leg.notes.append(
        f"Medians of {size.repeats} interleaved repeats, order drawn anew in each; {size.runs} runs a repeat, "
        f"{size.slow_runs} for the stock savers; event of 300 bytes; {settings}. Load of the machine "
        f"{before:.1f} when it began, {os.getloadavg()[0]:.1f} at the end, the benchmark's own in it."
    )
    leg.notes.append(
        "fenced: every batch also makes sure that this worker still holds the runs, as in the engine. CPU is the "
        "process's own, LangGraph included; PostgreSQL's is not in it."
    )
    return leg


def _figures(measured: list[Measured], memory: list[Measured]) -> dict[str, Figure]:
    shares = [one.per_s / other.per_s for one, other in zip(measured, memory, strict=True)]
    return {
        "runs_per_s": round(median(one.per_s for one in measured), 1),
        "min": round(min(one.per_s for one in measured), 1),
        "max": round(max(one.per_s for one in measured), 1),
        "cpu_ms_a_run": round(median(one.cpu_ms for one in measured), 3),
        "of_in_memory": round(median(shares), 3),
    }


def _aim(leg: Leg, found: dict[str, list[Measured]]) -> None:
    """The two ratios, each the median of the repeats' own."""
    ours = [one.per_s for one in found[OURS]]
    stock = [max(pair) for pair in zip(*([one.per_s for one in found[case]] for case in STOCK), strict=True)]
    memory = [one.per_s for one in found[MEMORY]]
    times = median(mine / other for mine, other in zip(ours, stock, strict=True))
    share = median(mine / other for mine, other in zip(ours, memory, strict=True))
    leg.add("ratios of tradeloop, fenced", {"times_stock": round(times, 2), "of_in_memory": round(share, 3)})
    leg.aim(
        f"{times:.2f} x LangGraph's Postgres saver, the better form; target {TIMES_STOCK:g}", met=times >= TIMES_STOCK
    )
    leg.aim(f"{share:.2f} x InMemorySaver; target {SHARE_OF_MEMORY:g}", met=share >= SHARE_OF_MEMORY)


def _server_settings(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes")
        values = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
    return "PostgreSQL with " + ", ".join(f"{n} {v[0] if v else '?'}" for n, v in zip(names, values, strict=True))


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    """Another process that computes without end."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
