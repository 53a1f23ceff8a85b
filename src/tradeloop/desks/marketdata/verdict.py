"""From facts to a decision: the policy's answer, and the guard that lets an action out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # facts come back from a checkpoint as plain JSON

from pydantic import BaseModel, ConfigDict, JsonValue

from tradeloop.desks.marketdata.batch import Batch
from tradeloop.desks.marketdata.findings import LISTED, Facts, Finding
from tradeloop.desks.marketdata.policy import Outcome, Policy
from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision


class BatchHeader(BaseModel):
    """What identifies a batch: the only source of an action's parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    symbol: str
    calendar: str
    period: str
    asset_class: str
    attempt: int
    sha256: str

    @classmethod
    def of(cls, batch: Batch, sha256: str) -> BatchHeader:
        """The header of a batch that was read."""
        fields = batch.model_dump(include={"symbol", "calendar", "period", "asset_class", "attempt"})
        return cls(**fields, sha256=sha256)


@dataclass(frozen=True, slots=True)
class _Weighed:
    outcome: Outcome
    reason: str
    finding: Finding | None = None


def judge(policy: Policy, header: BatchHeader, facts: Facts) -> Decision:
    """The policy's own answer, without an action: the most cautious outcome that a finding or the whole asks for."""
    weighed = [_weigh(policy, finding) for finding in facts.findings]
    aside = _rows_aside(weighed, facts.rows)
    if aside >= policy.rows_share_min and aside > policy.rows_share_max * facts.rows:
        told = f"{aside} of {facts.rows} rows ({aside / facts.rows:.0%}) would be set aside"
        weighed.append(_Weighed(policy.rows_share_decision, f"{told}, more than {policy.rows_share_max:.0%}"))
    outcome = max((each.outcome for each in weighed), key=policy.caution, default=Outcome.ACCEPT)
    if outcome is Outcome.REFETCH and header.attempt >= policy.refetches_max:
        told = f"fetched again {header.attempt} times already (at most {policy.refetches_max}) and still not right"
        weighed.append(_Weighed(Outcome.ESCALATE, told))
        outcome = Outcome.ESCALATE
    weighed.sort(key=lambda each: (-policy.caution(each.outcome), -_size(each.finding)))
    sessions = f"{facts.sessions_present} of {facts.sessions_expected} sessions"
    found = "1 finding" if len(facts.findings) == 1 else f"{len(facts.findings)} findings"
    more = [f"{facts.omitted} more findings of the same rules are not listed"] if facts.omitted else []
    return Decision(
        outcome=outcome,
        reasons=[*(each.reason for each in weighed), *more, f"{found}, {sessions}"],
        findings=[finding.model_dump(mode="json", exclude_none=True) for finding in facts.findings],
        policy_version=policy.version,
        policy_hash=policy.digest,
    )


def guard(policy: Policy, header: BatchHeader, facts: Facts, proposed: Decision) -> Decision:
    """Release a decision: never less cautious than the policy's own, its action from the policy's table alone.

    A proposal with an outcome that the lattice does not know is answered by the policy, marked `degraded`.
    """
    own = judge(policy, header, facts)
    known = proposed.outcome in {outcome.value for outcome in policy.lattice}
    if not known:
        chosen = own.model_copy(update={"degraded": True})
    elif policy.caution(Outcome(proposed.outcome)) < policy.caution(Outcome(own.outcome)):
        chosen = own
    else:
        chosen = proposed.model_copy(update={"policy_version": own.policy_version, "policy_hash": own.policy_hash})
    return chosen.model_copy(update={"action": _action(policy, header, facts, Outcome(chosen.outcome))})


def _weigh(policy: Policy, finding: Finding) -> _Weighed:
    rule = policy.rules[finding.rule]
    outcome = rule.decision
    if rule.between and finding.value is not None and rule.between.from_ <= abs(finding.value) < rule.between.to:
        outcome = rule.between.decision
    if finding.confirmed is True and rule.confirmed is not None:
        outcome = rule.confirmed
    if finding.confirmed is False and rule.contradicted is not None:
        outcome = rule.contradicted
    return _Weighed(outcome, f"{finding.rule} {rule.title}: {finding.sentence} [{finding.id}]", finding)


def _rows_aside(weighed: list[_Weighed], rows: int) -> int:
    found = [each.finding for each in weighed if each.outcome is Outcome.QUARANTINE_ROWS and each.finding is not None]
    if any(finding.count > LISTED for finding in found):  # not every row is listed: the cautious bound
        return min(rows, sum(finding.count for finding in found))
    return len({row for finding in found for row in finding.rows})


def _size(finding: Finding | None) -> float:
    return abs(finding.value) if finding is not None and finding.value is not None else 0.0


def _action(policy: Policy, header: BatchHeader, facts: Facts, outcome: Outcome) -> Action | None:
    chosen = policy.actions[outcome]
    if chosen is None:
        return None
    params: dict[str, JsonValue] = {
        "symbol": header.symbol,
        "calendar": header.calendar,
        "period": header.period,
        "asset_class": header.asset_class,
        "batch_sha256": header.sha256,
        "rows": facts.rows,
        "outcome": outcome.value,
    }
    if outcome is Outcome.REFETCH:
        params["attempt"] = header.attempt + 1
    named = sorted({day for finding in facts.findings for day in finding.dates})[:LISTED]
    if named:
        days: list[Any] = list(named)
        rules: list[Any] = sorted({finding.rule.value for finding in facts.findings})
        params |= {"rules": rules, "dates": days}
    return Action(kind=chosen.kind, target=chosen.target, params=params)
