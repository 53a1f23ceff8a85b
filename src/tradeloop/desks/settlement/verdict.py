"""From facts to a decision by policy, and to the action that an outcome has."""

from __future__ import annotations

from typing import Annotated, Any, Literal  # Any: JSON as an action's parameters

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.desks.desk import Verdict
from tradeloop.desks.settlement.findings import Facts, Finding, Header, Rule
from tradeloop.desks.settlement.policy import Outcome, Policy
from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision

Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
DayOrNone = Annotated[str, Field(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[str, Field(pattern=r"^([0-9]{1,40}(\.[0-9]{1,40})?)?$")]
Code = Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")]


class CaseParams(BaseModel):
    """What the reminder, or a follow-up that opens a case, is told."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9/.-]{0,34})?$")
    message_sha256: Digest
    transaction: int = Field(ge=0)
    isin: str = Field(pattern=r"^([A-Z]{2}[A-Z0-9]{9}[0-9])?$")
    isd: DayOrNone
    due: Day
    codes: list[Code] = Field(max_length=100)
    outcome: Literal[
        "MONITOR",
        "CHASE_COUNTERPARTY",
        "PROPOSE_INSTRUCTION_FIX",
        "PROPOSE_PARTIAL",
        "PROPOSE_BORROW_OR_RECALL",
        "PROPOSE_FUNDING",
        "RELEASE_HOLD_REQUEST",
    ]


class ChaseParams(CaseParams):
    """What the draft to the counterparty is made of."""

    counterparty: str = Field(pattern=r"^([A-Z0-9]{8}([A-Z0-9]{3})?)?$")
    direction: str = Field(pattern=r"^(DELI|RECE)?$")
    quantity: Amount
    currency: str = Field(pattern=r"^([A-Z]{3})?$")
    amount: Amount
    penalty: Amount
    age_bd: int = Field(ge=0, le=10_000)
    chase: int = Field(ge=1, le=1001)


def judge(policy: Policy, header: Header, facts: Facts) -> Verdict:
    """Policy's answer: the most cautious outcome that a finding asks for.

    Agents are asked where several reasons disagree or the message holds narrative, and something more cautious is
    left. What policy leaves open to them are the other reasons' proposals: each is a person's to approve.
    """
    asking = [finding for finding in facts.findings if finding.asks is not None]
    outcome = max((_asked(one) for one in asking), key=policy.caution, default=Outcome.ESCALATE)
    asking.sort(key=lambda one: -policy.caution(_asked(one)))
    notes = [finding for finding in facts.findings if finding.asks is None and finding.rule is not Rule.STATUS]
    told = [f"{one.asks}: {one.sentence} [{one.id}]" for one in asking]
    decision = Decision(
        outcome=outcome.value,
        reasons=[*told, f"fault: {facts.fault}", *(f"{one.sentence} [{one.id}]" for one in notes)],
        findings=[one.model_dump(mode="json", exclude_none=True) for one in facts.findings],
        policy_version=policy.version,
        policy_hash=policy.digest,
    )
    by_reasons = {_asked(one) for one in asking if one.rule is Rule.REASON}
    is_of_reasons = all(_asked(one) is not outcome for one in asking if one.rule is not Rule.REASON)
    ambiguous = [
        other.value
        for other in policy.lattice
        if other in by_reasons
        and is_of_reasons
        and policy.actions[other] is None
        and policy.caution(other) < policy.caution(outcome)
    ]
    doubtful = len(by_reasons) > 1 or bool(header.narratives)
    return Verdict(
        decision=decision,
        ambiguous=tuple(ambiguous),
        asks=bool(ambiguous) or (doubtful and outcome is not Outcome.ESCALATE),
        quoted={f"narrative {at}": text for at, text in enumerate(header.narratives, 1)},
    )


def action_of(policy: Policy, header: Header, facts: Facts, outcome: str) -> Action | None:
    """The action of an outcome, of typed values alone."""
    chosen = policy.actions[Outcome(outcome)]
    if chosen is None:
        return None
    params: dict[str, Any] = {
        "reference": header.reference,
        "message_sha256": header.sha256,
        "transaction": header.transaction,
        "isin": header.isin,
        "isd": header.isd.isoformat() if header.isd else "",
        "due": facts.due.isoformat(),
        "codes": list(facts.codes),
        "outcome": outcome,
    }
    if outcome == Outcome.CHASE_COUNTERPARTY:
        params |= {
            "counterparty": header.counterparty,
            "direction": header.direction or "",
            "quantity": _text(header.quantity),
            "currency": header.currency,
            "amount": _text(header.amount),
            "penalty": _text(facts.penalty.accrued),
            "age_bd": facts.age_bd or 0,
            "chase": header.chases + 1,
        }
    return Action(kind=chosen.kind, target=chosen.target, params=params)


def _asked(finding: Finding) -> Outcome:
    return finding.asks or Outcome.MONITOR


def _text(figure: object) -> str:
    return "" if figure is None else f"{figure:f}"
