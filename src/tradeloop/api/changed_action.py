"""An action that a person changed, as a client of the API sends it."""

from __future__ import annotations

from typing import Any  # Any: JSON from a client

from tradeloop.api.problems import Refusal
from tradeloop.api.services import Services
from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, Requirement
from tradeloop.errors import AnswerForbidden, AnswerInvalid
from tradeloop.gate import faces


def changed_action(services: Services, approval: Approval, params: dict[str, Any]) -> tuple[Action, Requirement, str]:
    """The action with other parameters, what policy wants for it, and that policy's hash.

    Raises:
        Refusal: 422, the parameters are the same, do not fit the action or the desk's allow-list, or policy denies it.
        GateClosed: the policy cannot be read.
    """
    workflow = services.workflows.get(str(approval.context.get("event_type", "")))
    policy = services.policy.current()
    try:
        action, wanted = faces.changed(approval, params, policy, workflow.allowed if workflow else None)
    except AnswerInvalid as problem:
        words = problem.message.rstrip(".")
        raise Refusal(422, "invalid", f"body.params: {words}.", field="body.params") from problem
    except AnswerForbidden as problem:
        raise Refusal(422, "denied", f"{problem.message}.", field="body.params") from problem
    return action, wanted, policy.digest
