"""All facts about a batch, gathered by pure functions: the same batch and thresholds give the same facts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from tradeloop.desks.marketdata import drift, levels, moves, rows, sources
from tradeloop.desks.marketdata.batch import Batch
from tradeloop.desks.marketdata.findings import LISTED, Facts, Finding
from tradeloop.desks.marketdata.policy import Thresholds
from tradeloop.desks.marketdata.sessions import expected_stamps
from tradeloop.desks.marketdata.table import Table

MAX_FINDINGS: Final = 50
"""Of one rule. A batch of garbage would otherwise make a decision too large to publish."""
_DIGITS: Final = 6
"""Figures in findings are rounded to so many significant digits: enough to read, stable across machines."""


def gather(batch: Batch, limits: Thresholds) -> Facts:
    """Run every check.

    Raises:
        EventInvalid: the batch's calendar is unknown or does not reach its period.
    """
    with np.errstate(all="ignore"):  # NaN is an absent value here, and every comparison with it is false
        return _gathered(batch, limits)


def _gathered(batch: Batch, limits: Thresholds) -> Facts:
    expected = expected_stamps(batch)
    table = Table.read(batch.bars, batch.frequency)
    past = moves.history(batch, table, expected)
    jumps, explained = levels.level_jumps(past, limits)
    along = [
        *rows.ohlc(table, limits),
        *rows.non_positive(table, batch, limits),
        *moves.stale(past, limits),
        *jumps,
        *levels.unapplied_actions(past, batch, limits),
        *moves.outliers(past, explained, limits),
        *moves.wicks(past, explained, limits),
    ]
    found = [
        *along,
        *moves.short_history(past, limits),
        *rows.schema(table, batch, limits),
        *rows.foreign(table, batch),
        *rows.duplicates(table),
        *rows.missing_sessions(table, expected, batch, limits),
        *rows.off_calendar(table, expected, batch),
        *rows.quotes(table, limits),
        *moves.volume(past, batch, table, limits),
        *drift.clock(table, expected, batch, limits),
        *drift.identity(past, batch, limits),
        *drift.units(past, batch, limits),
        *sources.second_source(past, along, limits),
        *sources.other_frequency(table, batch, limits),
    ]
    kept = _first_of_each_rule(found)
    present = {day for day in table.days if day is not None}
    return Facts(
        rows=len(table),
        context_rows=len(batch.context),
        sessions_expected=len(expected),
        sessions_present=len(present & set(expected)),
        findings=tuple(_numbered(kept)),
        omitted=len(found) - len(kept),
    )


def _first_of_each_rule(found: Iterable[Finding]) -> list[Finding]:
    kept: list[Finding] = []
    seen: dict[str, int] = {}
    for finding in found:
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        if seen[finding.rule] <= MAX_FINDINGS:
            kept.append(finding)
    return kept


def _numbered(found: list[Finding]) -> Iterable[Finding]:
    ordered = sorted(found, key=lambda finding: (finding.rule, finding.dates, finding.sentence))
    for number, finding in enumerate(ordered, 1):
        yield finding.model_copy(
            update={
                "id": f"F-{number:02d}",
                "dates": finding.dates[:LISTED],
                "rows": finding.rows[:LISTED],
                "value": _rounded(finding.value),
                "threshold": _rounded(finding.threshold),
            }
        )


def _rounded(value: float | None) -> float | None:
    # No JSON has infinity: a figure beyond all floats is left to the sentence.
    return None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}")
