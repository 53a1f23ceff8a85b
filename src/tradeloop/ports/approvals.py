"""What the gate needs from a store, and gives to its faces: page, command line, API, Airflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, ApprovalFilter, Ballot, Requirement
from tradeloop.domain.people import Principal
from tradeloop.domain.runs import Claim


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that a run rests on."""

    interrupt_id: str
    slot: str
    decision_id: UUID
    action: Action
    requirement: Requirement
    policy_hash: str
    agent: str
    requester: str
    context: Mapping[str, JsonValue]


class Approvals(Protocol):
    """Approvals and their votes. Every change is one transaction that also writes its audit record.

    Answers raise NotFound; AnswerTooLate (it is closed; says by whom and how); AnswerStale (other digest or version;
    names the newer one); AnswerForbidden (no authority, own request, voted before; says why and who can);
    AnswerInvalid (reason, facts or last four digits are missing).
    """

    async def park(self, owner: UUID, claim: Claim, asks: Sequence[Ask], max_pending: int) -> bool:
        """Let the run rest until its questions are answered; once a question, however often it is asked.

        Raises:
            GateFull: its desk has `max_pending` open questions already; nothing was asked.
        """
        ...

    async def of_run(self, run_id: UUID) -> list[Approval]:
        """Every version of every question of the run, oldest first, with votes."""
        ...

    async def get(self, approval_id: UUID) -> Approval:
        """One, with its votes. Raises NotFound."""
        ...

    async def find(self, beginning: str) -> list[Approval]:
        """Those whose id begins so (at most 10)."""
        ...

    async def matching(self, wanted: ApprovalFilter) -> list[Approval]:
        """Those that fit; open ones by deadline, then age."""
        ...

    async def answer(self, approval_id: UUID, ballot: Ballot, voter: Principal) -> Approval:
        """Count one person's answer; returns how the approval stands then. An equal answer again changes nothing."""
        ...

    async def modify(
        self,
        approval_id: UUID,
        ballot: Ballot,
        voter: Principal,
        action: Action,
        requirement: Requirement,
        policy_hash: str,
    ) -> Approval:
        """Void this version and ask for the changed action instead; the changer becomes its requester."""
        ...

    async def escalate(self, approval_id: UUID, requirement: Requirement, reason: str, voter: Principal) -> Approval:
        """Hand it to others under a stricter requirement, with a new deadline."""
        ...

    async def void(self, approval_id: UUID, reason: str) -> bool:
        """-> cancelled, for what no longer holds; False when it was final already."""
        ...

    async def expire(self) -> int:
        """Close what nobody answered, escalate what is to be escalated; returns how many. Called every second."""
        ...

    async def is_first(self, desk: str, action: Action) -> bool:
        """Whether no action of this kind and target was ever released and carried out on the desk."""
        ...

    async def reserve(self, run_id: UUID, slot: str, scopes: Sequence[tuple[str, Decimal, Decimal]]) -> Sequence[str]:
        """Hold amounts (scope, amount, limit) where there is room, atomically a scope; returns those without room.

        Held until the action has certainly not happened: rejected, expired, void or refused by its target.
        """
        ...
