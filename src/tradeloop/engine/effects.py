"""Side effects through the ledger: written down before the call, settled by asking when the answer is unclear."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never  # Any: JSON for a graph's state
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.actions import Action, Begun, Effect, EffectState, TargetClass, Turn
from tradeloop.domain.canonical import canonical_json, unstorable
from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.runs import Claim
from tradeloop.effects.effector import MAX_DEPTH, Effector, PerTarget, Queryable, depth_of
from tradeloop.engine.gate import Gate, Way
from tradeloop.errors import (
    ActionDiverged,
    AirflowForbidden,
    AirflowRefused,
    DagUnavailable,
    DatabaseUnreachable,
    DecisionInvalid,
    EffectBlocked,
    EffectConflict,
    EffectInvalid,
    EffectRefused,
    EffectUnanswered,
    OutcomeUnknown,
    ReleaseHeld,
    RunLost,
    SwitchedOff,
)
from tradeloop.gate.allowed import Allowed, check
from tradeloop.ports import EffectLedger

WITHIN_S: Final = {TargetClass.KEYED: 900.0, TargetClass.QUERYABLE: 60.0, TargetClass.BLIND: 60.0}
"""How long a target may give no clear answer before a person is asked; below the half hour that a run is retried."""
MAX_RESULT_BYTES: Final = 100_000
"""What a target says goes into the ledger, the checkpoint and the announced decision."""
REFUSALS: Final = ("denied", "rejected", "expired")
"""Ends that policy or people give to an action before anything is called."""
DATABASE_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""What the target answered is worth some patience: when it is lost, a person may have to find out."""


class LedgeredActing:
    """workflow.Acting for one run: the only way from its graph to an effect."""

    def __init__(
        self,
        ledger: EffectLedger,
        effectors: Mapping[str, Effector],
        owner: UUID,
        claim: Claim,
        decision_id: UUID,
        event: WorkflowEvent,
        allowed: Sequence[Allowed] | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`allowed`: what the run's desk may do; None: a workflow that declares no list, and may do all.

        `gate`: None: the policy that ships, without a place to ask people.
        """
        self._gate = gate or Gate()
        self._ledger = ledger
        self._effectors = effectors
        self._owner = owner
        self._claim = claim
        self._decision_id = decision_id
        self._event = event
        self._allowed = allowed
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Branches of one graph that want the same slot wait for each other."""

    async def admit(self) -> None:
        """Go on only while nobody has stopped the desk.

        Raises:
            SwitchedOff: the run rests until the release.
        """
        if told := await self._ledger.stopped(self._claim.desk):
            raise SwitchedOff(told)

    async def perform(
        self,
        slot: str,
        action: Action,
        *,
        adopts: bool = False,
        asked: bool = False,
        told: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Carry the action out, once, through the gate and the ledger; returns what became of it.

        What policy, or the decision itself (`asked`), puts before people interrupts the graph until they have answered;
        a refusal is returned as the view's `state`: denied, rejected or expired. `told` is what they are shown.

        When another action stands in the slot, `adopts` carries that one out; the caller must then make its decision
        fit the view's `action`. Without it the run ends.

        Raises:
            RunLost: another worker owns the run.
            ActionForbidden: the desk's allow-list does not hold it.
            SwitchedOff: somebody stopped the desk; the run rests until the release.
            GateClosed: the approval policy cannot be used.
            ActionDiverged: another action stands in the slot.
            OutcomeUnknown: only a person can tell whether it happened.
            TradeloopError: with `retriable` set when the same call may succeed later.
        """
        if action.kind not in self._effectors:
            raise DecisionInvalid(f"no effect is called {action.kind!r}; known: {', '.join(sorted(self._effectors))}")
        own = action
        action = await self._gate.effective(self._claim, slot, action)
        if self._allowed is not None:
            check(action, self._allowed, self._claim.desk, asked=asked)
        if depth_of(self._event) >= MAX_DEPTH:
            raise DecisionInvalid(f"the chain of events and decisions is {MAX_DEPTH} long: a loop is likely")
        async with self._turns[slot]:
            while True:  # a second round only when the truth came in between
                effect = await self._ledger.prepare(self._owner, self._claim, slot, self._decision_id, action)
                if not adopts and effect.action.digest != action.digest:
                    raise ActionDiverged(
                        f"slot {slot} holds {effect.action.kind} {effect.action.target} ({effect.state.value}), this "
                        f"run wants {action.kind} {action.target}",
                        hint=f"tradeloop effects show {effect.key[:8]}",
                    )
                if self._allowed is not None and effect.action.digest != action.digest:
                    check(
                        effect.action, self._allowed, self._claim.desk, asked=asked
                    )  # an adopted one, as it is wanted now
                if effect.state in (EffectState.EXECUTED, EffectState.FAILED):
                    view: dict[str, Any] | None = _settled_view(effect)
                else:
                    view = await self._passed(effect, asked, told or {})
                if view is not None:
                    is_own = effect.action.digest == own.digest
                    return view if is_own else {**view, "action": effect.action.model_dump(mode="json")}

    async def _passed(self, effect: Effect, asked: bool, told: Mapping[str, Any]) -> dict[str, Any] | None:
        """What has not begun goes through the gate; what has begun is settled."""
        if effect.state is not EffectState.PREPARED:
            return await self._settle(effect, gated=False)
        passage = await self._gate.pass_through(
            self._claim, self._event, effect.slot, effect.action, asked=asked, told=told
        )
        if passage.way is not Way.REFUSED:
            return await self._settle(effect, gated=passage.way is Way.RELEASED)
        reason = f"{passage.state}: {passage.reason}"
        if not await self._ledger.refuse(self._owner, self._claim, effect.key, f"effect_{passage.state}", reason):
            raise RunLost(f"run {self._claim.run_id} belongs to another worker")
        return _view(effect, passage.state, {}, passage.reason)

    async def _settle(self, effect: Effect, *, gated: bool) -> dict[str, Any] | None:
        """Call, ask, or give up; None when the effect must be read again."""
        effector = self._effectors.get(effect.action.kind)
        if effector is None:  # adopted from a worker that has more effects than this one
            raise EffectUnanswered(f"this worker has no effect {effect.action.kind!r}; another may")
        target_class = _class_of(effector, effect.action)
        begun = await self._ledger.begin(
            self._owner, self._claim, effect.key, target_class, WITHIN_S[target_class], gated=gated
        )
        match begun.turn:
            case Turn.LOST:
                raise RunLost(f"run {self._claim.run_id} belongs to another worker")
            case Turn.STOPPED:
                raise SwitchedOff(begun.told)
            case Turn.HELD:
                raise ReleaseHeld(f"{effect.action.kind} {effect.action.target} is held: {begun.told}")
            case Turn.UNKNOWN:
                raise _unknown(effect, effect.error or "its caller did not come back")
            case Turn.SETTLED:
                return None
            case Turn.ASK:
                return await self._ask(effector, effect, begun)
            case Turn.CALL:
                return await self._call(effector, effect, begun, target_class)
            case _:
                assert_never(begun.turn)

    async def _call(
        self, effector: Effector, effect: Effect, begun: Begun, target_class: TargetClass
    ) -> dict[str, Any] | None:
        try:
            result = await effector.execute(effect, self._event)
        except (AirflowForbidden, DagUnavailable, EffectBlocked) as problem:
            await self._ledger.block(self._owner, self._claim, effect.key, problem.message)
            raise
        except (AirflowRefused, EffectConflict, EffectRefused) as problem:
            return await self._finish(effect, EffectState.FAILED, {}, problem.message)
        except Exception as problem:  # whatever it was, the call may have reached the target
            if target_class is TargetClass.QUERYABLE:
                return await self._ask(effector, effect, begun, problem)
            if target_class is TargetClass.BLIND or begun.is_overdue or isinstance(problem, OutcomeUnknown):
                await self._doubt(effect, str(problem) or type(problem).__name__)
                return None
            raise  # keyed: the same call again is safe
        return await self._finish(effect, EffectState.EXECUTED, _storable(result), "")

    async def _ask(
        self, effector: Effector, effect: Effect, begun: Begun, problem: Exception | None = None
    ) -> dict[str, Any] | None:
        """Ask the target. Absent is no proof while the old call may still be under way: later it is a person's."""
        if not isinstance(effector, Queryable):
            raise EffectInvalid(f"effect {effector.kind!r} is queryable and has no `find`")
        reason = f"{problem}; the target does not know it" if problem else "the target does not know it"
        try:
            found = await effector.find(effect)
        except Exception as away:
            if begun.is_overdue:
                await self._doubt(effect, f"the target could not be asked: {away}")
                return None
            raise
        if found is not None:
            return await self._finish(effect, EffectState.EXECUTED, _storable(found), "")
        if begun.is_overdue:
            await self._doubt(effect, reason)
            return None
        raise EffectUnanswered(f"{reason} yet: asked again") from problem

    async def _doubt(self, effect: Effect, reason: str) -> None:
        """Leave it to a person; returns when that was not needed any more."""
        if await self._ledger.doubt(self._owner, self._claim, effect.key, reason):
            raise _unknown(effect, reason)

    async def _finish(
        self, effect: Effect, state: EffectState, result: Mapping[str, JsonValue], error: str
    ) -> dict[str, Any]:
        executed = state is EffectState.EXECUTED
        for pause_s in (*DATABASE_PAUSES_S, None):
            try:
                await self._ledger.finish(
                    self._owner, self._claim, effect.key, executed=executed, result=result, error=error
                )
                break
            except DatabaseUnreachable:
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        return _view(effect, state, result, error)


def _class_of(effector: Effector, action: Action) -> TargetClass:
    return effector.class_for(action) if isinstance(effector, PerTarget) else effector.target_class


def _unknown(effect: Effect, reason: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"whether {effect.action.kind} {effect.action.target} happened is not known: {reason}",
        hint=f"tradeloop effects show {effect.key[:8]}",
    )


def _storable(result: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """The target's answer, or why it cannot be kept: the effect has happened all the same."""
    try:
        text = canonical_json(dict(result))
    except (TypeError, ValueError) as problem:
        return {"unstorable": str(problem)[:200]}
    reason = unstorable(text) or (f"{len(text):,} characters" if len(text) > MAX_RESULT_BYTES else "")
    return {"unstorable": reason} if reason else result


def _settled_view(effect: Effect) -> dict[str, Any]:
    """What the ledger knows; a refusal of the gate under its own word."""
    word, colon, reason = effect.error.partition(": ")
    if effect.state is EffectState.FAILED and colon and word in REFUSALS and effect.calls == 0:
        return _view(effect, word, {}, reason)
    return _view(effect, effect.state, effect.result, effect.error)


def _view(effect: Effect, state: str, result: Mapping[str, JsonValue], error: str) -> dict[str, Any]:
    return {
        "key": effect.key,
        "kind": effect.action.kind,
        "target": effect.action.target,
        "digest": effect.action.digest,
        "state": str(state),
        "result": dict(result),
        "error": error,
    }
