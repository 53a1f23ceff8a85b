"""From facts to a decision by policy, and to the action that an outcome has."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal  # Any: JSON as an action's parameters

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.desks.desk import Verdict
from tradeloop.desks.limits.findings import Cause, Checked, Facts, Header
from tradeloop.desks.limits.policy import Outcome, Policy, State
from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.gate.allowed import Allowed

LISTED: Final = 50
"""Limits that an action names; the most used first."""

LimitId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,59}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[str, Field(pattern=r"^([0-9]{1,8}\.[0-9]{6})?$")]


class LimitParams(BaseModel):
    """One limit, as an action names it."""

    model_config = ConfigDict(extra="forbid")

    limit_id: LimitId
    metric: str = Field(pattern=r"^[A-Z0-9_]{1,30}$")
    version: Code
    owner: Code
    state: str = Field(pattern=r"^(OK|WARN|BREACH|HARD)?$")
    utilisation: Share
    cause: str = Field(pattern=r"^(TRUE|DATA_DRIVEN|PASSIVE|TIMING|MODEL)?$")


class CheckParams(BaseModel):
    """What every DAG of the desk is told."""

    model_config = ConfigDict(extra="forbid")

    scope_kind: Literal["account", "desk", "book", "firm"]
    scope: LimitId
    as_of: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    limits: list[LimitParams] = Field(max_length=LISTED)
    more: int = Field(ge=0, le=1000)
    """Limits beyond those listed."""
    limits_sha256: Digest
    positions_sha256: Digest
    recheck: bool
    """Whether the inputs are to be asked for again besides."""


class NotifyParams(CheckParams):
    """Tell the owners."""

    outcome: Literal["WARN", "BREACH_NOTIFY"]


class CaseParams(CheckParams):
    """Open a case for a person to approve or cure."""

    outcome: Literal["REQUEST_APPROVAL"]


class BlockParams(CheckParams):
    """Set the flag that blocks new risk; nobody but a person takes it away."""

    outcome: Literal["BLOCK_NEW_RISK", "KILL_REQUEST"]


class RecheckParams(CheckParams):
    """Ask for the inputs again."""

    outcome: Literal["RECHECK_DATA"]
    attempt: int = Field(ge=1, le=1001)


ALLOWED: Final = (
    Allowed("trigger_dag", r"limits_notify(_[a-z0-9_]{1,80})?", NotifyParams),
    Allowed("trigger_dag", r"limits_case(_[a-z0-9_]{1,80})?", CaseParams),
    Allowed("trigger_dag", r"limits_block(_[a-z0-9_]{1,80})?", BlockParams),
    Allowed("trigger_dag", r"limits_recheck(_[a-z0-9_]{1,80})?", RecheckParams),
)
"""Tell, open a case, block, ask again. No DAG changes a limit, trades, or takes a block away."""


def judge(policy: Policy, header: Header, facts: Facts) -> Verdict:
    """Policy's answer: the most cautious outcome that a finding asks for.

    Nothing is ever left to the agents (`ambiguous` is empty): asked where something is not plain, they may only be more
    cautious, explain and cite.
    """
    asking = [(one.asks, one) for one in facts.findings if one.asks is not None]
    outcome = max((asks for asks, _ in asking), key=policy.caution, default=Outcome.OK)
    asking.sort(key=lambda pair: -policy.caution(pair[0]))
    notes = [f"{one.sentence} [{one.id}]" for one in facts.findings if one.asks is None]
    used = [one.utilisation for one in facts.limits if one.utilisation is not None]
    told = f"{len(facts.limits)} limits checked, the most used to {max(used, default=0.0):.2%}"
    decision = Decision(
        outcome=outcome.value,
        reasons=[*(f"{asks}: {one.sentence} [{one.id}]" for asks, one in asking), *notes, told],
        findings=[one.model_dump(mode="json", exclude_none=True) for one in facts.findings],
        policy_version=policy.version,
        policy_hash=policy.digest,
    )
    is_plain = all(one.cause in (None, Cause.TRUE) and not one.is_doubtful for one in facts.limits)
    return Verdict(decision=decision, asks=bool(asking) and not is_plain, quoted=dict(header.notes))


def action_of(policy: Policy, header: Header, facts: Facts, outcome: str) -> Action | None:
    """The action of an outcome, of typed values alone."""
    chosen = policy.actions[Outcome(outcome)]
    if chosen is None:
        return None
    concerned = sorted(
        (one for one in facts.limits if one.state is not State.OK or one.is_doubtful),
        key=lambda one: -max(one.utilisation or 0.0, one.checked or 0.0),
    )
    params: dict[str, Any] = {
        "scope_kind": header.scope_kind,
        "scope": header.scope,
        "as_of": header.as_of.isoformat(),
        "limits": [_named(one) for one in concerned[:LISTED]],
        "more": max(0, len(concerned) - LISTED),
        "limits_sha256": header.inputs["limits"],
        "positions_sha256": header.inputs["positions"],
        "recheck": any(one.asks is policy.data for one in facts.findings),
        "outcome": outcome,
    }
    if outcome == Outcome.RECHECK_DATA:
        params["attempt"] = header.attempt + 1
    return Action(kind=chosen.kind, target=chosen.target, params=params)


def _named(one: Checked) -> dict[str, Any]:
    return {
        "limit_id": one.limit_id,
        "metric": one.metric,
        "version": one.version,
        "owner": one.owner,
        "state": one.state.value if one.state is not None else "",
        "utilisation": "" if one.utilisation is None else f"{one.utilisation:.6f}",
        "cause": one.cause.value if one.cause is not None else "",
    }
