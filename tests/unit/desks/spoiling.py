"""Seeded injuries to a clean month, each with the rule that names it and the decisions that are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from sp500 import Bars, month, months, scaled

Random = np.random.Generator
Data = dict[str, Any]


def unit_up(bars: Bars, random: Random) -> None:
    at = int(random.integers(len(bars)))
    bars[at] = scaled(bars[at], 100)


def unit_down(bars: Bars, random: Random) -> None:
    at = int(random.integers(len(bars)))
    bars[at] = scaled(bars[at], 0.01)


def split_level(bars: Bars, random: Random) -> None:
    at, ratio = int(random.integers(len(bars))), float(random.choice([2, 3, 4, 5, 7, 10, 20]))
    factor = ratio if random.random() < 0.3 else 1 / ratio
    bars[at:] = [scaled(bar, factor) for bar in bars[at:]]


def _spike(low: float, high: float) -> Callable[[Bars, Random], None]:
    def spike(bars: Bars, random: Random) -> None:
        at = int(random.integers(len(bars) - 1))  # the last bar has no next one to reverse it
        bars[at] = scaled(bars[at], 1 + float(random.choice([-1, 1])) * float(random.uniform(low, high)))

    return spike


def close_spike(bars: Bars, random: Random) -> None:
    """Only the close is off; high and low follow, so that the bar agrees with itself."""
    at = int(random.integers(len(bars) - 1))
    close = float(bars[at]["close"]) * (1 + float(random.choice([-1, 1])) * float(random.uniform(0.06, 0.12)))
    high, low = max(float(bars[at]["high"]), close), min(float(bars[at]["low"]), close)
    bars[at] |= {"close": f"{close:.6f}", "high": f"{high:.6f}", "low": f"{low:.6f}"}


def spike_at_end(bars: Bars, random: Random) -> None:
    bars[-1] = scaled(bars[-1], 1 + float(random.choice([-1, 1])) * float(random.uniform(0.12, 0.4)))


def dropped(bars: Bars, random: Random) -> None:
    del bars[int(random.integers(len(bars) - 1))]


def truncated(bars: Bars, random: Random) -> None:
    del bars[-int(random.integers(1, 4)) :]


def doubled(bars: Bars, random: Random) -> None:
    at = int(random.integers(len(bars)))
    bars.insert(at, dict(bars[at]))


def conflicting(bars: Bars, random: Random) -> None:
    at = int(random.integers(len(bars)))
    bars.insert(at, scaled(bars[at], 1.001))


def stale(bars: Bars, random: Random) -> None:
    at = int(random.integers(1, len(bars)))
    bars[at] = bars[at - 1] | {"date": bars[at]["date"]}


def swapped(bars: Bars, random: Random) -> None:
    bar = bars[int(random.integers(len(bars)))]
    bar["high"], bar["low"] = bar["low"], bar["high"]


def emptied(bars: Bars, random: Random) -> None:
    bars[int(random.integers(len(bars)))][str(random.choice(["open", "high", "low", "close"]))] = None


def negative(bars: Bars, random: Random) -> None:
    bar = bars[int(random.integers(len(bars)))]
    bar["low"] = f"-{bar['low']}"


def on_a_sunday(bars: Bars, random: Random) -> None:
    at = int(random.integers(len(bars)))
    day = date.fromisoformat(bars[at]["date"])
    sunday = day - timedelta(days=(day.weekday() + 1) % 7)
    if sunday.month != day.month:
        sunday += timedelta(days=7)
    bars.append(bars[at] | {"date": sunday.isoformat()})


@dataclass(frozen=True)
class Injury:
    spoil: Callable[[Bars, Random], None]
    rules: tuple[str, ...]
    right: tuple[str, ...]
    """Decisions that are right; the first is the preferred one."""


INJURIES = {
    "one bar x 100": Injury(unit_up, ("MD10",), ("REFETCH",)),
    "one bar / 100": Injury(unit_down, ("MD10",), ("REFETCH",)),
    "level x or / 2..20": Injury(split_level, ("MD10",), ("REFETCH",)),
    "spike 6-12 %": Injury(_spike(0.06, 0.12), ("MD09",), ("ESCALATE", "QUARANTINE_ROWS", "REFETCH")),
    "spike 6-12 %, close only": Injury(close_spike, ("MD09",), ("ESCALATE", "QUARANTINE_ROWS", "REFETCH")),
    "spike 12-25 %": Injury(_spike(0.12, 0.25), ("MD09",), ("ESCALATE", "QUARANTINE_ROWS", "REFETCH")),
    "spike 30-60 %": Injury(_spike(0.30, 0.60), ("MD09",), ("QUARANTINE_ROWS", "REFETCH", "ESCALATE")),
    "last bar off 12-40 %": Injury(spike_at_end, ("MD19",), ("ESCALATE",)),
    "session dropped": Injury(dropped, ("MD05",), ("REFETCH",)),
    "end missing": Injury(truncated, ("MD15",), ("REFETCH",)),
    "row doubled, alike": Injury(doubled, ("MD04",), ("QUARANTINE_ROWS",)),
    "row doubled, conflicting": Injury(conflicting, ("MD04",), ("QUARANTINE_ROWS",)),
    "stale row": Injury(stale, ("MD08",), ("REFETCH",)),
    "high and low swapped": Injury(swapped, ("MD03",), ("QUARANTINE_ROWS",)),
    "price empty": Injury(emptied, ("MD01",), ("QUARANTINE_ROWS",)),
    "price negative": Injury(negative, ("MD02",), ("QUARANTINE_ROWS",)),
    "bar on a Sunday": Injury(on_a_sunday, ("MD06",), ("QUARANTINE_ROWS",)),
}


def spoiled(kind: str, number: int, seed: int) -> Data:
    """Case `number` of a kind: its own random stream, so that a new kind changes no other's cases."""
    # `number` and the kind's name, not its place: cases stay when kinds are added.
    random = np.random.default_rng([seed, number, *kind.encode()])
    while True:
        data = month(str(random.choice(months())))
        before = [dict(bar) for bar in data["bars"]]
        INJURIES[kind].spoil(data["bars"], random)
        if data["bars"] != before:
            return data
