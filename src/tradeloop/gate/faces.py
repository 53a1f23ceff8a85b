"""What page, command line, API and Airflow do with an approval, the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pydantic import JsonValue, ValidationError

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, Ballot, Pattern
from tradeloop.domain.people import Principal
from tradeloop.errors import AnswerForbidden, AnswerInvalid
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
    """Ask the same people for one more answer, one tier higher, with a new deadline.

    Raises:
        AnswerInvalid: the reason is too short.
        AnswerForbidden: who may not answer cannot escalate, either; the requester may.
        AnswerTooLate: it is closed.
    """
    was = await approvals.get(approval_id)
    if len(reason.strip()) < 10:
        raise AnswerInvalid("the reason has fewer than 10 characters.", field="reason")
    given = was.requirement
    last = given.steps[-1].model_copy(update={"needs": min(9, given.steps[-1].needs + 1)})
    raised = given.model_copy(
        update={
            "pattern": Pattern.SEQUENTIAL if given.pattern is Pattern.SEQUENTIAL else Pattern.N_OF_M,
            "tier": min(3, given.tier + 1),
            "steps": (*given.steps[:-1], last),
            "raised_by": (*given.raised_by, "escalated"),
        }
    )
    return await approvals.escalate(approval_id, raised, reason.strip(), voter)
