"""The reconciliation desk as a pure function, for tests: an event's data in, decision, facts and header out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tradeloop.desks.reconciliation.desk import desk_of
from tradeloop.desks.reconciliation.policy import SHIPPED, load_policy
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import check

POLICY = load_policy(SHIPPED)
DESK = desk_of(POLICY)
NOWHERE = Path("/nowhere")
APPLE = "US0378331005"
TRADE = {
    "id": "T1", "exec_id": "X1", "account": "ACC-1", "counterparty": "BROKERA", "security": APPLE, "side": "B",
    "quantity": "1000", "price": "10.00", "currency": "USD", "trade_date": "2026-01-12", "settle_date": "2026-01-13",
    "fees": "10.00", "net": "10010.00",
}  # fmt: skip


def trade(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**TRADE, **changes}.items() if value is not None}


def books(internal: list[dict[str, Any]], external: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    used = [{"account": "ACC-1", "count": 0, "notional": "0"}]
    sides = {"internal": {"rows": internal}, "external": {"rows": external}}
    return {"today": "2026-01-13", "used": used, **sides, **more}


def pair(**changes: Any) -> dict[str, Any]:
    return books([trade()], [trade(**changes)])


def answer(data: dict[str, Any], root: Path = NOWHERE) -> tuple[Decision, dict[str, Any], dict[str, Any]]:
    header, facts = DESK.load(data, root), DESK.facts(data, root)
    decision = DESK.judge(header, facts).decision
    action = DESK.action(header, facts, decision.outcome)
    if action is not None:
        check(action, DESK.allowed, DESK.name)
    return decision.model_copy(update={"action": action}), facts, header


def told(data: dict[str, Any], root: Path = NOWHERE) -> tuple[str, list[str]]:
    decision, facts, _ = answer(data, root)
    return decision.outcome, sorted(kind for kind, count in facts["kinds"].items() for _ in range(count))


def reference(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    return {"uri": path.as_uri(), "sha256": hashlib.sha256(raw).hexdigest(), "size_bytes": len(raw)}
