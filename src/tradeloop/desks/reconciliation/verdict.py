"""From facts to a decision by policy, and to the action that an outcome has."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal  # Any: JSON as an action's parameters

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.desks.desk import Verdict
from tradeloop.desks.reconciliation.case import IDENTIFIER
from tradeloop.desks.reconciliation.findings import Facts, Header
from tradeloop.desks.reconciliation.policy import Outcome, Policy
from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import Allowed

Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Amount = Annotated[str, Field(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,4})?$")]
Line = Annotated[int, Field(ge=0, le=2**32)]
DRAFTS_MAX: Final = 50
_NOTE: Final = 10
"""Findings that a decision's reasons spell out; the others are counted."""


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Posting(_Params):
    """One tolerance adjustment to suspense."""

    kind: Literal["RB04", "RB10", "RB11", "RB14"]
    account: Identifier
    currency: Currency
    amount: Amount
    internal: Line
    external: Line


class Draft(_Params):
    """One break that a person writes to the other side about."""

    kind: str = Field(pattern=r"^(RB|CB)[0-9]{2}$")
    internal: list[Line] = Field(max_length=16)
    external: list[Line] = Field(max_length=16)
    counterparty: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:/-]{0,63})?$")


class BatchParams(_Params):
    """What names the batch, and what of it is linked."""

    internal_sha256: Digest
    external_sha256: Digest
    scope: Literal["trades", "cash"]
    today: Day
    matched: int = Field(ge=0)
    breaks: int = Field(ge=0)
    outcome: Literal["MATCH", "AUTO_RESOLVE", "WAIT_NEXT_CYCLE", "PROPOSE_FIX", "ESCALATE"]
    waits: list[Identifier] = Field(default=[], max_length=100)
    drafts: list[Draft] = Field(default=[], max_length=DRAFTS_MAX)


class PostingParams(BatchParams):
    """The same, with what goes to suspense."""

    adjustments: list[Posting] = Field(min_length=1, max_length=500)


ALLOWED: Final = (
    Allowed("trigger_dag", r"reconciliation_[a-z0-9_]{1,100}", BatchParams),
    Allowed("trigger_dag", r"post_[a-z0-9_]{1,100}", PostingParams),
)
"""Link, wait, draft, and post within tolerance. No amendment, no cancellation, no cash: nothing else is on it."""


def own_outcome(policy: Policy, facts: Facts) -> Outcome:
    """Policy's answer: the most cautious that a break asks for."""
    return max(facts.asked, key=policy.caution, default=Outcome.MATCH)


def judge(policy: Policy, header: Header, facts: Facts) -> Verdict:
    """Policy's answer. Agents are asked where policy left all that decides open, or free text came with a break."""
    outcome = own_outcome(policy, facts)
    shown = [f"{one.asks}: {one.kind} {one.sentence} [{one.id}]" for one in facts.findings[:_NOTE]]
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(facts.kinds.items()))
    summary = f"{facts.matched:,} of {facts.internal:,} and {facts.external:,} agree"
    decision = Decision(
        outcome=outcome.value,
        reasons=[*shown, f"{summary}; {facts.breaks:,} breaks" + (f": {counted}" if counted else "")],
        findings=[one.model_dump(mode="json", exclude_none=True) for one in facts.findings],
        policy_version=policy.version,
        policy_hash=policy.digest,
    )
    texts = [*header.remarks, *facts.narratives]
    return Verdict(
        decision=decision,
        ambiguous=tuple(one.value for one in facts.open_to),
        asks=bool(facts.open_to) or (bool(texts) and outcome is not Outcome.ESCALATE and facts.breaks > 0),
        quoted={f"text {at}": text for at, text in enumerate(texts, 1)},
    )


def action_of(policy: Policy, header: Header, facts: Facts, outcome: str) -> Action | None:
    """The action of an outcome, of typed values alone.

    Adjustments that policy let through are posted while its own answer, or a less cautious one, stands: that other
    breaks of the batch wait for a person does not hold them. Where agents asked for more caution they are not posted.
    """
    given, own = Outcome(outcome), own_outcome(policy, facts)
    params: dict[str, Any] = {
        "internal_sha256": header.internal_sha256,
        "external_sha256": header.external_sha256,
        "scope": header.scope,
        "today": header.today.isoformat(),
        "matched": facts.matched,
        "breaks": facts.breaks,
        "outcome": given.value,
        "waits": list(facts.waits),
    }
    if given is Outcome.PROPOSE_FIX:
        params["drafts"] = _drafts(facts)
    posting = policy.actions[Outcome.AUTO_RESOLVE]
    if posting is not None and facts.adjustments and policy.caution(given) <= policy.caution(own):
        params["adjustments"] = [
            {**one.model_dump(mode="json"), "amount": f"{one.amount:f}"} for one in facts.adjustments
        ]
        return Action(kind=posting.kind, target=posting.target, params=params)
    chosen = policy.actions[given]
    if chosen is None and facts.waits and given is own:
        chosen = policy.actions[Outcome.WAIT_NEXT_CYCLE]  # else what waits would wait for the first time again
    if chosen is None or chosen is posting:
        return None
    return Action(kind=chosen.kind, target=chosen.target, params=params)


def _drafts(facts: Facts) -> list[dict[str, Any]]:
    asking = [one for one in facts.findings if one.asks in (Outcome.PROPOSE_FIX, Outcome.ESCALATE)]
    return [
        {
            "kind": one.kind.value,
            "internal": list(one.internal),
            "external": list(one.external),
            "counterparty": one.counterparty,
        }
        for one in asking[:DRAFTS_MAX]
    ]
