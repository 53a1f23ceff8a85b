"""Why a run does not move, in one sentence; on the list and on the run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tradeloop.domain.approvals import Approval
from tradeloop.domain.runs import RunState, RunView
from tradeloop.report.words import count, said

SWITCHED_OFF = "switched off: "


def why(run: RunView, approvals: Sequence[Approval] = (), ahead: RunView | None = None) -> str:
    """What the run waits for, or how it ended.

    Args:
        run: as the store tells it.
        approvals: of this run; only open ones matter here.
        ahead: an earlier event of the same subject that is still at work.
    """
    if run.state.is_final:
        return _ended(run)
    match run.state:
        case RunState.RETRYING:
            told = _tried(run)
        case RunState.PARKED:
            told = _asked([one for one in approvals if one.state.is_open])
        case RunState.OUTCOME_UNKNOWN:
            told = f"Outcome unknown: {_effect(run)}; a person must say what happened"
        case RunState.VERSION_UNAVAILABLE:
            told = f"Graph version {run.graph_version[:8]} is no longer deployed: runs move takes it to another"
        case RunState.RUNNING:
            told = "A worker is at it"
        case _:
            told = "Waits for a free worker"
            if ahead is not None:
                told = f"Waits: earlier event of {run.subject} still runs ({str(ahead.decision_id)[:8]}…)"
    return told


def _ended(run: RunView) -> str:
    if run.state is RunState.UNHANDLED:
        return f"No desk answers {run.event_type}"
    if run.decision is None or run.state is not RunState.DONE:
        word = said(run.state.value).capitalize()
        return f"{word}: {run.error}" if run.error else word
    told = f"Decided {said(run.decision.outcome)} by {run.decision.decided_by}"
    return f"{told}; {_effect(run)}" if run.effect else f"{told}; nothing was to be done"


def _tried(run: RunView) -> str:
    if run.error.startswith(SWITCHED_OFF):
        return f"Rests: {run.error.removeprefix(SWITCHED_OFF)}"
    return f"Tries again, {count(run.fails, 'failure')} so far: {run.error or 'no word'}"


def _asked(approvals: Sequence[Approval]) -> str:
    if not approvals:
        return "Waits for a person"
    first = min(approvals, key=lambda one: one.deadline_at)
    missing = first.requirement.needs - len(first.approvals)
    who = "an approver" if first.requirement.needs == 1 else f"{missing} more approver{'s' if missing > 1 else ''}"
    return f"Waits for {who}, deadline {_clock(first.deadline_at)}"


def _effect(run: RunView) -> str:
    kind, target, state = (str(run.effect.get(name, "")) for name in ("kind", "target", "state"))
    return f"{kind} {target} {said(state)}".strip() or "no effect"


def _clock(at: datetime) -> str:
    return (
        at.strftime("%Y-%m-%d %H:%M:%SZ") if at.date() != datetime.now(at.tzinfo).date() else at.strftime("%H:%M:%SZ")
    )
