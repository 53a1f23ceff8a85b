"""The time line of one event: from the task's commit to the DAG run that its decision caused, on one clock axis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from markupsafe import Markup

from tradeloop.report.axis import fitted, px
from tradeloop.report.words import markup, span

WIDTH, LEFT, RIGHT, ROW = 900.0, 240.0, 110.0, 26.0
BROKEN: Final = 0.9
"""A leg with more than this share of the whole is drawn with a broken axis, so that the others stay visible."""
SHOWN: Final = 0.5
"""What the broken leg then takes of the width."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One stretch of the road."""

    name: str
    begin: datetime
    end: datetime
    person: bool = False
    """Whether a person was waited for."""

    @property
    def seconds(self) -> float:
        """How long it took; clocks of two machines may disagree by less than a leg, never below nothing."""
        return max(0.0, (self.end - self.begin).total_seconds())


def legs_of(
    points: Sequence[tuple[str, datetime | None]], people: Sequence[tuple[str, datetime, datetime]]
) -> list[Leg]:
    """Legs between the moments that are known, and those in which a person was waited for."""
    known = [(name, at) for name, at in points if at is not None]
    legs = [Leg(f"{before} → {after}", begin, end) for (before, begin), (after, end) in itertools.pairwise(known)]
    return legs + [Leg(name, begin, end, person=True) for name, begin, end in people]


def drawing(legs: Sequence[Leg], prefix: str = "road") -> Markup:
    """The SVG, with ids that begin with `prefix`; a table of the same follows it on the page."""
    if not legs:
        return Markup("")
    ordered = sorted(legs, key=lambda leg: (leg.begin, leg.person))
    begin = min(leg.begin for leg in ordered)
    whole = max(*((leg.end - begin).total_seconds() for leg in ordered), 0.001)
    place = _Place(ordered, begin, whole)
    height = len(ordered) * ROW + 34
    parts = [
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<path class="hatch" d="M0 0V6"/></pattern></defs>'
    ]
    for row, leg in enumerate(ordered):
        y = row * ROW + 4
        x1, x2 = place.of(leg.begin), place.of(leg.end)
        wide = max(x2 - x1, 2.0)
        name, look = markup(fitted(leg.name, LEFT - 14)), "leg person" if leg.person else "leg"
        told = f"person {span(leg.seconds)}" if leg.person else span(leg.seconds)
        parts.append(f'<text class="t" x="{px(LEFT - 10)}" y="{px(y + 13)}" text-anchor="end">{name}</text>')
        parts.append(f'<rect class="{look}" x="{px(x1)}" y="{px(y)}" width="{px(wide)}" height="16"/>')
        parts.append(f'<text class="m" x="{px(x1 + wide + 6)}" y="{px(y + 13)}">{markup(told)}</text>')
    bottom = len(ordered) * ROW + 6
    right = WIDTH - RIGHT
    parts.append(f'<path class="base" d="M{px(LEFT)} {px(bottom)}H{px(right)}"/>')
    if place.broken:
        x = place.break_at
        parts.append(f'<path class="base" d="M{px(x - 5)} {px(bottom + 5)}l4 -10M{px(x + 1)} {px(bottom + 5)}l4 -10"/>')
    parts.append(f'<text class="m" x="{px(LEFT)}" y="{px(bottom + 18)}">0</text>')
    words = f"{span(whole)} in all" + (", axis broken" if place.broken else "")
    parts.append(f'<text class="m" x="{px(right)}" y="{px(bottom + 18)}" text-anchor="end">{words}</text>')
    told = "; ".join(f"{leg.name} {span(leg.seconds)}" for leg in ordered)
    return Markup(  # noqa: S704 - every text in it went through `markup`
        f'<svg viewBox="0 0 {px(WIDTH)} {px(height)}" width="{px(WIDTH)}" height="{px(height)}" role="img" '
        f'aria-labelledby="{prefix}-t {prefix}-d"><title id="{prefix}-t">Time line of the event</title>'
        f'<desc id="{prefix}-d">{markup(told, 2000)}</desc>{"".join(parts)}</svg>'
    )


class _Place:
    """From a moment to its pixel; one long leg may be pressed together."""

    def __init__(self, legs: Sequence[Leg], begin: datetime, whole: float) -> None:
        self._begin, self._whole = begin, whole
        longest = max(legs, key=lambda leg: leg.seconds)
        self.broken = len(legs) > 1 and longest.seconds / whole > BROKEN
        self._from = (longest.begin - begin).total_seconds()
        self._to = (longest.end - begin).total_seconds()
        rest = max(whole - (self._to - self._from), 0.001)
        room = WIDTH - LEFT - RIGHT
        self._unit = (room * (1 - SHOWN) / rest) if self.broken else room / whole
        self._slow = room * SHOWN / max(self._to - self._from, 0.001)
        self.break_at = LEFT + self._from * self._unit + room * SHOWN / 2

    def of(self, at: datetime) -> float:
        """The pixel."""
        seconds = min(max((at - self._begin).total_seconds(), 0.0), self._whole)
        if not self.broken:
            return LEFT + seconds * self._unit
        before = min(seconds, self._from) * self._unit
        inside = min(max(seconds - self._from, 0.0), self._to - self._from) * self._slow
        after = max(seconds - self._to, 0.0) * self._unit
        return LEFT + before + inside + after
