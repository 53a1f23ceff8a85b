"""A run's graph as SVG: layered, what was taken bold, what was not dotted, where it stands outlined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final  # Any: LangGraph's own type parameters

from markupsafe import Markup

from tradeloop.report.axis import fitted, px
from tradeloop.report.words import markup, span

START, END = "__start__", "__end__"
WIDE, HIGH, GAP_X, GAP_Y = 132.0, 44.0, 44.0, 16.0
MOST_LAYERS: Final = 15
"""A longer graph is told by its table alone."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The nodes and edges of a workflow, in the order in which they were added."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, graph: Any) -> Shape:
        """Of a StateGraph that is not compiled."""
        edges = [(str(a), str(b)) for a, b in sorted(graph.edges)]
        for origin, branches in graph.branches.items():
            for branch in branches.values():
                edges += [(origin, str(end)) for end in (branch.ends or {}).values()]
        return cls(tuple(graph.nodes), tuple(dict.fromkeys(edges)))

    @classmethod
    def of_steps(cls, names: Iterable[str]) -> Shape:
        """Of a graph that is not installed here: only what was taken is known."""
        nodes = tuple(dict.fromkeys(names))
        return cls(nodes, tuple(zip((START, *nodes), (*nodes, END), strict=True)) if nodes else ())


@dataclass(frozen=True, slots=True)
class Node:
    """One node as it is drawn and told."""

    name: str
    state: str
    """`done`, `current` or `not taken`."""
    took_s: float | None
    at: datetime | None
    times: int


def nodes_of(
    shape: Shape, steps: Sequence[Any], received_at: datetime, *, live: bool, parked: bool = False
) -> list[Node]:
    """Every node with what became of it. `steps` have `nodes` and `at`, the first first."""
    taken: dict[str, list[tuple[datetime, float]]] = {}
    before = received_at
    for step in steps:
        for name in step.nodes:
            taken.setdefault(name, []).append((step.at, max(0.0, (step.at - before).total_seconds())))
        before = step.at
    names = list(dict.fromkeys([*shape.nodes, *taken]))
    current = _current(shape, [name for step in steps for name in step.nodes]) if live else ""
    if parked and "act" in names and "act" not in taken:
        current = "act"
    found = []
    for name in names:
        mine = taken.get(name, [])
        state = "current" if name == current else "done" if mine else "not taken"
        found.append(
            Node(name, state, sum(s for _, s in mine) if mine else None, mine[-1][0] if mine else None, len(mine))
        )
    return found


def drawing(shape: Shape, nodes: Sequence[Node]) -> Markup:
    """The SVG; a table of the same follows it on the page. Empty for a graph that is too long to be read."""
    layers = _layers(shape, [node.name for node in nodes])
    if not layers or len(layers) > MOST_LAYERS:
        return Markup("")
    known = {node.name: node for node in nodes}
    tall = max(len(layer) for layer in layers)
    height = tall * (HIGH + GAP_Y) + 8
    places = {
        name: (4 + at * (WIDE + GAP_X), 4 + (row + (tall - len(layer)) / 2) * (HIGH + GAP_Y))
        for at, layer in enumerate(layers)
        for row, name in enumerate(layer)
    }
    width = len(layers) * (WIDE + GAP_X) - GAP_X + 8
    parts = [_edge(a, b, places, known) for a, b in shape.edges if a in places and b in places]
    parts += [_node(known[name], *place) for name, place in places.items()]
    words = ", ".join(f"{node.name} {node.state}" for node in nodes)
    return Markup(  # noqa: S704 - every text in it went through `markup`
        f'<svg viewBox="0 0 {px(width)} {px(height)}" width="{px(width)}" height="{px(height)}" role="img" '
        f'aria-labelledby="graph-t graph-d"><title id="graph-t">The graph of this run</title>'
        f'<desc id="graph-d">{markup(words, 2000)}</desc>{"".join(parts)}</svg>'
    )


def _current(shape: Shape, taken: Sequence[str]) -> str:
    last = taken[-1] if taken else START
    after = [b for a, b in shape.edges if a == last and b != END]
    return after[0] if len(after) == 1 else ""


def _layers(shape: Shape, names: Sequence[str]) -> list[list[str]]:
    """Each node one layer behind the furthest of those that lead to it; loops do not push it on."""
    level = dict.fromkeys(names, 0)
    for _ in names:
        for a, b in shape.edges:
            if a in level and b in level and names.index(a) < names.index(b) and level[b] < level[a] + 1:
                level[b] = level[a] + 1
    found: list[list[str]] = []
    for name in names:
        while len(found) <= level[name]:
            found.append([])
        found[level[name]].append(name)
    return [layer for layer in found if layer]


def _edge(a: str, b: str, places: Mapping[str, tuple[float, float]], known: Mapping[str, Node]) -> str:
    (x1, y1), (x2, y2) = places[a], places[b]
    x1, y1, y2 = x1 + WIDE, y1 + HIGH / 2, y2 + HIGH / 2
    taken = known[a].state == "done" and known[b].state in ("done", "current")
    look = "taken" if taken else "untaken"
    if x2 <= x1 - WIDE:  # backwards: beneath
        down = max(y1, y2) + HIGH
        first, last = f"{px(x1 - WIDE / 2)} {px(y1 + HIGH / 2)}", f"{px(x2 + WIDE / 2)} {px(y2 + HIGH / 2)}"
        line = f"M{first}Q{px((x1 + x2) / 2)} {px(down)} {last}"
        return f'<path class="edge {look}" d="{line}"/>'
    if x2 - x1 > GAP_X + 1 and abs(y1 - y2) < 1:  # over what lies between
        top = y1 - HIGH / 2 - 6
        line = f"M{px(x1)} {px(y1)}C{px(x1 + 24)} {px(top)} {px(x2 - 30)} {px(top)} {px(x2 - 6)} {px(y2)}"
    else:
        mid = (x1 + x2) / 2
        line = f"M{px(x1)} {px(y1)}C{px(mid)} {px(y1)} {px(mid)} {px(y2)} {px(x2 - 6)} {px(y2)}"
    arrow = f'<path class="arrow {look}" d="M{px(x2 - 7)} {px(y2 - 4)}l7 4l-7 4z"/>'
    return f'<path class="edge {look}" d="{line}"/>{arrow}'


def _node(node: Node, x: float, y: float) -> str:
    look = {"done": "taken", "current": "current", "not taken": "untaken"}[node.state]
    took = span(node.took_s) if node.took_s is not None else {"current": "here now"}.get(node.state, "not taken")
    told = markup(fitted(f"{took}, {node.times} times" if node.times > 1 else took, WIDE - 12))
    name = fitted(node.name, WIDE - 16)
    middle = x + WIDE / 2
    return (
        f'<rect class="node {look}" x="{px(x)}" y="{px(y)}" width="{px(WIDE)}" height="{px(HIGH)}" rx="4"/>'
        f'<text class="t b" x="{px(middle)}" y="{px(y + 18)}" text-anchor="middle">{markup(name)}</text>'
        f'<text class="m" x="{px(middle)}" y="{px(y + 34)}" text-anchor="middle">{told}</text>'
    )
