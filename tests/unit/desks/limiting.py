"""The risk-limits desk as a pure function, for tests: tables in, decision and facts out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tradeloop.desks.limits.desk import desk_of
from tradeloop.desks.limits.policy import SHIPPED, load_policy
from tradeloop.desks.limits.refusal import InputInvalid
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import check

POLICY = load_policy(SHIPPED)
DESK = desk_of(POLICY)
NOWHERE = Path("/nowhere")
POSITIONS = """symbol,quantity,opening,currency,issuer,sector,adv
AAA,600,600,USD,Alpha,Tech,6000
BBB,-200,-200,USD,Beta,Tech,4000
CCC,100,100,EUR,Gamma,Energy,500
"""
PRICES = """date,AAA,BBB,CCC
2026-01-12,99,200,49
2026-01-13,100,201,50
"""
FX = "date,currency,rate\n2026-01-12,EUR,1.09\n2026-01-13,EUR,1.10\n"
"""AAA 60,000, BBB -40,200, CCC 5,500: gross 105,700, net 25,300."""
HEAD = "limit_id,metric,limit,unit,owner,version,key,kind"


def limits(*rows: str) -> str:
    """A table of limits: each row `metric,limit[,unit[,key[,kind]]]`, called L1, L2, ..."""
    told = []
    for number, row in enumerate(rows, 1):
        metric, limit, unit, key, kind = (*row.split(","), "", "", "")[:5]
        told.append(f"L{number},{metric},{limit},{unit},risk,v1,{key},{kind}")
    return "\n".join([HEAD, *told]) + "\n"


def event(*rows: str, **more: Any) -> dict[str, Any]:
    """A check of these limits; texts stand for tables."""
    tables = {"positions": POSITIONS, "prices": PRICES, "fx": FX, "limits": limits(*rows)}
    data: dict[str, Any] = {"scope": {"kind": "book", "name": "B1"}, "as_of": "2026-01-13", "nav": "100000"}
    for name, value in (tables | more).items():
        is_table = isinstance(value, str) and "\n" in value
        data[name] = {"text": value} if is_table else value
    return {name: value for name, value in data.items() if value is not None}


def answer(data: dict[str, Any], root: Path = NOWHERE) -> tuple[Decision, dict[str, Any]]:
    header, facts = DESK.load(data, root), DESK.facts(data, root)
    verdict = DESK.judge(header, facts)
    assert verdict.ambiguous == (), "the agents have no lenient move"
    action = DESK.action(header, facts, verdict.decision.outcome)
    if action is not None:
        check(action, DESK.allowed, DESK.name)
    return verdict.decision.model_copy(update={"action": action}), facts


def outcome(*rows: str, **more: Any) -> str:
    return answer(event(*rows, **more))[0].outcome


def limit(data: dict[str, Any], name: str = "L1") -> dict[str, Any]:
    """One limit's facts."""
    found: dict[str, Any] = next(one for one in answer(data)[1]["limits"] if one["limit_id"] == name)
    return found


def told(data: dict[str, Any], rule: str) -> list[str]:
    return [one["sentence"] for one in answer(data)[1]["findings"] if one["rule"] == rule]


def refusal(read: Callable[[], object]) -> InputInvalid | None:
    """What a reading was refused with; None: it was read. Anything else goes on its way and fails the test."""
    try:
        read()
    except InputInvalid as problem:
        return problem
    return None


def place(data: dict[str, Any]) -> tuple[str, int, str]:
    """File, line and field of a refusal."""
    problem = refusal(lambda: answer(data))
    assert problem is not None
    return problem.file, problem.line, problem.field
