"""Real defects of a vendor: raw series beside their repaired ones, scored by event.

A repaired file is named like its raw one with `-fixed`. An event is a run of bars whose prices the repair changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from tradeloop.bench.desks.price_files import PRICES, Series, read_series
from tradeloop.desks.desk import Desk
from tradeloop.errors import EventInvalid

DEFECTS: Final = ("100x-error", "bad-stock-split", "bad-unit")
"""In prices. Wrong dividend adjustments change the adjusted close alone, which the desk does not judge."""
CLEAN: Final = "no-bad-divs"
_CHANGED: Final = 0.2
"""Repairs of dividends and rounding change a price by less."""
_LEVEL_RULES: Final = frozenset({"MD03", "MD09", "MD10", "MD11", "MD13"})
_INVENTED: Final = frozenset({"MD10", "MD11"})
"""What a clean series may not have: nobody knows which of its other findings are true."""


@dataclass(frozen=True)
class PairResult:
    """One file's events and findings."""

    name: str
    events: int
    found: int
    invented: int
    outcome: str


def batch_of(series: Series) -> dict[str, Any]:
    """A whole series as one batch."""
    first, last = (str(series.bars[at]["date"])[:10] for at in (0, -1))
    return {
        "symbol": series.symbol,
        "calendar": series.calendar,
        "asset_class": series.asset_class,
        "frequency": series.frequency,
        "period": f"{first}/{last}",
        "bars": [dict(bar) for bar in series.bars],
        "corporate_actions": [dict(action, factor=float(action["factor"])) for action in series.actions],
        "adjusted": series.adjusted,
    }


def results(folder: Path, desk: Desk) -> Iterator[PairResult]:
    """Every raw file with a defect of prices, its repaired file, and the clean controls."""
    for path in sorted(folder.glob("*.csv")):
        stem = path.stem
        if stem.endswith(CLEAN):
            yield _judged(path, desk, [])
        elif any(stem.endswith(kind) for kind in DEFECTS):
            repaired = path.with_name(f"{stem}-fixed.csv")
            yield _judged(path, desk, _events(read_series(path), read_series(repaired)))
            yield _judged(repaired, desk, [])


def table(folder: Path, desk: Desk) -> list[str]:
    """The results as lines for people."""
    lines = [f"{'series':36} {'events':>6} {'found':>6} {'invented':>8}  outcome"]
    lines += [f"{r.name:36} {r.events:6} {r.found:6} {r.invented:8}  {r.outcome}" for r in results(folder, desk)]
    return lines


def _judged(path: Path, desk: Desk, events: list[tuple[str, ...]]) -> PairResult:
    data = batch_of(read_series(path))
    try:
        header, facts = desk.load(data, path.parent), desk.facts(data, path.parent)
    except EventInvalid as problem:
        return PairResult(path.stem, len(events), 0, 0, f"refused: {problem}")
    findings = facts["findings"]
    named = {_day(day) for finding in findings if finding["rule"] in _LEVEL_RULES for day in finding["dates"]}
    found = sum(bool(named & set(event)) for event in events)
    invented = 0 if events else sum(finding["rule"] in _INVENTED for finding in findings)
    return PairResult(path.stem, len(events), found, invented, desk.judge(header, facts).decision.outcome)


def _events(raw: Series, repaired: Series) -> list[tuple[str, ...]]:
    """Stamps of each changed run and of the bars next to it: which side of a jump is wrong, the series cannot say."""
    right = {bar["date"]: bar for bar in repaired.bars}
    stamps = [str(bar["date"]) for bar in raw.bars]
    changed = [bar["date"] in right and _differ(bar, right[bar["date"]]) for bar in raw.bars]
    events: list[tuple[str, ...]] = []
    start: int | None = None
    for at, is_changed in enumerate([*changed, False]):
        if is_changed and start is None:
            start = at
        elif not is_changed and start is not None:
            events.append(tuple(_day(stamp) for stamp in stamps[max(0, start - 1) : at + 1]))
            start = None
    return events


def _differ(bar: dict[str, str | None], other: dict[str, str | None]) -> bool:
    pairs = [(float(mine), float(its)) for name in PRICES if (mine := bar[name]) and (its := other[name])]
    return any(abs(mine / its - 1) > _CHANGED for mine, its in pairs if its)


def _day(stamp: str) -> str:
    return date.fromisoformat(stamp[:10]).isoformat()
