"""The settlement desk as a pure function, for tests: an event's data in, decision, facts and header out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from tradeloop.bench.desks.settlement_messages import Told, mt548, sese024
from tradeloop.desks.settlement.desk import desk_of
from tradeloop.desks.settlement.policy import SHIPPED, load_policy
from tradeloop.desks.settlement.refusal import MessageInvalid
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import check

POLICY = load_policy(SHIPPED)
DESK = desk_of(POLICY)
NOWHERE = Path("/nowhere")
TOLD = Told(
    reference="TRADE0001",
    isin="DE0007236101",
    quantity=Decimal(1000),
    amount=Decimal("150000.00"),
    currency="EUR",
    is_delivery=True,
    isd=date(2026, 1, 12),
    trade_date=date(2026, 1, 8),
    statuses=(),
)


def told(*statuses: tuple[str, str, tuple[str, ...]], **changes: Any) -> Told:
    return replace(TOLD, statuses=statuses, **changes)


def failing(*codes: str, **changes: Any) -> Told:
    return told(("SETT", "PENF", codes), **changes)


def event(what: Told, standard: str = "MT548", **more: Any) -> dict[str, Any]:
    message = mt548(what) if standard == "MT548" else sese024(what)
    return {"message": message, "today": "2026-01-13", "calendar": "XETR", "market": "EU"} | more


def answer(data: dict[str, Any], root: Path = NOWHERE) -> tuple[Decision, dict[str, Any], dict[str, Any]]:
    header, facts = DESK.load(data, root), DESK.facts(data, root)
    decision = DESK.judge(header, facts).decision
    action = DESK.action(header, facts, decision.outcome)
    if action is not None:
        check(action, DESK.allowed, DESK.name)
    return decision.model_copy(update={"action": action}), facts, header


def outcome(data: dict[str, Any]) -> str:
    return answer(data)[0].outcome


def sentences(facts: dict[str, Any], rule: str) -> list[str]:
    return [finding["sentence"] for finding in facts["findings"] if finding["rule"] == rule]


def refusal(read: Callable[[], object]) -> MessageInvalid | None:
    """What a reading was refused with; None: it was read. Anything else goes on its way and fails the test."""
    try:
        read()
    except MessageInvalid as problem:
        return problem
    return None
