"""The ledger of side effects in memory, and the runs that wait for a person because of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.actions import Action, Begun, Effect, EffectState, TargetClass, Turn
from tradeloop.domain.approvals import Approval, ApprovalState
from tradeloop.domain.runs import Claim, RunState
from tradeloop.errors import EffectSettled, NotFound, RunLost
from tradeloop.testing.switches import MemorySwitches


@dataclass
class Work:
    """A live run."""

    claim: Claim
    seq: int
    state: str
    owner: UUID | None = None
    fence: int = 0
    fails: int = 0
    takeovers: int = 0
    due_at: float = 0.0
    graph_version: str = ""
    cancel: str = ""
    unserved_since: float | None = None
    error: str = ""


@dataclass
class _Call:
    """What the ledger knows of the last caller."""

    owner: UUID
    by: float


@dataclass
class MemoryEffects(MemorySwitches):
    """ports.EffectLedger and ports.Switches in memory, and Runs.suspend."""

    effects: dict[str, Effect] = field(default_factory=dict)
    approvals: dict[UUID, Approval] = field(default_factory=dict)
    amounts: dict[tuple[str, UUID, str], Decimal] = field(default_factory=dict)
    """Reserved: scope, run and slot to the amount."""
    audit: list[tuple[UUID, str]] = field(default_factory=list)
    """Run and kind of each record."""
    _work: dict[UUID, Work] = field(default_factory=dict)
    _calls: dict[str, _Call] = field(default_factory=dict)
    _causes: dict[str, UUID] = field(default_factory=dict)

    async def prepare(self, owner: UUID, claim: Claim, slot: str, decision_id: UUID, action: Action) -> Effect:
        """Write the effect down, or read what stands there."""
        if self._owned(owner, claim) is None:
            raise RunLost(f"run {claim.run_id} belongs to another worker")
        key = action.key(subject=claim.subject, cause=claim.event_id, slot=slot)
        wanted = Effect(
            key=key,
            run_id=claim.run_id,
            decision_id=decision_id,
            slot=slot,
            action=action,
            state=EffectState.PREPARED,
            fence=claim.fence,
            prepared_at=datetime.now(UTC),
        )
        found = next((e for k, e in self.effects.items() if (self._causes[k], e.slot) == (claim.event_id, slot)), None)
        if found is None:
            return self._put(wanted, claim)
        if _gives_way(found, wanted):
            self.audit.append((claim.run_id, "effect_prepared_again"))
            del self.effects[found.key]
            kept = found.decision_id if found.key == key else decision_id
            return self._put(wanted.model_copy(update={"decision_id": kept}), claim)
        return self._change(found.key, run_id=claim.run_id)

    async def begin(
        self,
        owner: UUID,
        claim: Claim,
        key: str,
        target_class: TargetClass,
        within_s: float,
        *,
        gated: bool = False,
    ) -> Begun:
        """What to do next about the effect."""
        effect = self.effects.get(key)
        if self._owned(owner, claim) is None:
            return Begun(Turn.LOST)
        if effect is None or effect.state not in (EffectState.PREPARED, EffectState.EXECUTING):
            is_unknown = effect is not None and effect.state is EffectState.OUTCOME_UNKNOWN
            return Begun(Turn.UNKNOWN if is_unknown else Turn.SETTLED)
        is_again = effect.state is EffectState.EXECUTING
        by = self._calls[key].by if is_again else time.monotonic() + within_s
        overdue = is_again and by < time.monotonic()
        if is_again and target_class is TargetClass.QUERYABLE:
            return Begun(Turn.ASK, overdue)
        if is_again and target_class is TargetClass.BLIND:
            await self.doubt(owner, claim, key, "its caller did not come back")
            return Begun(Turn.UNKNOWN, overdue)
        held, stopped = self._held(claim, effect, gated=gated), await self.stopped(claim.desk)
        if held or stopped:
            return Begun(Turn.HELD if held else Turn.STOPPED, overdue, held or stopped)
        self._calls[key] = _Call(owner, by)
        self._change(
            key,
            state=EffectState.EXECUTING,
            calls=effect.calls + 1,
            blocked_reason="",
            fence=claim.fence,
            executing_at=datetime.now(UTC),
        )
        return Begun(Turn.CALL, overdue)

    async def refuse(self, owner: UUID, claim: Claim, key: str, kind: str, reason: str) -> bool:
        """prepared -> failed, because policy or people said no."""
        if self._owned(owner, claim) is None:
            return False
        effect = self.effects.get(key)
        if effect is not None and effect.state is EffectState.PREPARED and effect.calls == 0:
            self._change(key, state=EffectState.FAILED, error=reason, finished_at=datetime.now(UTC))
            self.audit.append((claim.run_id, kind))
        return True

    async def stopped(self, desk: str) -> str:
        """Why effects of the desk are stopped."""
        for scope in ("global", f"desk:{desk}"):
            switch = self.switches.get(scope)
            if switch is not None and switch.stopped:
                return f"switched off: {scope} stopped by {switch.changed_by}: {switch.reason}"
        return ""

    def wake_released(self) -> None:
        """The runs that rested because of a stop go on at once."""
        for work in self._work.values():
            if work.state == "w" and work.error.startswith("switched off: "):
                work.due_at, work.fails = 0.0, 0

    async def doubt(self, owner: UUID, claim: Claim, key: str, reason: str) -> bool:
        """executing -> outcome_unknown."""
        if self._owned(owner, claim) is None or self.effects[key].state is not EffectState.EXECUTING:
            return False
        self._change(key, state=EffectState.OUTCOME_UNKNOWN, error=reason)
        self.audit.append((claim.run_id, "effect_outcome_unknown"))
        return True

    async def finish(
        self, owner: UUID, claim: Claim, key: str, *, executed: bool, result: Mapping[str, JsonValue], error: str
    ) -> None:
        """-> executed or failed."""
        was = self.effects.get(key)
        if was is None or was.state is EffectState.EXECUTED:
            return
        is_open = was.state in (EffectState.EXECUTING, EffectState.OUTCOME_UNKNOWN)
        if not executed and not (is_open and self._is_caller(owner, claim, was)):
            return
        state = EffectState.EXECUTED if executed else EffectState.FAILED
        self._change(
            key, state=state, result=dict(result), error=error, blocked_reason="", finished_at=datetime.now(UTC)
        )
        if was.state is not EffectState.EXECUTING:
            self.audit.append((was.run_id, "effect_told_late"))
            self._wake(was.run_id)

    async def block(self, owner: UUID, claim: Claim, key: str, reason: str) -> None:
        """executing -> prepared."""
        was = self.effects[key]
        if was.state is EffectState.EXECUTING and self._is_caller(owner, claim, was):
            self._change(key, state=EffectState.PREPARED, blocked_reason=reason, calls=was.calls - 1)

    async def resolve(self, key: str, outcome: EffectState, by: str, reason: str) -> Effect:
        """outcome_unknown -> executed, failed or prepared, by a person."""
        was = self.effects.get(key)
        if was is None:
            raise NotFound(f"no effect has the key {key}.", hint="tradeloop effects list")
        if was.state is not EffectState.OUTCOME_UNKNOWN:
            raise EffectSettled(f"effect {key[:8]} is {was.state.value}: nobody needs to resolve it.")
        is_done = outcome is EffectState.EXECUTED
        told = f"{by} says that it did not happen: {reason}" if outcome is EffectState.FAILED else ""
        result = {"resolved_by": by, "reason": reason} if is_done else {}
        finished_at = None if outcome is EffectState.PREPARED else datetime.now(UTC)
        found = self._change(key, state=outcome, result=result, error=told, finished_at=finished_at)
        if outcome is EffectState.PREPARED:
            self._void_again(was, by)
        self.audit.append((was.run_id, "effect_resolved"))
        self._wake(was.run_id)
        return found

    async def suspend(self, owner: UUID, claim: Claim, state: RunState, reason: str) -> bool:
        """Leave the run until somebody acts."""
        work = self._owned(owner, claim)
        if work is None:
            return False
        needs_nobody = state is RunState.OUTCOME_UNKNOWN and not self._is_unknown(claim.run_id)
        codes = {RunState.OUTCOME_UNKNOWN: "u", RunState.VERSION_UNAVAILABLE: "v"}
        work.state, work.owner = ("q" if needs_nobody else codes[state]), None
        self.audit.append((claim.run_id, "run_suspended"))
        return True

    def _is_unknown(self, run_id: UUID) -> bool:
        return any(e.run_id == run_id and e.state is EffectState.OUTCOME_UNKNOWN for e in self.effects.values())

    def _wake(self, run_id: UUID) -> None:
        work = self._work.get(run_id)
        if work and work.state == "u" and not self._is_unknown(run_id):
            work.state = "q"

    def _owned(self, owner: UUID, claim: Claim) -> Work | None:
        work = self._work.get(claim.run_id)
        return work if work and (work.state, work.owner, work.fence) == ("r", owner, claim.fence) else None

    def _is_caller(self, owner: UUID, claim: Claim, effect: Effect) -> bool:
        return (self._calls[effect.key].owner, effect.fence) == (owner, claim.fence)

    def _put(self, effect: Effect, claim: Claim) -> Effect:
        self.effects[effect.key] = effect
        self._causes[effect.key] = claim.event_id
        return effect

    def _change(self, key: str, **values: object) -> Effect:
        was = self.effects[key]
        effect = self.effects[key] = was.model_copy(update=values)
        if effect.state is not was.state:
            self._follow(was, effect)
        return effect

    def _follow(self, was: Effect, effect: Effect) -> None:
        """What became of a released effect becomes of its approval."""
        states = {
            EffectState.EXECUTED: ApprovalState.EXECUTED,
            EffectState.FAILED: ApprovalState.FAILED,
            EffectState.OUTCOME_UNKNOWN: ApprovalState.OUTCOME_UNKNOWN,
        }
        if was.state is EffectState.OUTCOME_UNKNOWN:
            states[EffectState.PREPARED] = ApprovalState.CANCELLED
        state = states.get(effect.state)
        for one in list(self.approvals.values()):
            place = (one.run_id, one.slot, one.digest) == (effect.run_id, effect.slot, effect.action.digest)
            if state and place and one.state in (ApprovalState.APPROVED, ApprovalState.OUTCOME_UNKNOWN):
                closed = None if state is ApprovalState.OUTCOME_UNKNOWN else datetime.now(UTC)
                self.approvals[one.approval_id] = one.model_copy(
                    update={"state": state, "closed_at": closed, "revision": one.revision + 1}
                )
        if effect.state is EffectState.FAILED:
            self.free(effect.run_id, effect.slot)

    def _void_again(self, effect: Effect, by: str) -> None:
        """Who wants it done once more is the requester of the question that follows."""
        mine = [one for one in self.approvals.values() if (one.run_id, one.slot) == (effect.run_id, effect.slot)]
        if mine:
            last = max(mine, key=lambda one: one.version)
            note = f"{by} wants it done again: its outcome was unknown"
            self.approvals[last.approval_id] = last.model_copy(update={"void_by": by, "note": note})

    def free(self, run_id: UUID, slot: str) -> None:
        """Give reserved amounts back."""
        for key in [key for key in self.amounts if key[1:] == (run_id, slot)]:
            del self.amounts[key]

    def _held(self, claim: Claim, effect: Effect, *, gated: bool) -> str:
        asked = [a for a in self.approvals.values() if (a.run_id, a.slot) == (claim.run_id, effect.slot)]
        if not asked:
            return "nobody was asked" if gated else ""
        last = max(asked, key=lambda a: a.version)
        is_over = last.valid_until is not None and last.valid_until <= datetime.now(UTC)
        is_fresh = effect.state is EffectState.EXECUTING or not is_over
        if last.digest == effect.action.digest and last.state is ApprovalState.APPROVED and is_fresh:
            return ""
        return f"approval {str(last.approval_id)[:8]} is {last.state.value}"


def _gives_way(found: Effect, wanted: Effect) -> bool:
    """Whether what stands there has certainly not happened, and a later run or owner wants something."""
    is_earlier_run = found.run_id != wanted.run_id
    if found.state is EffectState.FAILED:
        return is_earlier_run
    is_untouched = found.state is EffectState.PREPARED and found.calls == 0
    return found.key != wanted.key and is_untouched and (is_earlier_run or found.fence < wanted.fence)
