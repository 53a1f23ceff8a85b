"""What the pictures of all desks share: plain facts read without trust, findings as a table, counts as a panel."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final  # Any: JSON

from tradeloop.report.chart import Bars, Panel, Table
from tradeloop.report.day import Case, Json, Picture
from tradeloop.report.words import count, plain

LISTED: Final = 100
"""Rows of a table beside a picture; a longer one says how many are left out."""


def number(value: object) -> float | None:
    """The figure, of a number or of decimal text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) < 1e100 else None


def mapping(value: object) -> Mapping[str, Any]:
    """The mapping; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> list[Json]:
    """The objects in a list; those of another form are left out."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list | tuple) else []


def word(value: object, absent: str = "—") -> str:
    """A short text for a cell or a row."""
    return plain(value, 60) if isinstance(value, str | int | float) and value != "" else absent


def id_of(finding: Json) -> str:
    """A finding's id."""
    return word(finding.get("id"), "")


def counted(name: str, values: Iterable[int], most: int | None = None) -> Panel:
    """A panel of counts; `most` makes it comparable with its neighbours."""
    whole = list(values)
    return Panel(name, tuple(float(value) for value in whole), tuple(f"{value:,}" for value in whole), most=most)


def cut(rows: Sequence[tuple[str, ...]], caption: str, columns: tuple[str, ...], figures: Iterable[int] = ()) -> Table:
    """A table of at most LISTED rows that says so."""
    told = caption if len(rows) <= LISTED else f"{caption}: the first {LISTED} of {len(rows):,}"
    return Table(told, columns, tuple(rows[:LISTED]), frozenset(figures))


def by_rule(cases: Sequence[Case]) -> list[Picture]:
    """Findings by rule: the picture of a desk that has none of its own."""
    found = [one for case in cases for one in case.findings]
    rules = Counter(word(one.get("rule") or one.get("kind"), "no rule") for one in found)
    names = tuple(name for name, _ in rules.most_common())
    words = ", ".join(f"{name}: {rules[name]}" for name in names) or "no finding"
    panel = counted("findings", [rules[name] for name in names])
    chart = Bars("Findings by rule", f"Findings by rule: {words}.", names, (panel,))
    rows = [
        (case.key, id_of(one), word(one.get("rule") or one.get("kind")), plain(one.get("sentence", ""), 200))
        for case in cases
        for one in case.findings
    ]
    return [Picture(chart, cut(rows, count(len(rows), "finding"), ("run", "id", "rule", "finding")))]
