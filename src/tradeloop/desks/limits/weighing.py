"""What policy asks for because of one limit."""

from __future__ import annotations

from tradeloop.desks.limits.findings import Backtest, Cause, Checked, Finding, Rule
from tradeloop.desks.limits.policy import Outcome, Policy, State
from tradeloop.desks.limits.states import NEAR


def asked(policy: Policy, one: Checked, *, was_breached: bool) -> list[Finding]:
    """The findings of a limit's state: each asks for an answer, the most cautious will stand.

    The cause is told and weighs nothing: data, a move of the market or a model are no excuse for a breach.
    """
    if was_breached and one.is_doubtful and not (one.state is not None and one.state.is_breach):
        told = (
            f"{one.limit_id} was breached at the check before this one; its inputs are doubtful, so the breach stands"
        )
        return [_finding(Rule.CONSECUTIVE, told, one, policy.states[State.BREACH])]
    if one.state is None or one.state is State.OK:
        return []
    outcome = policy.states[one.state]
    if one.is_soft and one.state is State.BREACH:
        outcome = policy.soft_breach
    findings = [_finding(Rule.USED, _told(one), one, outcome)]
    if one.state.is_breach and was_breached:
        told = f"{one.limit_id} was breached at the check before this one, too"
        findings.append(_finding(Rule.CONSECUTIVE, told, one, policy.consecutive))
    if one.state.is_breach and one.is_loss:
        is_kill = max(one.utilisation or 0.0, one.checked or 0.0) >= float(policy.thresholds.kill_at) * (1 - NEAR)
        told = f"{one.limit_id} is a loss limit, and reached"
        findings.append(_finding(Rule.LOSS, told, one, Outcome.KILL_REQUEST if is_kill else policy.loss_breach))
    return findings


def told_of(one: Backtest) -> str:
    """A backtest as a sentence."""
    what = "the reported VaR" if one.is_reported else "the VaR of today's positions"
    return f"{what} was exceeded on {one.exceptions} of {one.days} days: zone {one.zone}"


def _told(one: Checked) -> str:
    used = "unknown" if one.utilisation is None else f"{one.utilisation:.4%}"
    value = "unknown" if one.value is None else f"{one.value:.10g}"
    told = f"{one.limit_id} ({one.metric}) is used to {used}: {value} of {one.limit:.10g}"
    if one.checked is not None and one.checked != one.utilisation:
        told += f"; with the last good inputs {one.checked:.4%}"
    if one.cause is not None:
        told += {
            Cause.TRUE: "",
            Cause.DATA_DRIVEN: "; doubtful inputs may have made the breach",
            Cause.PASSIVE: "; without any trade, by the market's move",
            Cause.TIMING: "; by fills that are not settled into their day",
            Cause.MODEL: "; by the model or its sample",
        }[one.cause]
    return told


def _finding(rule: Rule, sentence: str, one: Checked, outcome: Outcome) -> Finding:
    asks = None if outcome is Outcome.OK else outcome
    return Finding(rule=rule, sentence=sentence, limit_id=one.limit_id, asks=asks)
