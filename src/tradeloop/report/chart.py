"""What is drawn, typed; nothing of it is markup yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A value at a slot of the axis; None breaks the line."""

    slot: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """A line; `look` is a class of the style: `line`, `second` (dashed) or `before`."""

    name: str
    points: tuple[Point, ...]
    look: str = "line"


@dataclass(frozen=True, slots=True)
class Mark:
    """A finding at a slot: a triangle with its id beneath the plot, and a ring on the value if there is one."""

    label: str
    slot: int
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Series over one axis of slots."""

    title: str
    words: str
    """What the picture says, in a sentence, for those who do not see it."""
    slots: tuple[str, ...]
    """The label of every slot: a day, a minute."""
    series: tuple[Series, ...]
    ranges: tuple[tuple[int, float, float], ...] = ()
    """Slot, lowest and highest of each bar."""
    marks: tuple[Mark, ...] = ()
    band: tuple[int, int] | None = None
    """First and last slot of what the picture is about; the rest is context."""
    band_name: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One column of bars."""

    name: str
    values: tuple[float | None, ...]
    texts: tuple[str, ...]
    """What stands at each bar's end."""
    strong: tuple[bool, ...] = ()
    """Bars that are beyond a bound; their text says so, too."""
    lines: tuple[tuple[float, str], ...] = ()
    """Bounds, with their names."""
    most: float | None = None
    """What a bar of full length stands for; longer ones end in a tip. None: the largest value or bound."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Rows of bars, in panels side by side."""

    title: str
    words: str
    rows: tuple[str, ...]
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()
    """Ids of the findings of each row."""


@dataclass(frozen=True, slots=True)
class Table:
    """The figures beside a picture."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    """Columns of figures: they are set right."""


Chart = Lines | Bars
