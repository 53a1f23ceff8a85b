"""Statistics of a few hundred measurements."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import median

Figure = float | int | str | bool
RESAMPLES = 2000
"""Enough that the interval's ends move by less than a hundredth of its width from seed to seed."""


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was really seen."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float], unit: str) -> dict[str, Figure]:
    """n, p50, p99 and max; keys carry the unit."""
    return {
        "n": len(values),
        f"p50_{unit}": round(percentile(values, 0.5), 3),
        f"p99_{unit}": round(percentile(values, 0.99), 3),
        f"max_{unit}": round(max(values), 3),
    }


def medians_differ(less: Sequence[float], more: Sequence[float]) -> tuple[float, float, float]:
    """median(more) - median(less) of pairs, and its 95 % percentile bootstrap interval (Efron 1979).

    Pairs are redrawn, not values: the two of a pair were measured in the same moment and share its load.
    """
    dice = random.Random(1)  # noqa: S311 - redrawing a sample, no secret; the seed makes it repeatable
    pairs = list(zip(less, more, strict=True))

    def redrawn() -> float:
        chosen = dice.choices(pairs, k=len(pairs))
        return median(after for _, after in chosen) - median(before for before, _ in chosen)

    differences = [redrawn() for _ in range(RESAMPLES)]
    low, high = percentile(differences, 0.025), percentile(differences, 0.975)
    return round(median(more) - median(less), 3), round(low, 3), round(high, 3)
