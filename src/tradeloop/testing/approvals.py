"""Approvals in memory, beside the runs and effects of one `MemoryStore`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any  # Any: changed fields
from uuid import UUID

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, ApprovalFilter, ApprovalState, Ballot, Pattern, Requirement
from tradeloop.domain.people import Principal
from tradeloop.domain.runs import Claim, derive_id
from tradeloop.errors import GateFull, NotFound
from tradeloop.gate import ballot as rules
from tradeloop.gate.ballot import Change
from tradeloop.ports import Ask
from tradeloop.testing.effects import MemoryEffects

OPEN = (ApprovalState.PENDING, ApprovalState.APPROVED)


class MemoryApprovals:
    """ports.Approvals in memory."""

    def __init__(self, store: MemoryEffects) -> None:
        self._store = store

    async def park(self, owner: UUID, claim: Claim, asks: Sequence[Ask], max_pending: int) -> bool:
        """Let the run rest until its questions are answered."""
        work = self._store._owned(owner, claim)
        if work is None:
            return False
        wanted = [ask for ask in asks if not self._is_asked(claim.run_id, ask)]
        pending = sum(a.desk == claim.desk and a.state is ApprovalState.PENDING for a in self._all.values())
        if wanted and pending + len(wanted) > max_pending:
            raise GateFull(f"{max_pending} questions of desk {claim.desk} wait for people already.")
        for ask in wanted:
            self._ask(claim, ask)
        is_open = any(a.run_id == claim.run_id and a.state is ApprovalState.PENDING for a in self._all.values())
        work.state, work.owner = ("p" if is_open else "q"), None
        work.fails = work.takeovers = 0
        return True

    async def of_run(self, run_id: UUID) -> list[Approval]:
        """Every version of every question of the run."""
        found = [one for one in self._all.values() if one.run_id == run_id]
        return sorted(found, key=lambda one: (one.slot, one.version))

    async def get(self, approval_id: UUID) -> Approval:
        """One."""
        if approval_id not in self._all:
            raise NotFound(f"there is no approval {approval_id}.", hint="tradeloop approvals list")
        return self._all[approval_id]

    async def find(self, beginning: str) -> list[Approval]:
        """Those whose id begins so."""
        return [one for one in self._all.values() if str(one.approval_id).startswith(beginning.lower())][:10]

    async def matching(self, wanted: ApprovalFilter) -> list[Approval]:
        """Those that fit."""
        found = [one for one in self._all.values() if _fits(one, wanted)]
        by_deadline = wanted.order == "deadline"

        def key(one: Approval) -> tuple[datetime, UUID]:
            return (one.deadline_at if by_deadline else one.asked_at), one.approval_id

        found.sort(key=key, reverse=not by_deadline)
        if wanted.after:
            at, _, last = wanted.after.partition("~")
            mark = (datetime.fromisoformat(at), UUID(last))
            found = [one for one in found if (key(one) > mark if by_deadline else key(one) < mark)]
        return found[: wanted.limit]

    async def answer(self, approval_id: UUID, ballot: Ballot, voter: Principal) -> Approval:
        """Count one person's answer."""
        approval = await self.get(approval_id)
        change = rules.rule(approval, ballot, voter, datetime.now(UTC))
        return approval if change is None else self._change(approval, change)

    async def modify(
        self,
        approval_id: UUID,
        ballot: Ballot,
        voter: Principal,
        action: Action,
        requirement: Requirement,
        policy_hash: str,
    ) -> Approval:
        """Void this version and ask for the changed action instead."""
        was = await self.get(approval_id)
        now = datetime.now(UTC)
        rules.admit(was, ballot, voter, now)
        new = was.model_copy(
            update={
                "approval_id": derive_id("approval", was.run_id, was.slot, was.version + 1),
                "version": was.version + 1,
                "previous_id": approval_id,
                "action": action,
                "digest": action.digest,
                "requirement": requirement,
                "policy_hash": policy_hash,
                "requester": voter.name,
                "earlier_requesters": _requesters([was]),
                "asked_at": now,
                "deadline_at": now + timedelta(seconds=requirement.deadline_s),
                "revision": 1,
                "step": 0,
                "escalations": 0,
                "votes": (),
            }
        )
        self._all[new.approval_id] = new
        note = f"changed by {voter.name}: {ballot.reason.strip()}"
        columns = {"state": ApprovalState.CANCELLED.value, "next_id": new.approval_id, "note": note}
        self._change(was, Change("approval_modified", columns))
        return new

    async def escalate(self, approval_id: UUID, requirement: Requirement, reason: str, voter: Principal) -> Approval:
        """Hand it to others."""
        approval = await self.get(approval_id)
        rules.admit_escalation(approval, voter, datetime.now(UTC))
        columns = {
            "requirement": requirement.model_dump(mode="json"),
            "deadline_s": requirement.deadline_s,
            "escalations": 1,
        } | ({} if requirement.pattern is Pattern.SEQUENTIAL else {"step": 0})
        return self._change(approval, Change("approval_escalated", columns, None, {"by": voter.name, "reason": reason}))

    async def void(self, approval_id: UUID, reason: str) -> bool:
        """-> cancelled."""
        approval = await self.get(approval_id)
        if approval.state not in OPEN:
            return False
        self._change(approval, Change("approval_cancelled", {"state": ApprovalState.CANCELLED.value, "note": reason}))
        return True

    async def expire(self) -> int:
        """Close what nobody answered."""
        now = datetime.now(UTC)
        due = [a for a in self._all.values() if a.state is ApprovalState.PENDING and a.deadline_at <= now]
        for one in due:
            self._change(one, rules.at_deadline(one))
        return len(due)

    async def is_first(self, desk: str, action: Action) -> bool:
        """Whether no action of this kind and target was ever carried out on the desk."""
        place = (desk, action.kind, action.target)
        return not any(
            (a.desk, a.action.kind, a.action.target) == place and a.state is ApprovalState.EXECUTED
            for a in self._all.values()
        )

    async def reserve(self, run_id: UUID, slot: str, scopes: Sequence[tuple[str, Decimal, Decimal]]) -> Sequence[str]:
        """Hold amounts where there is room."""
        over = []
        for scope, amount, limit in scopes:
            others = [
                held for key, held in self._store.amounts.items() if key[0] == scope and key[1:] != (run_id, slot)
            ]
            if sum(others, Decimal(0)) + amount > limit:
                over.append(scope)
            else:
                self._store.amounts[scope, run_id, slot] = amount
        return over

    @property
    def _all(self) -> dict[UUID, Approval]:
        return self._store.approvals

    def _is_asked(self, run_id: UUID, ask: Ask) -> bool:
        mine = [a for a in self._all.values() if (a.run_id, a.slot) == (run_id, ask.slot)]
        if not mine:
            return False
        last = max(mine, key=lambda a: a.version)
        if last.digest == ask.action.digest:
            return last.state is not ApprovalState.CANCELLED
        is_changed = any(a.digest == ask.action.digest and a.next_id is not None for a in mine)
        if is_changed and last.state in OPEN:
            return True
        if last.state in OPEN:
            note = "the run asks for another action now"
            self._change(last, Change("approval_cancelled", {"state": ApprovalState.CANCELLED.value, "note": note}))
        return False

    def _ask(self, claim: Claim, ask: Ask) -> None:
        mine = [a for a in self._all.values() if (a.run_id, a.slot) == (claim.run_id, ask.slot)]
        last = max(mine, key=lambda a: a.version, default=None)
        version = last.version + 1 if last else 1
        now = datetime.now(UTC)
        new = Approval(
            approval_id=derive_id("approval", claim.run_id, ask.slot, version),
            run_id=claim.run_id,
            decision_id=ask.decision_id,
            event_id=claim.event_id,
            desk=claim.desk,
            subject=claim.subject,
            slot=ask.slot,
            interrupt_id=ask.interrupt_id,
            version=version,
            previous_id=last.approval_id if last else None,
            action=ask.action,
            digest=ask.action.digest,
            requirement=ask.requirement,
            policy_hash=ask.policy_hash,
            agent=ask.agent,
            requester=ask.requester,
            earlier_requesters=_requesters(mine),
            context=dict(ask.context),
            asked_at=now,
            deadline_at=now + timedelta(seconds=ask.requirement.deadline_s),
        )
        self._all[new.approval_id] = new
        self._store.audit.append((claim.run_id, "approval_asked"))

    def _change(self, was: Approval, change: Change) -> Approval:
        now = datetime.now(UTC)
        values: dict[str, Any] = {"revision": was.revision + 1}
        columns = change.columns
        if "state" in columns:
            state = values["state"] = ApprovalState(columns["state"])
            if state not in OPEN:
                values["closed_at"] = now
            if state in (ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.CANCELLED):
                self._store.free(was.run_id, was.slot)
        values |= {name: columns[name] for name in ("step", "note", "next_id") if name in columns}
        if "requirement" in columns:
            values["requirement"] = Requirement.model_validate(columns["requirement"])
        if "deadline_s" in columns:
            values["deadline_at"] = now + timedelta(seconds=columns["deadline_s"])
        if "valid_s" in columns:
            values["valid_until"] = now + timedelta(seconds=columns["valid_s"])
        values["escalations"] = was.escalations + columns.get("escalations", 0)
        if change.vote is not None:
            values |= {"votes": (*was.votes, change.vote), "answered_at": now}
        approval = self._all[was.approval_id] = was.model_copy(update=values)
        self._store.audit.append((was.run_id, change.kind))
        work = self._store._work.get(was.run_id)
        still = any(a.run_id == was.run_id and a.state is ApprovalState.PENDING for a in self._all.values())
        if work is not None and work.state == "p" and not still:
            work.state = "q"
        return approval


def _requesters(versions: Sequence[Approval]) -> tuple[str, ...]:
    names = {name for one in versions for name in (one.requester, *one.earlier_requesters)}
    return tuple(sorted(names - {""}))


def _fits(one: Approval, wanted: ApprovalFilter) -> bool:
    text = f"{one.subject} {one.action.target} {one.approval_id} {one.digest}".lower()
    return (
        (not wanted.states or one.state in wanted.states)
        and wanted.desk in ("", one.desk)
        and wanted.tier in (None, one.requirement.tier)
        and wanted.run_id in (None, one.run_id)
        and wanted.text.lower() in text
    )
