"""Approvals as the gate makes them, for the tests of ballots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, ApprovalStep, Pattern, Requirement
from tradeloop.domain.people import Delegation, Principal, Role

ACTION = Action(kind="trigger_dag", target="publish_batch", params={"batch": "SPX/2009-03", "amount": "1250000.00"})
REASON = "the second source says the same"


def approval(needs: int = 1, **given: Any) -> Approval:
    """A pending one."""
    now = datetime.now(UTC)
    requirement = given.pop("requirement", None) or Requirement(
        pattern=Pattern.N_OF_M if needs > 1 else Pattern.MAKER_CHECKER,
        rule="MD-7",
        why="rows are taken out of a published batch",
        steps=(ApprovalStep(needs=needs),),
    )
    action = given.get("action", ACTION)
    words: dict[str, Any] = {
        "approval_id": uuid4(),
        "run_id": uuid4(),
        "decision_id": uuid4(),
        "event_id": uuid4(),
        "desk": "marketdata",
        "subject": "SPX/2009-03",
        "slot": "act",
        "interrupt_id": "i1",
        "action": action,
        "digest": action.digest,
        "requirement": requirement,
        "policy_hash": "p" * 64,
        "agent": "agent:marketdata",
        "context": {
            "facts": [
                {"id": "F-01", "sentence": "+24.8 % on 2009-03-06", "source": "check MD09"},
                {"id": "F-03", "sentence": "second source says 68.92", "source": "feed B"},
            ]
        },
        "asked_at": now,
        "deadline_at": now + timedelta(hours=4),
    }
    return Approval(**(words | given))


def person(name: str, **given: Any) -> Principal:
    """Somebody with authority everywhere."""
    return Principal(
        name=name,
        roles=given.pop("roles", frozenset({Role.APPROVER})),
        delegations=given.pop("delegations", (Delegation(),)),
        **given,
    )
