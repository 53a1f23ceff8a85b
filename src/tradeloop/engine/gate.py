"""The approval gate where effects begin: no action of a graph comes to the ledger's call but through here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Protocol  # Any: JSON of a graph

from langgraph.types import interrupt

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, ApprovalState, Pattern, Requirement
from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.people import Principal
from tradeloop.domain.runs import Claim
from tradeloop.errors import GateClosed
from tradeloop.gate.ballot import ended, has_authority, stricter
from tradeloop.gate.policy import Circumstances, GatePolicy, PolicySource, Reservation, requirement, reservations
from tradeloop.ports import Approvals

QUESTION: Final = "tradeloop"
"""Key of our own part of an interrupt's payload; the rest is LangChain's human-in-the-loop request."""
ALLOWED_DECISIONS: Final = ("approve", "edit", "reject")
NO_LIMIT: Final = Decimal("Infinity")
MAX_INTERRUPTS: Final = 20
"""Questions of one node: a graph that asks more is in a loop."""


class People(Protocol):
    """Who people are at this moment."""

    async def principal(self, name: str) -> Principal | None:
        """The principal of this name; None when there is none."""
        ...


class Way(Enum):
    """Where an action goes from the gate."""

    FREE = "free"
    """Policy wants nobody's yes."""
    RELEASED = "released"
    """The people whom policy wants have said yes to exactly this."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Passage:
    """The gate's word on one action."""

    way: Way
    state: str = ""
    """Refused: denied, rejected or expired."""
    reason: str = ""


class Gate:
    """Classifies actions by the firm's policy and asks people; shared by all runs of a worker."""

    def __init__(
        self,
        source: PolicySource | None = None,
        approvals: Approvals | None = None,
        people: People | None = None,
    ) -> None:
        """`people`: looked up again before a release; None: their right was checked when they answered alone."""
        self._source = source or PolicySource()
        self._approvals = approvals
        self._people = people

    @property
    def approvals(self) -> Approvals:
        """Where questions are kept.

        Raises:
            GateClosed: this worker has no such place: what needs a person is held.
        """
        if self._approvals is None:
            raise GateClosed("this process has no store of approvals: what a person must allow is held")
        return self._approvals

    @property
    def max_pending(self) -> int:
        """Open questions that one desk may have."""
        return self._source.current().max_pending

    async def expire(self) -> int:
        """End what nobody answered in time; returns how many questions."""
        return 0 if self._approvals is None else await self._approvals.expire()

    async def standing(self, claim: Claim) -> list[Approval]:
        """All versions of the run's questions. A run that was never given back has asked nothing yet."""
        if claim.fence <= 1 or self._approvals is None:
            return []
        return await self._approvals.of_run(claim.run_id)

    async def effective(self, claim: Claim, slot: str, action: Action) -> Action:
        """What stands in place of a graph's action: what a person changed it into, or the action itself."""
        stood = _last_of([one for one in await self.standing(claim) if one.slot == slot], action)
        return stood.action if stood is not None else action

    async def pass_through(
        self, claim: Claim, event: WorkflowEvent, slot: str, action: Action, *, asked: bool, told: Mapping[str, Any]
    ) -> Passage:
        """Whether the action may go on. Does not return while it waits for people: the graph is interrupted.

        Raises:
            GraphInterrupt: the run rests until people have answered.
            GateClosed: the policy, or the store of approvals, cannot be used: nothing is released.
        """
        for _ in range(MAX_INTERRUPTS):
            policy = self._source.current()
            versions = [one for one in await self.standing(claim) if one.slot == slot]
            stood = _last_of(versions, action)
            around = Circumstances(
                desk=claim.desk,
                asked=asked,
                degraded=bool(told.get("degraded")),
                against=any(fact.get("against") for fact in told.get("facts", ())),
                session=event.workflow_run_id,
            )
            over = await self._reserved(reservations(policy, action, around), claim, slot)
            wanted = await self._wanted(policy, claim, action, around, over)
            if wanted.pattern is Pattern.DENY:
                if stood is not None and stood.state in (ApprovalState.PENDING, ApprovalState.APPROVED):
                    await self.approvals.void(stood.approval_id, f"policy denies it now, rule {wanted.rule}")
                return Passage(Way.REFUSED, "denied", f"rule {wanted.rule} denies it: {wanted.why}")
            if stood is not None and stood.state is not ApprovalState.CANCELLED:
                passage = await self._judge(stood, wanted)
                if passage is not None:
                    if passage.way is Way.RELEASED:  # what people allow beyond a limit takes of it all the same
                        await self._reserved([replace(one, limit=NO_LIMIT) for one in over], claim, slot)
                    return passage
            elif stood is None and wanted.pattern is Pattern.NONE:
                return Passage(Way.FREE)
            if stood is not None and wanted.pattern is Pattern.NONE:
                wanted = stood.requirement  # what was asked once stays with people
            interrupt(self._payload(event, slot, action, wanted, policy, told, stood))
        raise GateClosed(f"the graph asked {MAX_INTERRUPTS} questions in one step")

    async def _reserved(self, wanted: Sequence[Reservation], claim: Claim, slot: str) -> list[Reservation]:
        """Take the room of limits; returns those that have none."""
        if not wanted:
            return []
        scopes = [(one.scope, one.amount, one.limit) for one in wanted]
        full = await self.approvals.reserve(claim.run_id, slot, scopes)
        return [one for one in wanted if one.scope in full]

    async def _wanted(
        self, policy: GatePolicy, claim: Claim, action: Action, around: Circumstances, over: Sequence[Reservation]
    ) -> Requirement:
        limits = [one.rule for one in over]
        wanted = requirement(policy, action, around, limits)
        if wanted.pattern in (Pattern.NONE, Pattern.DENY) or not policy.raise_first_of_kind:
            return wanted
        first = await self.approvals.is_first(claim.desk, action)
        return requirement(policy, action, replace(around, first_of_kind=first), limits)

    async def _judge(self, stood: Approval, wanted: Requirement) -> Passage | None:
        """What a question that was asked means now; None when it is (still or again) to be asked."""
        match stood.state:
            case ApprovalState.PENDING:
                return None
            case ApprovalState.REJECTED | ApprovalState.EXPIRED:
                return Passage(Way.REFUSED, stood.state.value, ended(stood))
            case ApprovalState.APPROVED:
                reason = await self._holds_no_more(stood, wanted)
                if not reason:
                    return Passage(Way.RELEASED)
                await self.approvals.void(stood.approval_id, reason)
                return None
            case _:  # it was carried out, or tried: the ledger knows
                return Passage(Way.RELEASED)

    async def _holds_no_more(self, stood: Approval, wanted: Requirement) -> str:
        """Why an approval is not enough any more right before its release (mi-24 1f); empty when it is."""
        given = stood.requirement
        if stood.valid_until is not None and stood.valid_until <= datetime.now(UTC):
            return "it was not released within its validity"
        if stricter(_unraised(wanted), given):
            return f"policy wants more now: rule {wanted.rule}"
        if self._people is None:
            return ""
        for vote in stood.approvals:
            voter = await self._people.principal(vote.principal)
            if voter is None or not has_authority(voter, stood.desk, given):
                return f"{vote.principal} has no authority for it any more"
        return ""

    def _payload(
        self,
        event: WorkflowEvent,
        slot: str,
        action: Action,
        wanted: Requirement,
        policy: GatePolicy,
        told: Mapping[str, Any],
        stood: Approval | None,
    ) -> dict[str, Any]:
        name = f"{action.kind} {action.target}"
        claimed = (event.metadata.model_extra or {}).get("requested_by", "")
        requester = (stood.void_by or stood.requester) if stood else claimed
        return {
            "action_requests": [{"name": name, "args": dict(action.params), "description": _sentence(action, wanted)}],
            "review_configs": [{"action_name": name, "allowed_decisions": list(ALLOWED_DECISIONS)}],
            QUESTION: {
                "slot": slot,
                "action": action.model_dump(mode="json"),
                "digest": action.digest,
                "requirement": wanted.model_dump(mode="json"),
                "policy_hash": policy.digest,
                "requester": requester if isinstance(requester, str) else "",
                "context": {"event_type": event.event_type, "workflow_id": event.workflow_id}
                | {"workflow_run_id": event.workflow_run_id, **told},
            },
        }


def _last_of(versions: list[Approval], action: Action) -> Approval | None:
    """The question that stands for this action, or for what people changed it into."""
    own = next((one for one in reversed(versions) if one.digest == action.digest), None)
    by_id = {one.approval_id: one for one in versions}
    while own is not None and own.next_id in by_id:
        own = by_id[own.next_id]
    if own is not None and own.state is ApprovalState.CANCELLED:
        later = [one for one in versions if one.version > own.version and one.digest == own.digest]
        own = later[-1] if later else own
    return own


def _unraised(wanted: Requirement) -> Requirement:
    """Without what makes a tier higher for the asking alone: an approval in between may have made it the second."""
    return wanted.model_copy(update={"tier": max(0, wanted.tier - 1)}) if wanted.raised_by else wanted


def _sentence(action: Action, wanted: Requirement) -> str:
    return f"{action.kind} {action.target}, digest {action.digest[:8]}; asked by rule {wanted.rule}: {wanted.why}"
