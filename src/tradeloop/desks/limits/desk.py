"""The risk-limits desk, as `desks.graph` makes a graph of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tradeloop.desks.desk import Desk, Json, Verdict
from tradeloop.desks.limits.case import case_of
from tradeloop.desks.limits.facts import gather, header_of
from tradeloop.desks.limits.findings import Facts, Header
from tradeloop.desks.limits.policy import Policy, load_policy
from tradeloop.desks.limits.specialists import SPECIALISTS
from tradeloop.desks.limits.verdict import ALLOWED, action_of, judge
from tradeloop.desks.limits.warming import warm
from tradeloop.domain.actions import Action
from tradeloop.gate.lattice import Lattice

EVENT_TYPE: Final = "limits.check.requested"


def desk_of(policy: Policy) -> Desk:
    """The desk under a policy."""

    def load(data: Json, root: Path) -> Json:
        return header_of(case_of(data), root).model_dump(mode="json")

    def facts(data: Json, root: Path) -> Json:
        return gather(case_of(data), policy, root).model_dump(mode="json")

    def judged(header: Json, found: Json) -> Verdict:
        return judge(policy, Header.model_validate(header), Facts.model_validate(found))

    def action(header: Json, found: Json, outcome: str) -> Action | None:
        return action_of(policy, Header.model_validate(header), Facts.model_validate(found), outcome)

    return Desk(
        name="limits",
        event_type=EVENT_TYPE,
        policy=policy,
        lattice=Lattice(tuple(outcome.value for outcome in policy.lattice)),
        load=load,
        facts=facts,
        judge=judged,
        action=action,
        allowed=ALLOWED,
        specialists=SPECIALISTS,
        warm=warm,
    )


DESK: Final = desk_of(load_policy())
"""Under the policy that was in force when the process started."""
