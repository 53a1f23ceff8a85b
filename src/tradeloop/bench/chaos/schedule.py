"""What is killed or stopped, in which order: drawn from a seed alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

KILLS: Final[Mapping[str, int]] = {
    "worker": 10,
    "relay": 6,
    "kafka": 4,
    "postgres": 4,
    "api-server": 3,
    "scheduler": 3,
}
"""Parts that die by kill -9, and their shares: each at least once, the worker most."""
STOPS: Final = ("kafka", "worker")
"""Parts that are stopped (SIGSTOP) and go on later as if nothing had been."""
KILLS_A_STOP: Final = 15
OVERLAP: Final = 0.15
"""Share of faults that begin while the one before is still felt; their times are not counted, their harm is."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kill or stop."""

    number: int
    part: str
    kind: str
    """kill or stop."""
    which: int
    """Which of several processes of the part, modulo their number."""
    pause_s: float
    """How long after the system was calm, or, when it overlaps, after the fault before."""
    lasts_s: float = 0.0
    """How long a stop lasts."""
    overlaps: bool = False


def draw(seed: int, kills: int, parts: tuple[str, ...], lease_s: float) -> list[Fault]:
    """`kills` kills of these parts, and some stops beside them; equal for equal arguments."""
    dice = random.Random(f"schedule {seed}")  # noqa: S311 - a schedule, no secret
    deck = [(part, "kill") for part in _dealt(kills, parts)]
    stops = max(1, kills // KILLS_A_STOP)
    deck += [(part, "stop") for part in STOPS if part in parts for _ in range(stops)]
    dice.shuffle(deck)
    return [_fault(dice, number, part, kind, lease_s) for number, (part, kind) in enumerate(deck)]


def _fault(dice: random.Random, number: int, part: str, kind: str, lease_s: float) -> Fault:
    overlaps = number > 0 and dice.random() < OVERLAP
    which, pause_s, beyond_s = dice.randrange(1000), dice.uniform(0.2, 2.0), dice.uniform(1.0, 8.0)
    # A stopped worker must outlive its lease, or nobody takes its runs over.
    lasts_s = 0.0 if kind == "kill" else beyond_s + (lease_s if part == "worker" else 0.0)
    return Fault(number, part, kind, which, round(pause_s, 2), round(lasts_s, 2), overlaps)


def _dealt(kills: int, parts: tuple[str, ...]) -> list[str]:
    """One of each part first, then always the part that is furthest behind its share."""
    dealt = [part for part in KILLS if part in parts][:kills]
    while len(dealt) < kills:
        dealt.append(min((part for part in KILLS if part in parts), key=lambda part: dealt.count(part) / KILLS[part]))
    return dealt
