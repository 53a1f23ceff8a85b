"""Typed charts as SVG: lines with their findings, bars in panels. No script, no outside reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradeloop.report.axis import CHAR, Scale, Xy, fitted, path, px, scale_of, width_of
from tradeloop.report.chart import Bars, Chart, Lines, Mark, Panel, Series
from tradeloop.report.words import ICONS, Tone, count, markup

WIDTH: Final = 700.0
"""Of a chart on a page, in pixels; it is never shown smaller there, so that no text is smaller than 12."""
PLOT: Final = 220.0
LABEL_ROWS: Final = 3
"""Rows of ids beneath the plot; what finds no room is counted at the right."""
ROW: Final = 22.0
ROWS_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Drawing:
    """Markup without the frame around it."""

    body: str
    height: float
    width: float


def drawn(chart: Chart, width: float = WIDTH) -> Drawing:
    """The chart as shapes."""
    return _lines(chart, width) if isinstance(chart, Lines) else _bars(chart, width)


def svg(chart: Chart, key: str) -> str:
    """The chart as an element of a page; `key` makes its ids unique there."""
    drawing = drawn(chart)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {px(drawing.width)} {px(drawing.height)}" role="img" '
        f'aria-labelledby="{key}-t {key}-d"><title id="{key}-t">{markup(chart.title)}</title>'
        f'<desc id="{key}-d">{markup(chart.words, 2000)}</desc>{drawing.body}</svg>'
    )


def text(x: float, y: float, words: str, look: str = "m", anchor: str = "") -> str:
    """A text; `anchor` is `middle` or `end`."""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{px(x)}" y="{px(y)}" class="{look}"{placed}>{markup(words)}</text>'


def icon(tone: Tone, x: float = 0.0, y: float = 0.0) -> str:
    """The icon of a tone, 16 by 16."""
    place = f' transform="translate({px(x)} {px(y)})"' if x or y else ""
    return f'<path class="i {tone.name}-icon" d="{ICONS[tone.icon]}" stroke-width="1.6"{place}/>'


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    return f'<path class="{look}" d="M{px(x1)} {px(y1)}L{px(x2)} {px(y2)}"/>'


def _lines(chart: Lines, width: float) -> Drawing:
    values = [point.value for series in chart.series for point in series.points if point.value is not None]
    values += [mark.value for mark in chart.marks if mark.value is not None]
    values += [end for _, low, high in chart.ranges for end in (low, high)]
    legend, top = _legend(chart, width, is_log=scale_of(values, 0, 1).is_log)
    scale = scale_of(values, top, top + PLOT)
    ticks = scale.ticks() if values else []
    left = max((width_of(label) for _, label in ticks), default=0.0) + 14
    room = _Room(left, width - 12, max(len(chart.slots), 1))
    parts = [legend]
    if chart.band is not None:
        first, last = room.edge(chart.band[0]), room.edge(chart.band[1] + 1)
        parts.append(f'<path class="band" d="M{px(first)} {px(top)}H{px(last)}V{px(scale.bottom)}H{px(first)}z"/>')
    for value, label in ticks:
        parts += [
            _line(left, scale.at(value), room.right, scale.at(value), "grid"),
            text(left - 8, scale.at(value) + 4, label, anchor="end"),
        ]
    parts.append(_line(left, scale.bottom, room.right, scale.bottom, "base"))
    if not values:
        parts.append(text((left + room.right) / 2, top + PLOT / 2, "no value can be drawn", anchor="middle"))
    parts.append(_ranges(chart, room, scale))
    parts += [_series(one, room, scale) for one in chart.series]
    marks, height = _marks(chart.marks, room, scale)
    return Drawing("".join([*parts, marks, _slots(chart, room, height)]), height + 22, width)


class _Room:
    """Where the slots of the axis lie."""

    def __init__(self, left: float, right: float, slots: int) -> None:
        self.left, self.right, self.slots = left, right, slots

    def edge(self, slot: float) -> float:
        """Where a slot begins."""
        return self.left + (self.right - self.left) * slot / self.slots

    def mid(self, slot: int) -> float:
        """The middle of a slot."""
        return self.edge(slot + 0.5)


def _series(series: Series, room: _Room, scale: Scale) -> str:
    runs: list[list[Xy]] = [[]]
    for point in series.points:
        if point.value is None:
            runs.append([])
        else:
            runs[-1].append((room.mid(point.slot), scale.at(point.value)))
    return f'<path class="{series.look}" d="{path(runs)}"/>'


def _ranges(chart: Lines, room: _Room, scale: Scale) -> str:
    """One stroke a pixel column, from the lowest low to the highest high of it."""
    columns: dict[float, tuple[float, float]] = {}
    for slot, low, high in chart.ranges:
        x = room.mid(slot) if room.slots < room.right - room.left else float(int(room.mid(slot)))
        known = columns.get(x, (low, high))
        columns[x] = (min(known[0], low), max(known[1], high))
    strokes = (f"M{px(x)} {px(scale.at(low))}V{px(scale.at(high))}" for x, (low, high) in columns.items())
    return f'<path class="range" d="{"".join(strokes)}"/>' if columns else ""


def _legend(chart: Lines, width: float, *, is_log: bool) -> tuple[str, float]:
    """What every look means, in as many rows as it takes; and where that ends."""
    entries = [(f'<path class="{one.look}" d="M0 6h22"/>', 28.0, one.name) for one in chart.series]
    if chart.ranges:
        entries.append(('<path class="range" d="M4 0v12"/>', 12.0, "low to high"))
    if chart.band is not None:
        shape = "M0 0h22v12h-22z"
        entries.append((f'<path class="band" d="{shape}"/><path class="grid" d="{shape}"/>', 28.0, chart.band_name))
    if chart.marks:
        entries.append((_triangle(5, 1), 16.0, "finding"))
    if is_log:
        entries.append(("", 0.0, "logarithmic scale"))
    parts, x, y = [], 4.0, 4.0
    for shape, before, name in entries:
        wide = before + width_of(name) + 18
        if x > 4.0 and x + wide > width:
            x, y = 4.0, y + 18
        parts.append(f'<g transform="translate({px(x)} {px(y)})">{shape}{text(before, 10, name)}</g>')
        x += wide
    return "".join(parts), y + 20


def _triangle(x: float, y: float) -> str:
    return f'<path class="mark" d="M{px(x)} {px(y)}l5 9h-10z"/>'


def _marks(marks: Sequence[Mark], room: _Room, scale: Scale) -> tuple[str, float]:
    """Triangles and their ids beneath the plot, each id in the first row with room; and where that ends."""
    by_slot: dict[int, list[Mark]] = {}
    for mark in sorted(marks, key=lambda one: (one.slot, one.label)):
        by_slot.setdefault(mark.slot, []).append(mark)
    parts, ends, lost, used = [], [-1.0] * LABEL_ROWS, 0, 0
    for slot, here in by_slot.items():
        x = room.mid(slot)
        for value in {mark.value for mark in here if mark.value is not None}:
            y = scale.at(value)
            parts += [
                _line(x, y + 4, x, scale.bottom, "lead"),
                f'<circle class="ring" cx="{px(x)}" cy="{px(y)}" r="4"/>',
            ]
        if not any(mark.value is not None for mark in here):
            parts.append(_line(x, scale.top, x, scale.bottom, "lead"))
        parts.append(_triangle(x, scale.bottom + 3))
        labels = [mark.label for mark in here if mark.label]
        if not labels:
            continue
        told = " ".join(labels[:3]) + (f" +{len(labels) - 3}" if len(labels) > 3 else "")
        half = width_of(told) / 2
        at = min(max(x, room.left + half), room.right - half)
        row = next((n for n, end in enumerate(ends) if end + CHAR < at - half), None)
        if row is None:
            lost += len(labels)
            continue
        ends[row], used = at + half, max(used, row + 1)
        parts.append(text(at, scale.bottom + 25 + row * 14, told, "t", "middle"))
    bottom = scale.bottom + (16 if marks else 2) + used * 14
    if lost:
        bottom += 14
        told = f"{count(lost, 'more finding')}: see the table"
        parts.append(text(room.right, bottom, told, anchor="end"))
    return "".join(parts), bottom


def _slots(chart: Lines, room: _Room, top: float) -> str:
    if not chart.slots:
        return ""
    wide = max(width_of(label) for label in chart.slots) + 24
    fits = max(1, int((room.right - room.left) / wide))
    every = max(1, -(-len(chart.slots) // fits))
    parts, end = [], 0.0
    for slot in range(0, len(chart.slots), every):
        half = width_of(chart.slots[slot]) / 2
        at = min(max(room.mid(slot), half), room.right - half)
        if at - half < end:
            continue
        end = at + half + CHAR
        parts.append(text(at, top + 16, chart.slots[slot], anchor="middle"))
        parts.append(_line(room.mid(slot), top + 1, room.mid(slot), top + 4, "base"))
    return "".join(parts)


def _bars(chart: Bars, width: float) -> Drawing:
    shown = min(len(chart.rows), ROWS_SHOWN)
    labels = [fitted(row, 240) for row in chart.rows[:shown]]
    notes = [fitted(note, 130) for note in chart.notes[:shown]]
    left = max((width_of(label) for label in labels), default=0.0) + 14
    right = width - (max((width_of(note) for note in notes), default=0.0) + 30 if any(notes) else 4)
    parts = []
    has_bounds = any(panel.lines for panel in chart.panels)
    top = 40.0 if has_bounds else 24.0
    each = (right - left) / max(len(chart.panels), 1)
    for at, panel in enumerate(chart.panels):
        parts.append(_panel(panel, left + at * each, left + (at + 1) * each - 16, top, shown))
    for at, label in enumerate(labels):
        parts.append(text(left - 10, top + at * ROW + 15, label, "t", "end"))
        if at < len(notes) and notes[at]:
            parts += [_triangle(right + 8, top + at * ROW + 6), text(right + 18, top + at * ROW + 15, notes[at], "t")]
    height = top + shown * ROW + 6
    if not shown:
        parts.append(text(width / 2, top + 14, "nothing to draw", anchor="middle"))
        height += ROW
    if shown < len(chart.rows):
        parts.append(text(left, height + 12, f"{count(len(chart.rows) - shown, 'more row')}: see the table"))
        height += 18
    return Drawing("".join(parts), height, width)


def _panel(panel: Panel, left: float, right: float, top: float, rows: int) -> str:
    values = [abs(value) for value in panel.values[:rows] if value is not None]
    most = panel.most or max([*values, *(bound for bound, _ in panel.lines)], default=0.0) or 1.0
    room = max(right - left - max((width_of(told) for told in panel.texts[:rows]), default=0.0) - 8, 20.0)
    bottom = top + rows * ROW
    parts = [text(left, 14, fitted(panel.name, right - left), "m b"), _line(left, top, left, bottom, "base")]
    ends = []
    for at, value in enumerate(panel.values[:rows]):
        y, wide = top + at * ROW + 4, min(room * abs(value or 0.0) / most, room)
        wide = max(wide, 1.5) if value else 0.0
        look = "strong" if at < len(panel.strong) and panel.strong[at] else "bar"
        tip = "l6 7l-6 7" if value and abs(value) > most * (1 + 1e-9) else "v14"
        if value:
            parts.append(f'<path class="{look}" d="M{px(left)} {px(y)}h{px(wide)}{tip}h-{px(wide)}z"/>')
        ends.append(left + wide + (10 if tip != "v14" else 6))
    parts.append(_bounds(panel, left, room / most, top, bottom))
    for at, x in enumerate(ends):
        told, y = panel.texts[at], top + at * ROW
        if panel.lines:  # a bound may run through here
            parts.append(
                f'<path class="ground" d="M{px(x - 2)} {px(y + 4)}h{px(width_of(told))}v14h-{px(width_of(told))}z"/>'
            )
        parts.append(text(x, y + 15, told, "t"))
    return "".join(parts)


def _bounds(panel: Panel, left: float, unit: float, top: float, bottom: float) -> str:
    parts, end = [], -1.0
    for bound, name in sorted(panel.lines):
        x = left + unit * bound
        parts.append(_line(x, top - 4, x, bottom, "bound"))
        if x - width_of(name) / 2 > end:
            parts.append(text(x, top - 8, name, anchor="middle"))
            end = x + width_of(name) / 2 + CHAR
    return "".join(parts)
