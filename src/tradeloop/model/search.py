"""Many schedules, and the shortest way to what one of them found."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import Final

from tradeloop.model.rules import Rules
from tradeloop.model.schedule import Found, run

CHUNK: Final = 250
"""Schedules that a process takes at a time: about a second of work."""
SHRINK_RUNS: Final = 600
"""Runs that shrinking may take; a shorter trace beyond these is rarely worth the wait."""


def search(rules: Rules, seeds: range, processes: int = 1) -> Iterator[Found]:
    """Run a schedule for each seed; what was found, in the order of the seeds."""
    if processes == 1:
        yield from _search_some(rules, seeds)
        return
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from chain.from_iterable(pool.map(partial(_search_some, rules), chunks))


def _search_some(rules: Rules, seeds: range) -> list[Found]:
    return [found for seed in seeds if (found := run(seed, rules)) is not None]


def shrink(found: Found, rules: Rules) -> Found:
    """Leave out steps as long as the same invariant breaks; with the trace of what is left."""
    shortest, runs, size = found, 0, max(1, len(found.steps) // 2)
    while size and runs < SHRINK_RUNS:
        at = 0
        while at < len(shortest.steps) and runs < SHRINK_RUNS:
            runs += 1
            again = run(found.seed, rules, shortest.steps[:at] + shortest.steps[at + size :])
            if again is not None and again.invariant == found.invariant:
                shortest = again
            else:
                at += size
        size //= 2
    return replace(shortest, trace=(run(found.seed, rules, shortest.steps, traced=True) or found).trace)
