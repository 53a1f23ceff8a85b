"""What an answer does to an approval: pure rules, the same for every store and every face (mi-24 2d, 3a, 3b, 3d)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final  # Any: the changed columns

from tradeloop.domain.approvals import Approval, ApprovalState, Ballot, Pattern, Requirement, Vote
from tradeloop.domain.people import Principal
from tradeloop.errors import AnswerForbidden, AnswerInvalid, AnswerStale, AnswerTooLate
from tradeloop.gate.look_alikes import folded

FRESH_SIGN_IN: Final = timedelta(minutes=15)
"""Tier 3: a session that somebody left open must not be enough."""
MAX_ESCALATIONS: Final = 3
"""By hand and by silence: each gives a new deadline, and none shall be put off for ever."""
UNBOUND: Final = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written of an approval, in one step, if nobody changed it meanwhile."""

    kind: str
    """Of the audit record."""
    columns: dict[str, Any] = field(default_factory=dict)
    vote: Vote | None = None
    body: dict[str, Any] = field(default_factory=dict)


def rule(approval: Approval, ballot: Ballot, voter: Principal, now: datetime) -> Change | None:
    """Hold one answer against the approval; None when the same person gave the same answer before.

    Raises:
        AnswerRefused: its subclasses say why it does not count.
    """
    earlier = next((vote for vote in approval.votes if vote.principal == voter.name), None)
    if earlier is not None and earlier.answer == ballot.answer and fits(approval, ballot):
        return None
    admit(approval, ballot, voter, now)
    earlier = next((vote for vote in approval.votes if _is_same(vote.principal, voter.name)), None)
    if earlier is not None:
        raise AnswerForbidden(f"you said {earlier.answer} at {_clock(earlier.at)}; another person answers next.")
    if ballot.answer == "approve":
        _need_care(approval, ballot, now)
    vote = Vote(
        principal=voter.name,
        answer=ballot.answer,
        reason=ballot.reason.strip(),
        relied_on=ballot.relied_on,
        channel=ballot.channel,
        step=approval.step,
        digest=approval.digest,
        at=now,
        seen=ballot.seen,
    )
    told = {"vote": vote.model_dump(mode="json", exclude={"at"})}
    if ballot.answer == "reject":
        return Change("approval_rejected", {"state": ApprovalState.REJECTED.value}, vote, told)
    return Change("approval_answered", _after(approval, vote), vote, told)


def admit(approval: Approval, ballot: Ballot, voter: Principal, now: datetime) -> None:
    """Whether this person may say anything about exactly this question now.

    Raises:
        AnswerRefused: its subclasses say why not.
    """
    if not fits(approval, ballot):
        newer = f" Version {approval.version} is {approval.digest[:8]}." if approval.state.is_open else ""
        raise AnswerStale(
            f"the action is another one: you answered {ballot.digest.removeprefix('sha256:')[:8]}"
            f"{f', version {ballot.version}' if ballot.version else ''}.{newer}",
            hint=f"tradeloop approvals show {str(approval.next_id or approval.approval_id)[:8]}",
        )
    if approval.next_id is not None:
        raise AnswerStale(
            f"version {approval.version + 1} exists; this one is void.",
            hint=f"tradeloop approvals show {str(approval.next_id)[:8]}",
        )
    if not approval.state.is_open or approval.deadline_at <= now:
        raise AnswerTooLate(f"approval {str(approval.approval_id)[:8]} {ended(approval)} Your answer was not recorded.")
    if reason := why_not(approval, voter):
        raise AnswerForbidden(reason)
    if len(ballot.reason.strip()) < 10:
        raise AnswerInvalid("the reason has fewer than 10 characters.", field="reason")


def fits(approval: Approval, ballot: Ballot) -> bool:
    """Whether the ballot was given for this version of the action."""
    given = ballot.digest.removeprefix("sha256:")
    return approval.digest.startswith(given) and ballot.version in (None, approval.version)


def why_not(approval: Approval, voter: Principal) -> str:
    """Why this person may not answer, in words; empty when they may."""
    wanted = approval.requirement
    if not voter.can_answer or _is_same(voter.name, approval.agent):
        return _is_nobody(voter)
    asked = (approval.requester, *approval.earlier_requesters)
    if wanted.pattern is not Pattern.CONFIRMATION and any(_is_same(voter.name, name) for name in asked):
        return f"you asked for this action, so another person must answer ({wanted.pattern.value}, rule {wanted.rule})."
    if not has_authority(voter, approval.desk, wanted):
        amount = f" of {wanted.amount:,} {wanted.currency}".rstrip() if wanted.amount is not None else ""
        amount = " whose amount cannot be read" if wanted.amount_unread else amount
        return f"no delegation of {voter.name} covers an action{amount} on {approval.desk}."
    named = _step(approval).approvers
    if named and voter.name not in named:
        return f"this step is for {', '.join(named)} (rule {wanted.rule})."
    return ""


def has_authority(voter: Principal, desk: str, wanted: Requirement) -> bool:
    """Whether a delegation covers what is wanted; an amount that cannot be read is covered by one without a bound."""
    return voter.may_release(desk, UNBOUND if wanted.amount_unread else wanted.amount, wanted.currency)


def _is_same(one: str, other: str) -> bool:
    """Whether two names could be one person's: names that look alike are."""
    return bool(other) and folded(one) == folded(other)


def _is_nobody(voter: Principal) -> str:
    if voter.kind != "person":
        return f"{voter.name} is a service; only a person answers, and never the agent that proposes."
    return f"{voter.name} is no approver, no longer active, or a name that several people could stand behind."


def ended(approval: Approval) -> str:
    """How an approval ended, in a sentence with who and when."""
    last = approval.votes[-1] if approval.votes else None
    match approval.state:
        case ApprovalState.REJECTED if last is not None:
            return f'was rejected by {last.principal} at {_clock(last.at)}: "{last.reason}".'
        case ApprovalState.PENDING | ApprovalState.EXPIRED:
            return f"expired at {_clock(approval.deadline_at)}; it counts as rejected."
        case ApprovalState.CANCELLED:
            return f"is void: {approval.note}."
        case _:
            by = " and ".join(vote.principal for vote in approval.approvals)
            return f"was approved by {by}{f' at {_clock(last.at)}' if last else ''}; it is {approval.state.value}."


def stricter(new: Requirement, given: Requirement) -> bool:
    """Whether what policy wants now is more than what was asked for: then an old answer is not enough."""
    order = {pattern: place for place, pattern in enumerate(Pattern)}
    return order[new.pattern] > order[given.pattern] or new.needs > given.needs or new.tier > given.tier


def _after(approval: Approval, vote: Vote) -> dict[str, Any]:
    wanted = approval.requirement
    in_step = sum(one.step == approval.step for one in approval.approvals) + (vote.answer == "approve")
    if in_step < _step(approval).needs:
        return {}
    if approval.step + 1 < len(wanted.steps):
        return {"step": approval.step + 1}
    return {"state": ApprovalState.APPROVED.value, "valid_s": wanted.valid_s}


def _need_care(approval: Approval, ballot: Ballot, now: datetime) -> None:
    """Friction by risk: FINOS, Risk-Tiered Approval and Consent Gate Hardening."""
    tier = approval.requirement.tier
    facts = {str(fact.get("id")) for fact in approval.context.get("facts", [])}
    if unknown := sorted(set(ballot.relied_on) - facts):
        raise AnswerInvalid(f"there is no fact {', '.join(unknown)} here.", field="relied_on")
    if tier >= 2 and facts and not ballot.relied_on:
        raise AnswerInvalid("name at least one fact that you rely on.", field="relied_on")
    if tier >= 3:
        if ballot.last_four != approval.digest[-4:]:
            raise AnswerInvalid("type the last four digits of the action's digest.", field="last_four")
        if ballot.signed_in_at is None or now - ballot.signed_in_at > FRESH_SIGN_IN:
            raise AnswerInvalid("sign in again: this needs a sign-in within the last 15 minutes.", field="signed_in_at")


def _step(approval: Approval) -> Any:
    return approval.requirement.steps[min(approval.step, len(approval.requirement.steps) - 1)]


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%SZ")


def need_open(approval: Approval, now: datetime) -> None:
    """Refuse whatever comes after its end.

    Raises:
        AnswerTooLate: it is closed, or its deadline has passed.
    """
    if not approval.state.is_open or approval.deadline_at <= now:
        raise AnswerTooLate(f"approval {str(approval.approval_id)[:8]} {ended(approval)}")


def admit_escalation(approval: Approval, voter: Principal, now: datetime) -> None:
    """Whether this person may hand the question on: who may answer it, and whoever asked for it.

    Raises:
        AnswerTooLate: it is closed.
        AnswerForbidden: neither; or it was handed on often enough.
    """
    need_open(approval, now)
    if approval.escalations >= MAX_ESCALATIONS:
        raise AnswerForbidden(f"it was escalated {MAX_ESCALATIONS} times: answer it, or let its deadline pass.")
    told = why_not(approval, voter)
    if told and not (voter.is_active and _is_same(voter.name, approval.requester)):
        raise AnswerForbidden(told)


def at_deadline(approval: Approval) -> Change:
    """What becomes of a question that nobody answered: silence is never a yes (mi-24 P3, P6, 4b)."""
    if approval.requirement.on_silence == "escalate" and approval.escalations == 0:
        tier = min(3, approval.requirement.tier + 1)
        is_too_high = approval.requirement.pattern is Pattern.CONFIRMATION and tier > 1
        raised = approval.requirement.model_copy(
            update={
                "pattern": Pattern.MAKER_CHECKER if is_too_high else approval.requirement.pattern,
                "tier": tier,
                "raised_by": (*approval.requirement.raised_by, "escalated"),
                "steps": tuple(step.model_copy(update={"approvers": ()}) for step in approval.requirement.steps),
            }
        )
        columns = {
            "requirement": raised.model_dump(mode="json"),
            "deadline_s": raised.deadline_s,
            "escalations": 1,
        }
        return Change("approval_escalated", columns, None, {"by": "deadline", "reason": "nobody answered in time"})
    columns = {"state": ApprovalState.EXPIRED.value, "note": "nobody answered in time"}
    return Change("approval_expired", columns, None, {"note": "nobody answered in time: it counts as rejected"})
