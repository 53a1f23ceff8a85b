"""Real bars for the desk's tests: S&P 500, 1999-2018, from the file inside the `arch` package."""

from __future__ import annotations

import csv
import gzip
import importlib.util
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

Bars = list[dict[str, Any]]
CONTEXT_BARS = 120


@cache
def every_bar() -> tuple[dict[str, str], ...]:
    spec = importlib.util.find_spec("arch")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "data" / "sp500" / "sp500.csv.gz"
    with gzip.open(path, "rt", newline="") as source:
        return tuple(
            {
                "date": datetime.strptime(row["Date"], "%m/%d/%Y").date().isoformat(),
                **{name: row[name.capitalize()] for name in ("open", "high", "low", "close", "volume")},
            }
            for row in csv.DictReader(source)
        )


@cache
def months() -> tuple[str, ...]:
    """Every month with 120 bars before it: 1999-07 to 2018-12."""
    return tuple(sorted({bar["date"][:7] for bar in every_bar() if bar["date"] >= "1999-07"}))


def month(period: str) -> dict[str, Any]:
    """The data of an event for one month: fresh objects, free to spoil."""
    places = [at for at, bar in enumerate(every_bar()) if bar["date"][:7] == period]
    first, last = places[0], places[-1]
    return {
        "symbol": "SPX",
        "calendar": "XNYS",
        "asset_class": "index",
        "period": period,
        "bars": [dict(bar) for bar in every_bar()[first : last + 1]],
        "context": [dict(bar) for bar in every_bar()[max(0, first - CONTEXT_BARS) : first]],
    }


def scaled(bar: dict[str, Any], factor: float) -> dict[str, Any]:
    """The bar with its four prices multiplied."""
    return bar | {name: f"{float(bar[name]) * factor:.6f}" for name in ("open", "high", "low", "close")}
