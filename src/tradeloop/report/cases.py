"""A run's facts, from the best source that is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tradeloop.domain.runs import RunView
from tradeloop.errors import TradeloopError
from tradeloop.report.day import Case, Json, Source
from tradeloop.report.words import DONE, REFUSED, RUNNING, UNKNOWN, WAITING, tone_of

WEIGHTS: Final = [tone.name for tone in (REFUSED, UNKNOWN, WAITING, RUNNING, DONE)]
"""Tones from what a desk head must see to what can wait."""


def case_of(run: RunView, payload: bytes | None, state: Json, root: Path) -> Case:
    """The run with its facts.

    Args:
        run: as the store tells it.
        payload: the event's bytes; None when they are over their time.
        state: values of the run's newest checkpoint; empty when there is none.
        root: where batches by reference lie.
    """
    data = _data(payload)
    facts = state.get("facts")
    if isinstance(facts, dict) and facts:
        header = state.get("header")
        return Case(run, data, header if isinstance(header, dict) else {}, facts)
    if data and (computed := _computed(run.desk, data, root)):
        return Case(run, data, *computed, source=Source.COMPUTED)
    recorded = {"findings": run.decision.findings} if run.decision and run.decision.findings else {}
    return Case(run, data, facts=recorded, source=Source.DECISION)


def weight(case: Case) -> tuple[int, int]:
    """The smaller, the sooner somebody should see the case."""
    word = case.run.decision.outcome if case.run.decision else case.run.state.value
    name = tone_of(word).name
    return WEIGHTS.index(name) if name in WEIGHTS else len(WEIGHTS), -len(case.findings)


def _data(payload: bytes | None) -> Json:
    try:
        data = json.loads(payload or b"{}")["payload"]["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _computed(desk: str, data: Json, root: Path) -> tuple[Json, Json] | None:
    from tradeloop.desks.shipped import NAMES, desk_under

    if desk not in NAMES:
        return None
    try:
        found = desk_under(desk)
        return found.load(data, root), found.facts(data, root)
    except TradeloopError:  # the run, or its recorded findings, tell why
        return None
