"""What a benchmark says: a table for people and one JSON object for machines."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass, field
from typing import Any  # Any: JSON

from tradeloop.bench.figures import Figure


@dataclass(frozen=True)
class Row:
    """One case of a leg, and its figures; a figure's name ends in its unit."""

    case: str
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Target:
    """What a figure has to reach, and whether it did here."""

    text: str
    met: bool


@dataclass
class Leg:
    """One part of a benchmark."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broke_off: bool = False
    """Nothing was measured; the note says why."""

    def add(self, case: str, figures: dict[str, Figure]) -> dict[str, Figure]:
        """Append a row; its figures are returned, so that a target can look at them."""
        self.rows.append(Row(case, figures))
        return figures

    def aim(self, text: str, *, met: bool) -> None:
        """Append a target."""
        self.targets.append(Target(text, met))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def as_json(name: str, legs: list[Leg], **more: Any) -> str:
    """One line with every figure."""
    return json.dumps(
        {
            "bench": name,
            **more,
            "figures": {leg.name: {row.case: row.figures for row in leg.rows} for leg in legs},
            "targets": [{"leg": leg.name, "target": t.text, "met": t.met} for leg in legs for t in leg.targets],
            "notes": {leg.name: leg.notes for leg in legs if leg.notes},
        }
    )


def print_table(legs: list[Leg]) -> None:
    """Every leg as a table, its targets below."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for leg in legs:
        console.print(leg.title, style="bold")
        for names, rows in _by_columns(leg.rows):
            table = Table(box=None, header_style="dim")
            table.add_column("", min_width=36, overflow="fold")
            for name in names:
                table.add_column(name.replace("_", " "), justify="right")
            for row in rows:
                table.add_row(row.case, *(_text(value) for value in row.figures.values()))
            console.print(table)
        for note in leg.notes:
            console.print(f"  {note}", markup=False)
        for target in leg.targets:
            console.print(f"  {'met    ' if target.met else 'NOT MET'}  {target.text}", markup=False)
        console.print()


def _by_columns(rows: list[Row]) -> list[tuple[tuple[str, ...], list[Row]]]:
    """Neighbouring rows with the same columns are one table."""
    groups: list[tuple[tuple[str, ...], list[Row]]] = []
    for row in rows:
        names = tuple(row.figures)
        if not groups or groups[-1][0] != names:
            groups.append((names, []))
        groups[-1][1].append(row)
    return groups


def _text(value: Figure) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
