"""The market-data desk, as the generic graph takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tradeloop.desks.desk import Desk, Json, Specialist, Verdict
from tradeloop.desks.marketdata import evidence, verdict
from tradeloop.desks.marketdata.batch import open_batch
from tradeloop.desks.marketdata.facts import gather
from tradeloop.desks.marketdata.findings import Facts
from tradeloop.desks.marketdata.orders import allowed
from tradeloop.desks.marketdata.policy import Outcome, Policy, load_policy
from tradeloop.desks.marketdata.sessions import warm
from tradeloop.desks.marketdata.verdict import BatchHeader
from tradeloop.domain.actions import Action
from tradeloop.gate.lattice import Lattice

EVENT_TYPE: Final = "marketdata.batch.loaded"

SPECIALISTS: Final = (
    Specialist(
        "data_quality",
        "Judge whether the bars named are misprints. Compare the move with what the second source says of the same"
        " bar, and look at how the next bar reverses it. A second source that agrees speaks for a true move; one that"
        " has another close speaks for a misprint. No second source: say that it cannot be told.",
        evidence.second_source,
    ),
    Specialist(
        "market_context",
        "Judge whether something announced explains the bars named: a split, dividend or spin-off near the day, a"
        " halt, a session of another length. A factor that fits the move explains it; anything else does not.",
        evidence.market_context,
    ),
    Specialist(
        "operations",
        "Judge what was right in earlier cases of the same rule and size. Few cases, or cases that ended differently,"
        " speak for asking a person.",
        evidence.like_cases,
    ),
)


def desk_of(policy: Policy) -> Desk:
    """The desk under a policy."""

    def load(data: Json, root: Path) -> Json:
        batch, digest = open_batch(data, root)
        return BatchHeader.of(batch, digest).model_dump(mode="json")

    def facts(data: Json, root: Path) -> Json:
        batch, _ = open_batch(data, root)
        return gather(batch, policy.thresholds).model_dump(mode="json")

    def judge(header: Json, found: Json) -> Verdict:
        known, seen = BatchHeader.model_validate(header), Facts.model_validate(found)
        asks, open_outcomes = verdict.left_open(policy, known, seen)
        ambiguous = tuple(outcome.value for outcome in open_outcomes)
        return Verdict(verdict.judge(policy, known, seen), ambiguous, asks, {"symbol": known.symbol})

    def action(header: Json, found: Json, outcome: str) -> Action | None:
        known, seen = BatchHeader.model_validate(header), Facts.model_validate(found)
        return verdict.action(policy, known, seen, Outcome(outcome))

    def asks(header: Json, found: Json, outcome: str) -> Action | None:
        known, seen = BatchHeader.model_validate(header), Facts.model_validate(found)
        return verdict.asked_action(policy, known, seen, Outcome(outcome))

    return Desk(
        name="marketdata",
        event_type=EVENT_TYPE,
        policy=policy,
        lattice=Lattice(tuple(outcome.value for outcome in policy.lattice)),
        load=load,
        facts=facts,
        judge=judge,
        action=action,
        allowed=allowed(policy),
        asks=asks,
        specialists=SPECIALISTS,
        warm=warm,
    )


DESK: Final = desk_of(load_policy())
"""Under the policy that was in force when the process started."""
