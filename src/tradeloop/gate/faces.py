"""What page, command line, API and Airflow do with an approval, the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import JsonValue, ValidationError

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, Ballot, Pattern, Requirement
from tradeloop.domain.people import Principal
from tradeloop.errors import ActionForbidden, AnswerForbidden, AnswerInvalid
from tradeloop.gate.allowed import Allowed, check
from tradeloop.gate.policy import Circumstances, GatePolicy, PolicySource, requirement, strictest
from tradeloop.ports import Approvals


def changed(
    was: Approval,
    params: Mapping[str, JsonValue],
    policy: GatePolicy,
    allowed: Sequence[Allowed] | None = None,
) -> tuple[Action, Requirement]:
    """The action with other parameters, and what policy wants for it: never less than for the first question.

    `allowed`: the desk's allow-list, where it is known; the engine holds the action against it in any case.

    Raises:
        AnswerInvalid: nothing is changed, or the parameters are none, or not on the list.
        AnswerForbidden: policy denies it.
    """
    try:
        action = Action(kind=was.action.kind, target=was.action.target, params=dict(params))
        if allowed is not None:
            check(action, allowed, was.desk, asked=True)
    except ValidationError as problem:
        reason = str(problem.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise AnswerInvalid(reason, field="params") from problem
    except ActionForbidden as problem:
        raise AnswerInvalid(problem.message, field="params") from problem
    if action.digest == was.digest:
        raise AnswerInvalid("nothing is changed: approve or reject instead", field="params")
    facts = was.context.get("facts", ())
    around = Circumstances(
        was.desk,
        asked=True,
        degraded=bool(was.context.get("degraded")),
        against=any(isinstance(fact, dict) and bool(fact.get("against")) for fact in facts),
    )
    wanted = requirement(policy, action, around)
    if wanted.pattern is Pattern.DENY:
        raise AnswerForbidden(f"policy denies it, rule {wanted.rule}: {wanted.why}")
    # A change can raise what is needed, and never lower it: else it would be the way around the first question.
    return action, strictest(wanted, was.requirement)


async def change(
    approvals: Approvals,
    source: PolicySource,
    approval_id: UUID,
    ballot: Ballot,
    voter: Principal,
    params: Mapping[str, JsonValue],
    allowed: Sequence[Allowed] | None = None,
) -> Approval:
    """Ask for other parameters instead: a new version, classified again, that another person answers (mi-24 4a).

    Parameters that are not named stay; None takes one away. Kind and target cannot be changed.

    Raises:
        AnswerRefused: as for an answer, and as `changed`.
        GateClosed: the policy cannot be read.
    """
    was = await approvals.get(approval_id)
    policy = source.current()
    merged = {name: value for name, value in {**was.action.params, **params}.items() if value is not None}
    action, wanted = changed(was, merged, policy, allowed)
    return await approvals.modify(approval_id, ballot, voter, action, wanted, policy.digest)


def raised(given: Requirement) -> Requirement:
    """What an escalation asks for: one more of the same people, one tier higher."""
    last = given.steps[-1].model_copy(update={"needs": min(9, given.steps[-1].needs + 1)})
    return given.model_copy(
        update={
            "pattern": Pattern.SEQUENTIAL if given.pattern is Pattern.SEQUENTIAL else Pattern.N_OF_M,
            "tier": min(3, given.tier + 1),
            "steps": (*given.steps[:-1], last),
            "raised_by": (*given.raised_by, "escalated"),
        }
    )


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
    return await approvals.escalate(approval_id, raised(was.requirement), reason.strip(), voter)
