"""Approvals on PostgreSQL: rules in `gate.ballot`, each change one statement that fails when somebody was faster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, LiteralString  # Any: a row's columns
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, ApprovalFilter, ApprovalState, Ballot, Pattern, Requirement, Vote
from tradeloop.domain.people import Principal
from tradeloop.domain.runs import Claim, RunState, derive_id
from tradeloop.errors import GateFull, NotFound, UsageInvalid
from tradeloop.gate import ballot as rules
from tradeloop.gate.ballot import Change
from tradeloop.ports import Ask
from tradeloop.store.cipher import Cipher
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

APPROVALS: Final[LiteralString] = """
SELECT a.*, clock_timestamp() AS now, ARRAY(
    SELECT DISTINCT x.requester FROM approvals x WHERE x.run_id = a.run_id AND x.slot = a.slot
    AND x.version < a.version AND x.requester <> '' ORDER BY 1) AS earlier_requesters, coalesce((
    SELECT jsonb_agg(jsonb_build_object('principal', v.principal, 'answer', v.answer, 'reason', v.reason,
                     'relied_on', v.relied_on, 'channel', v.channel, 'step', v.step, 'digest', v.digest, 'at', v.at,
                     'seen', v.seen) ORDER BY v.at, v.principal)
    FROM approval_votes v WHERE v.approval_id = a.approval_id), '[]') AS votes
FROM approvals a
"""
ROUNDS: Final = 100
"""Somebody else changed the row between reading and writing; each such round is somebody's success."""


class PostgresApprovals:
    """ports.Approvals on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def park(self, owner: UUID, claim: Claim, asks: Sequence[Ask], max_pending: int) -> bool:
        """Let the run rest until its questions are answered; False when another worker owns it.

        Raises:
            GateFull: its desk has `max_pending` open questions already; nothing was asked.
        """
        known = {(one.slot, one.version) for one in await self.of_run(claim.run_id)}
        ids = [_id_of(claim.run_id, ask.slot, 1 + sum(slot == ask.slot for slot, _ in known)) for ask in asks]
        row = await self._database.row(
            "SELECT park_run(%s, %s, %s, %s, %s, %s, %s) AS told",
            (
                owner,
                claim.run_id,
                claim.fence,
                RunState.PARKED.value,
                max_pending,
                Jsonb([_ask_json(ask, self._database.cipher) for ask in asks]),
                ids,
            ),
        )
        told = str(row["told"]) if row else "lost"
        if told == "full":
            raise GateFull(
                f"{max_pending} questions of desk {claim.desk} wait for people already; this one is asked later.",
                hint=f"tradeloop approvals list --desk {claim.desk}",
            )
        return told != "lost"

    async def of_run(self, run_id: UUID) -> list[Approval]:
        """Every version of every question of the run, oldest first, with votes."""
        rows = await self._database.rows(APPROVALS + " WHERE a.run_id = %s ORDER BY a.slot, a.version", (run_id,))
        return [_approval(row, self._database.cipher) for row in rows]

    async def get(self, approval_id: UUID) -> Approval:
        """One, with its votes.

        Raises:
            NotFound: there is none.
        """
        return (await self._read(approval_id))[0]

    async def find(self, beginning: str) -> list[Approval]:
        """Those whose id begins so; at most 10."""
        rows = await self._database.rows(
            APPROVALS + " WHERE a.approval_id::text LIKE %s ORDER BY a.asked_at DESC LIMIT 10",
            (beginning.lower().replace("%", "").replace("_", "") + "%",),
        )
        return [_approval(row, self._database.cipher) for row in rows]

    async def matching(self, wanted: ApprovalFilter) -> list[Approval]:
        """Those that fit; open ones by deadline, then age.

        Raises:
            UsageInvalid: `after` is no cursor of this list.
        """
        by_deadline = wanted.order == "deadline"
        at, last = _cursor(wanted.after)
        rows = await self._database.rows(
            APPROVALS
            + """
            WHERE (%(states)s::text[] = '{}' OR a.state = ANY(%(states)s)) AND (%(desk)s = '' OR a.desk = %(desk)s)
              AND (%(tier)s::integer IS NULL OR (a.requirement->>'tier')::integer = %(tier)s)
              AND (%(run)s::uuid IS NULL OR a.run_id = %(run)s)
              AND (%(text)s = '' OR position(lower(%(text)s) IN lower(a.subject || ' ' || a.target || ' '
                                             || a.approval_id::text || ' ' || a.digest)) > 0)
              AND (%(at)s::timestamptz IS NULL OR """
            + (
                "(a.deadline_at, a.approval_id) > (%(at)s, %(last)s)) ORDER BY a.deadline_at, a.approval_id"
                if by_deadline
                else "(a.asked_at, a.approval_id) < (%(at)s, %(last)s)) ORDER BY a.asked_at DESC, a.approval_id DESC"
            )
            + " LIMIT %(limit)s",
            {
                "states": [state.value for state in wanted.states],
                "desk": wanted.desk,
                "tier": wanted.tier,
                "run": wanted.run_id,
                "text": storable(wanted.text),
                "at": at,
                "last": last,
                "limit": wanted.limit,
            },
        )
        return [_approval(row, self._database.cipher) for row in rows]

    async def answer(self, approval_id: UUID, ballot: Ballot, voter: Principal) -> Approval:
        """Count one person's answer; returns how the approval stands then.

        Raises:
            NotFound: there is no such approval.
            AnswerRefused: its subclasses say why the answer does not count.
        """
        for _ in range(ROUNDS):
            approval, now = await self._read(approval_id)
            change = rules.rule(approval, ballot, voter, now)
            if change is None:
                return approval
            if await self._change(approval, change):
                return await self.get(approval_id)
        return (await self._read(approval_id))[0]

    async def modify(
        self,
        approval_id: UUID,
        ballot: Ballot,
        voter: Principal,
        action: Action,
        requirement: Requirement,
        policy_hash: str,
    ) -> Approval:
        """Void this version and ask for the changed action instead; the changer becomes its requester.

        Raises:
            AnswerRefused: as for an answer.
        """
        for _ in range(ROUNDS):
            approval, now = await self._read(approval_id)
            rules.admit(approval, ballot, voter, now)
            new = _id_of(approval.run_id, approval.slot, approval.version + 1)
            row = await self._database.row(
                "SELECT replace_approval(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) AS done",
                (
                    approval_id,
                    approval.revision,
                    new,
                    Jsonb(action.model_dump(mode="json")),
                    action.digest,
                    Jsonb(requirement.model_dump(mode="json")),
                    policy_hash,
                    voter.name,
                    storable(f"changed by {voter.name}: {ballot.reason.strip()}"),
                    Jsonb({"by": voter.name, "channel": ballot.channel, "reason": storable(ballot.reason.strip())}),
                ),
            )
            if row and row["done"]:
                return await self.get(new)
        return await self.get(approval_id)

    async def escalate(self, approval_id: UUID, requirement: Requirement, reason: str, voter: Principal) -> Approval:
        """Hand it to others under a stricter requirement, with a new deadline.

        Raises:
            AnswerRefused: it is closed, or they may neither answer it nor asked for it.
        """
        for _ in range(ROUNDS):
            approval, now = await self._read(approval_id)
            rules.admit_escalation(approval, voter, now)
            if await self._change(approval, _escalation(requirement, reason, voter.name)):
                return await self.get(approval_id)
        return await self.get(approval_id)

    async def void(self, approval_id: UUID, reason: str) -> bool:
        """-> cancelled, for what no longer holds; False when it was final already."""
        for _ in range(ROUNDS):
            approval, _now = await self._read(approval_id)
            if approval.state not in (ApprovalState.PENDING, ApprovalState.APPROVED):
                return False
            columns = {"state": ApprovalState.CANCELLED.value, "note": storable(reason)}
            if await self._change(approval, Change("approval_cancelled", columns, None, {"note": storable(reason)})):
                return True
        return False

    async def expire(self) -> int:
        """Close what nobody answered, escalate what is to be escalated; returns how many."""
        rows = await self._database.rows(
            APPROVALS + " WHERE a.state = 'pending' AND a.deadline_at <= clock_timestamp() "
            "ORDER BY a.deadline_at LIMIT 200"
        )
        return sum(
            [
                await self._change(one, rules.at_deadline(one))
                for one in [_approval(row, self._database.cipher) for row in rows]
            ]
        )

    async def is_first(self, desk: str, action: Action) -> bool:
        """Whether no action of this kind and target was ever released and carried out on the desk."""
        row = await self._database.row(
            "SELECT 1 AS one FROM approvals "
            "WHERE state = 'executed' AND desk = %s AND kind = %s AND target = %s LIMIT 1",
            (desk, action.kind, action.target),
        )
        return row is None

    async def reserve(self, run_id: UUID, slot: str, scopes: Sequence[tuple[str, Decimal, Decimal]]) -> Sequence[str]:
        """Hold amounts (scope, amount, limit) where there is room; returns the scopes that have none."""
        row = await self._database.row(
            "SELECT reserve_amounts(%s, %s, %s, %s, %s) AS over",
            (
                run_id,
                slot,
                [storable(scope) for scope, _, _ in scopes],
                [amount for _, amount, _ in scopes],
                [limit for _, _, limit in scopes],
            ),
        )
        return list(row["over"]) if row else []

    async def _read(self, approval_id: UUID) -> tuple[Approval, datetime]:
        row = await self._database.row(APPROVALS + " WHERE a.approval_id = %s", (approval_id,))
        if row is None:
            raise NotFound(f"there is no approval {approval_id}.", hint="tradeloop approvals list")
        return _approval(row, self._database.cipher), row["now"]

    async def _change(self, approval: Approval, change: Change) -> bool:
        vote = None
        if change.vote is not None:
            vote = Jsonb(change.vote.model_dump(mode="json") | {"reason": storable(change.vote.reason)})
        row = await self._database.row(
            "SELECT change_approval(%s, %s, %s, %s, %s, %s) AS done",
            (
                approval.approval_id,
                approval.revision,
                Jsonb(change.columns),
                vote,
                change.kind,
                Jsonb(_storable(change.body)),
            ),
        )
        return bool(row and row["done"])


def _escalation(requirement: Requirement, reason: str, by: str) -> Change:
    columns = {
        "requirement": requirement.model_dump(mode="json"),
        "deadline_s": requirement.deadline_s,
        "escalations": 1,
    } | ({} if requirement.pattern is Pattern.SEQUENTIAL else {"step": 0})
    return Change("approval_escalated", columns, None, {"by": by, "reason": storable(reason)})


def _id_of(run_id: UUID, slot: str, version: int) -> UUID:
    return derive_id("approval", run_id, slot, version)


def _ask_json(ask: Ask, cipher: Cipher) -> Mapping[str, Any]:
    return {
        "slot": ask.slot,
        "interrupt_id": ask.interrupt_id,
        "decision_id": str(ask.decision_id),
        "action": ask.action.model_dump(mode="json"),
        "digest": ask.action.digest,
        "requirement": ask.requirement.model_dump(mode="json"),
        "policy_hash": ask.policy_hash,
        "agent": ask.agent,
        "requester": storable(ask.requester),
        "context": cipher.close_json(_storable(ask.context)),
    }


def _storable(value: Any) -> Any:
    return json.loads(json.dumps(value).replace("\\u0000", "\\ufffd"))


def _cursor(text: str) -> tuple[datetime | None, UUID | None]:
    if not text:
        return None, None
    try:
        at, _, last = text.partition("~")
        return datetime.fromisoformat(at), UUID(last)
    except ValueError as problem:
        raise UsageInvalid(f"{text[:60]!r} is no cursor of this list.") from problem


def _approval(row: DictRow, cipher: Cipher) -> Approval:
    fields = {name: row[name] for name in Approval.model_fields if name in row}
    fields["context"] = cipher.open_json(row["context"])
    fields["votes"] = tuple(Vote.model_validate(vote) for vote in row["votes"])
    return Approval.model_validate(fields)
