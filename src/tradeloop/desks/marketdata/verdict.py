"""From facts to a decision: the policy's answer, what it leaves open, and the action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # facts come back from a checkpoint as plain JSON

from pydantic import BaseModel, ConfigDict, JsonValue

from tradeloop.desks.marketdata.batch import Batch, Evidence, Frequency
from tradeloop.desks.marketdata.findings import LISTED, Facts, Finding
from tradeloop.desks.marketdata.policy import ActionPolicy, Outcome, Policy
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
    frequency: Frequency = "1d"
    evidence: Evidence = Evidence()
    """Where the agents' tools may look."""

    @classmethod
    def of(cls, batch: Batch, sha256: str) -> BatchHeader:
        """The header of a batch that was read."""
        fields = batch.model_dump(include={"symbol", "calendar", "period", "asset_class", "attempt", "frequency"})
        return cls(**fields, evidence=batch.evidence, sha256=sha256)


@dataclass(frozen=True, slots=True)
class _Weighed:
    outcome: Outcome
    reason: str
    finding: Finding | None = None


def judge(policy: Policy, header: BatchHeader, facts: Facts) -> Decision:
    """The policy's own answer, without an action: the most cautious outcome that a finding or the whole asks for."""
    weighed = _weigh_all(policy, header, facts)
    outcome = max((each.outcome for each in weighed), key=policy.caution, default=Outcome.ACCEPT)
    weighed.sort(key=lambda each: (-policy.caution(each.outcome), -_size(each.finding)))
    unit = "bars" if header.frequency != "1d" else "sessions"
    present = f"{facts.sessions_present} of {facts.sessions_expected} {unit}"
    found = "1 finding" if len(facts.findings) == 1 else f"{len(facts.findings)} findings"
    return Decision(
        outcome=outcome,
        reasons=[*(each.reason for each in weighed), f"{found}, {present}"],
        findings=[finding.model_dump(mode="json", exclude_none=True) for finding in facts.findings],
        policy_version=policy.version,
        policy_hash=policy.digest,
    )


def left_open(policy: Policy, header: BatchHeader, facts: Facts) -> tuple[bool, tuple[Outcome, ...]]:
    """Whether one series alone cannot tell, and the less cautious outcomes that agents may then choose.

    None of them publishes, none is less cautious than the findings beside the open ones ask for, and none sets aside
    more rows than the policy's share.
    """
    weighed = _weigh_all(policy, header, facts)
    is_open = [_is_open(policy, each) for each in weighed]
    if not any(is_open):
        return False, ()
    rest = [each.outcome for each, opened in zip(weighed, is_open, strict=True) if not opened]
    floor = max((policy.caution(outcome) for outcome in rest), default=0)
    chosen = set(Outcome)
    for each, opened in zip(weighed, is_open, strict=True):
        if opened and each.finding is not None:
            chosen &= set(policy.rules[each.finding.rule].ambiguous or ())
    if header.attempt >= policy.refetches_max:
        chosen.discard(Outcome.REFETCH)
    aside = len(rows_aside(policy, facts))
    if not aside or (aside >= policy.rows_share_min and aside > policy.rows_share_max * facts.rows):
        chosen.discard(Outcome.QUARANTINE_ROWS)
    return True, tuple(sorted((each for each in chosen if policy.caution(each) >= floor), key=policy.caution))


def rows_aside(policy: Policy, facts: Facts) -> tuple[int, ...]:
    """Places in the batch of the rows that QUARANTINE_ROWS sets aside; those of an open finding are among them.

    Empty when not each of them is known: an order that names some of them would leave the others in.
    """
    found = []
    for each in (_weigh(policy, finding) for finding in facts.findings):
        if each.finding is None:
            continue
        may = _is_open(policy, each) and Outcome.QUARANTINE_ROWS in (policy.rules[each.finding.rule].ambiguous or ())
        if may or each.outcome is Outcome.QUARANTINE_ROWS:
            found.append(each.finding)
    rows = {row for finding in found for row in finding.rows}
    is_listed = not facts.omitted and len(rows) <= LISTED and all(finding.count <= LISTED for finding in found)
    return tuple(sorted(rows)) if is_listed else ()


def _weigh_all(policy: Policy, header: BatchHeader, facts: Facts) -> list[_Weighed]:
    weighed = [_weigh(policy, finding) for finding in facts.findings]
    aside, is_listed = _rows_aside(weighed, facts)
    if aside >= policy.rows_share_min and aside > policy.rows_share_max * facts.rows:
        told = f"{aside} of {facts.rows} rows ({aside / facts.rows:.0%}) would be set aside"
        weighed.append(_Weighed(policy.rows_share_decision, f"{told}, more than {policy.rows_share_max:.0%}"))
    elif aside and not is_listed:
        weighed.append(_Weighed(policy.rows_share_decision, f"{aside} rows to set aside are more than one order names"))
    if facts.omitted:
        told = f"{facts.omitted} more findings of the same rules are neither listed nor weighed"
        weighed.append(_Weighed(policy.rows_share_decision, told))
    outcome = max((each.outcome for each in weighed), key=policy.caution, default=Outcome.ACCEPT)
    if outcome is Outcome.REFETCH and header.attempt >= policy.refetches_max:
        told = f"fetched again {header.attempt} times already (at most {policy.refetches_max}) and still not right"
        weighed.append(_Weighed(Outcome.ESCALATE, told))
    return weighed


def _is_open(policy: Policy, weighed: _Weighed) -> bool:
    finding = weighed.finding
    return (
        finding is not None
        and weighed.outcome is Outcome.ESCALATE
        and finding.confirmed is None
        and policy.rules[finding.rule].ambiguous is not None
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
    return chosen.model_copy(update={"action": action(policy, header, facts, Outcome(chosen.outcome))})


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


def _rows_aside(weighed: list[_Weighed], facts: Facts) -> tuple[int, bool]:
    """How many rows would be set aside, and whether the findings list each of them."""
    found = [each.finding for each in weighed if each.outcome is Outcome.QUARANTINE_ROWS and each.finding is not None]
    if facts.omitted or any(finding.count > LISTED for finding in found):  # the cautious bound
        return min(facts.rows, sum(finding.count for finding in found)), False
    rows = {row for finding in found for row in finding.rows}
    return len(rows), len(rows) <= LISTED


def _size(finding: Finding | None) -> float:
    return abs(finding.value) if finding is not None and finding.value is not None else 0.0


def action(policy: Policy, header: BatchHeader, facts: Facts, outcome: Outcome) -> Action | None:
    """What the policy does about an outcome, of typed facts alone; None: nothing, a person takes it up.

    Nothing as well: a fetch beyond the policy's number, and a quarantine of rows that are not all known.
    """
    return _made(policy, policy.actions[outcome], header, facts, outcome)


def asked_action(policy: Policy, header: BatchHeader, facts: Facts, outcome: Outcome) -> Action | None:
    """What a person may do about an outcome for which policy has no action."""
    if policy.actions[outcome] is not None:
        return None
    return _made(policy, policy.asks.get(outcome), header, facts, outcome)


def _made(
    policy: Policy, chosen: ActionPolicy | None, header: BatchHeader, facts: Facts, outcome: Outcome
) -> Action | None:
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
    if header.frequency != "1d":
        params["frequency"] = header.frequency
    if outcome is Outcome.REFETCH:
        if header.attempt >= policy.refetches_max:
            return None
        params["attempt"] = header.attempt + 1
    if outcome is Outcome.QUARANTINE_ROWS:
        aside: list[Any] = list(rows_aside(policy, facts))
        if not aside:
            return None
        params["quarantined"] = aside
    named = sorted({day for finding in facts.findings for day in finding.dates})[:LISTED]
    if named:
        days: list[Any] = list(named)
        rules: list[Any] = sorted({finding.rule.value for finding in facts.findings})
        params |= {"rules": rules, "dates": days}
    return Action(kind=chosen.kind, target=chosen.target, params=params)
