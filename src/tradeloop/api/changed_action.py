"""An action that a person changed: validated and classified again, never asked less of than before."""

from __future__ import annotations

from typing import Any  # Any: JSON from a client

from pydantic import ValidationError

from tradeloop.api.problems import Refusal
from tradeloop.api.services import Services
from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, Pattern, Requirement
from tradeloop.errors import ActionForbidden
from tradeloop.gate.allowed import check
from tradeloop.gate.policy import Circumstances, requirement, strictest


def changed_action(services: Services, approval: Approval, params: dict[str, Any]) -> tuple[Action, Requirement, str]:
    """The action with other parameters, what policy wants for it, and that policy's hash.

    Raises:
        Refusal: 422, the parameters are the same, do not fit the action or the desk's allow-list, or policy denies it.
        GateClosed: the policy cannot be read.
    """
    try:
        action = Action(kind=approval.action.kind, target=approval.action.target, params=params)
    except ValidationError as problem:
        raise _unfit(problem.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")) from problem
    if action.digest == approval.digest:
        raise _unfit("these are the parameters that it has already")
    workflow = services.workflows.get(str(approval.context.get("event_type", "")))
    if workflow is not None and workflow.allowed is not None:
        try:
            check(action, workflow.allowed, approval.desk)
        except ActionForbidden as problem:
            raise _unfit(problem.message) from problem
    policy = services.policy.current()
    facts = approval.context.get("facts", ())
    around = Circumstances(
        desk=approval.desk,
        asked=True,
        degraded=bool(approval.context.get("degraded")),
        against=any(isinstance(fact, dict) and bool(fact.get("against")) for fact in facts),
    )
    wanted = requirement(policy, action, around)
    if wanted.pattern is Pattern.DENY:
        raise Refusal(422, "denied", f"policy denies it, rule {wanted.rule}: {wanted.why}.", field="body.params")
    return action, strictest(wanted, approval.requirement), policy.digest


def escalated(wanted: Requirement) -> Requirement:
    """What an escalation asks for: the same people, one more of them and one tier up, where there is one."""
    steps = (*wanted.steps[:-1], wanted.steps[-1].model_copy(update={"needs": min(9, wanted.steps[-1].needs + 1)}))
    pattern = Pattern.N_OF_M if wanted.pattern in (Pattern.CONFIRMATION, Pattern.MAKER_CHECKER) else wanted.pattern
    raised = wanted.raised_by if "escalated" in wanted.raised_by else (*wanted.raised_by, "escalated")
    return wanted.model_copy(
        update={"pattern": pattern, "tier": min(3, wanted.tier + 1), "steps": steps, "raised_by": raised}
    )


def _unfit(words: str) -> Refusal:
    return Refusal(422, "invalid", f"body.params: {words}.", field="body.params")
