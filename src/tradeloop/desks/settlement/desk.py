"""The settlement desk, as `desks.graph` makes a graph of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tradeloop.desks.desk import Desk, Json, Verdict
from tradeloop.desks.settlement.case import open_case
from tradeloop.desks.settlement.facts import gather, header_of, view_of
from tradeloop.desks.settlement.findings import Facts, Header
from tradeloop.desks.settlement.policy import Policy, load_policy
from tradeloop.desks.settlement.specialists import SPECIALISTS
from tradeloop.desks.settlement.verdict import CaseParams, ChaseParams, action_of, judge
from tradeloop.desks.settlement.warming import warm
from tradeloop.domain.actions import Action
from tradeloop.gate.allowed import Allowed
from tradeloop.gate.lattice import Lattice

EVENT_TYPE: Final = "settlement.status.received"


def desk_of(policy: Policy) -> Desk:
    """The desk under a policy."""

    def load(data: Json, root: Path) -> Json:
        case, advice, digest = open_case(data, root)
        return header_of(view_of(policy, case, advice), digest).model_dump(mode="json")

    def facts(data: Json, root: Path) -> Json:
        case, advice, _ = open_case(data, root)
        return gather(view_of(policy, case, advice)).model_dump(mode="json")

    def judged(header: Json, found: Json) -> Verdict:
        return judge(policy, Header.model_validate(header), Facts.model_validate(found))

    def action(header: Json, found: Json, outcome: str) -> Action | None:
        return action_of(policy, Header.model_validate(header), Facts.model_validate(found), outcome)

    return Desk(
        name="settlement",
        event_type=EVENT_TYPE,
        policy=policy,
        lattice=Lattice(tuple(outcome.value for outcome in policy.lattice)),
        load=load,
        facts=facts,
        judge=judged,
        action=action,
        allowed=(
            Allowed("trigger_dag", r"settlement_[a-z0-9_]{1,100}", CaseParams),
            Allowed("trigger_dag", r"chase_[a-z0-9_]{1,100}", ChaseParams),
        ),
        specialists=SPECIALISTS,
        warm=warm,
    )


DESK: Final = desk_of(load_policy())
"""Under the policy that was in force when the process started."""
