"""Scales of a chart: where a value lies, which ticks are named, and how a line is thinned without losing an extreme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradeloop.report.words import figure

CHAR: Final = 7.3
"""Width of a character at 12 px in the widest font that a page may meet (DejaVu Sans, where a system has no other)."""
NARROW: Final = frozenset("fijltI.,:;|!'()[]- ")
WIDE: Final = frozenset("mwMW@%…—")
LOG_FROM: Final = 8.0
"""From this ratio of the extremes on, a linear scale would press everything but the extreme into one line."""

MOST: Final = 1e100
"""Larger figures, and smaller ones than its inverse, are drawn as these: the arithmetic would leave floats."""

Xy = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels, upwards; `is_log` where the extremes lie far apart."""

    low: float
    high: float
    top: float
    bottom: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; never outside."""
        low, high = self._seen(self.low), self._seen(self.high)
        here = self._seen(min(max(value, self.low), self.high))
        return self.bottom - (here - low) / (high - low) * (self.bottom - self.top)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values within the scale, with their labels."""
        if self.is_log:
            found = [
                step * 10.0**power
                for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                for step in (1, 2, 5)
                if self.low <= step * 10.0**power <= self.high
            ]
            found = found[:: -(-len(found) // 7)] if found else []
        else:
            step = round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step)
            found = [(first + n) * step for n in range(12) if (first + n) * step <= self.high + step * 1e-9]
        return [(value, figure(value)) for value in found]

    def _seen(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def scale_of(values: Sequence[float], top: float, bottom: float) -> Scale:
    """A scale that holds every value, with a little room at both ends."""
    finite = [min(max(value, -MOST), MOST) for value in values if math.isfinite(value)]
    if not finite:
        return Scale(0.0, 1.0, top, bottom)
    low, high = min(finite), max(finite)
    if low >= 1 / MOST and high / low >= LOG_FROM:
        room = (high / low) ** 0.04
        return Scale(low / room, high * room, top, bottom, is_log=True)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return Scale(low - room, high + room, top, bottom)


def round_step(raw: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next((step * power for step in (1, 2, 2.5, 5) if step * power >= raw * (1 - 1e-9)), 10 * power)


def thinned(points: Sequence[Xy]) -> list[Xy]:
    """First, lowest, highest and last of each pixel column: no spike is ever lost, and the line looks the same."""
    kept: list[Xy] = []
    column: list[Xy] = []
    for point in [*points, None]:
        if column and (point is None or int(point[0]) != int(column[0][0])):
            places = {0, len(column) - 1}
            places.add(min(range(len(column)), key=lambda at: column[at][1]))
            places.add(max(range(len(column)), key=lambda at: column[at][1]))
            kept += [column[at] for at in sorted(places)]
            column = []
        if point is not None:
            column.append(point)
    return kept


def path(runs: Sequence[Sequence[Xy]]) -> str:
    """The `d` of a path: one stroke a run; a run of one point is a dot."""
    parts = []
    for run in runs:
        kept = thinned(run)
        if len(kept) == 1:
            parts.append(f"M{px(kept[0][0])} {px(kept[0][1])}h.01")
        elif kept:
            parts.append("M" + "L".join(f"{px(x)} {px(y)}" for x, y in kept))
    return "".join(parts)


def px(value: float) -> str:
    """A coordinate with one decimal, none where it is whole."""
    told = f"{value:.1f}"
    return "0" if told in ("-0.0", "0.0") else told.removesuffix(".0")


def width_of(text: str) -> float:
    """About how wide a text is at 12 px, rather too wide than too narrow."""
    return sum(CHAR * _places(c) for c in text)


def fitted(text: str, room: float) -> str:
    """The text, cut with … where it is wider."""
    if width_of(text) <= room:
        return text
    kept, used = "", width_of("…")
    for c in text:
        used += CHAR * _places(c)
        if used > room:
            break
        kept += c
    return f"{kept.rstrip()}…"


def _places(c: str) -> float:
    if c in NARROW:
        return 0.6
    if ord(c) >= 0x1100:  # characters of East Asia
        return 1.85
    return 1.4 if c in WIDE else 1.15 if c.isupper() else 1.0
