"""Cases and days for the tests of reports: desks' own facts of small made-up batches."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tradeloop.desks.marketdata.desk import DESK
from tradeloop.domain.decisions import Decision
from tradeloop.domain.desk_days import Coverage
from tradeloop.domain.runs import RunState, RunView, new_run_id
from tradeloop.report.cases import case_of
from tradeloop.report.day import Case, Day

NOWHERE = Path("/nowhere")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def bar(day: date, close: float) -> dict[str, Any]:
    low, high = close * 0.99, close * 1.01
    prices = {"open": close, "high": high, "low": low, "close": close}
    return {"date": day.isoformat(), **{name: f"{value:.2f}" for name, value in prices.items()}, "volume": "1000"}


def weekdays(first: date, last: date) -> list[date]:
    days = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    return [day for day in days if day.weekday() < 5]


def batch(**more: Any) -> dict[str, Any]:
    """June 2009 with three months before it; no holiday of XNYS lies in June of that year."""
    context = [
        bar(day, 100 + (at * 7 % 11) / 10) for at, day in enumerate(weekdays(date(2009, 1, 5), date(2009, 5, 29)))
    ]
    bars = [bar(day, 101 + (at * 5 % 7) / 10) for at, day in enumerate(weekdays(date(2009, 6, 1), date(2009, 6, 30)))]
    return {"symbol": "ABC", "period": "2009-06", "bars": bars, "context": context} | more


def run(desk: str = "marketdata", subject: str = "ABC/2009-06", **changes: Any) -> RunView:
    view = RunView(
        run_id=new_run_id(),
        state=RunState.DONE,
        desk=desk,
        subject=subject,
        event_id=uuid4(),
        event_type="some.type",
        graph="g",
        graph_version="v",
        appended_at=NOON,
        received_at=NOON,
        finished_at=NOON + timedelta(seconds=1),
        decision_id=uuid4(),
        decision=Decision(outcome="ACCEPT", reasons=["all is well"], policy_version="7"),
        effect={},
        error="",
        lane="fast",
        topic="workflow-events",
        partition=0,
        offset=0,
    )
    return replace(view, **changes)


def priced(data: dict[str, Any], **changes: Any) -> Case:
    """The market-data desk's own facts and answer of a batch."""
    header, facts = DESK.load(data, NOWHERE), DESK.facts(data, NOWHERE)
    view = run(decision=DESK.judge(header, facts).decision, **changes)
    return case_of(view, payload(data), {"header": header, "facts": facts}, NOWHERE)


def payload(data: dict[str, Any]) -> bytes:
    return json.dumps({"payload": {"data": data}}).encode()


def case(facts: dict[str, Any], desk: str = "other", **changes: Any) -> Case:
    return Case(run(desk, **changes), facts=facts)


def day(*cases: Case, desk: str = "marketdata", coverage: Coverage | None = None) -> Day:
    counted = coverage or Coverage(received=len(cases), decided=len(cases), outcomes={"ACCEPT": len(cases)})
    return Day(desk, NOON.date(), counted, cases, len(cases), NOON, "0.1.0")
