"""What page, command line, API and Airflow do with an approval, the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pydantic import JsonValue, ValidationError

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, ApprovalStep, Ballot, Pattern, Requirement
from tradeloop.domain.people import Principal
from tradeloop.errors import AnswerForbidden, AnswerInvalid
from tradeloop.gate.ballot import why_not
from tradeloop.gate.policy import ASKED, Circumstances, PolicySource, requirement, strictest
from tradeloop.ports import Approvals


async def change(
    approvals: Approvals,
    source: PolicySource,
    approval_id: UUID,
    ballot: Ballot,
    voter: Principal,
    params: Mapping[str, JsonValue],
) -> Approval:
    """Ask for other parameters instead: a new version, classified again, that another person answers (mi-24 4a).

    Parameters that are not named stay; None takes one away. Kind and target cannot be changed.

    Raises:
        AnswerInvalid: nothing is changed, or the parameters are none.
        AnswerRefused: as for an answer.
        GateClosed: the policy cannot be read.
    """
    was = await approvals.get(approval_id)
    merged = {**was.action.params, **params}
    try:
        action = Action(
            kind=was.action.kind,
            target=was.action.target,
            params={name: value for name, value in merged.items() if value is not None},
        )
    except ValidationError as problem:
        raise AnswerInvalid(str(problem.errors(include_url=False)[0]["msg"]), field="params") from problem
    if action.digest == was.digest:
        raise AnswerInvalid("nothing is changed: approve or reject instead.", field="params")
    policy = source.current()
    around = Circumstances(was.desk, asked=was.requirement.rule == ASKED, degraded=bool(was.context.get("degraded")))
    wanted = requirement(policy, action, around)
    if wanted.pattern is Pattern.DENY:
        raise AnswerForbidden(f"rule {wanted.rule} denies the changed action: {wanted.why}")
    # A change can raise what is needed, and never lower it: else it would be the way around the first question.
    return await approvals.modify(approval_id, ballot, voter, action, strictest(wanted, was.requirement), policy.digest)


async def escalate(approvals: Approvals, approval_id: UUID, reason: str, voter: Principal) -> Approval:
    """Ask for one more person, one tier higher, of all who have authority; with a new deadline.

    Raises:
        AnswerInvalid: the reason is too short.
        AnswerForbidden: who may not answer cannot escalate, either; the requester may.
        AnswerTooLate: it is closed.
    """
    was = await approvals.get(approval_id)
    if len(reason.strip()) < 10:
        raise AnswerInvalid("the reason has fewer than 10 characters.", field="reason")
    told = why_not(was, voter)
    if told and voter.name != was.requester:
        raise AnswerForbidden(told)
    given = was.requirement
    raised = Requirement(
        pattern=Pattern.N_OF_M if given.pattern is not Pattern.SEQUENTIAL else Pattern.SEQUENTIAL,
        tier=min(3, given.tier + 1),
        rule=given.rule,
        why=given.why,
        steps=(ApprovalStep(needs=min(9, given.needs + 1)),)
        if given.pattern is not Pattern.SEQUENTIAL
        else (*given.steps, ApprovalStep()),
        deadline_s=given.deadline_s,
        valid_s=given.valid_s,
        on_silence=given.on_silence,
        raised_by=(*given.raised_by, "escalated"),
        amount=given.amount,
        currency=given.currency,
    )
    return await approvals.escalate(approval_id, raised, reason.strip(), voter)
