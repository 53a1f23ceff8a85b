"""The reconciliation desk's part of the benchmark: two equal books, one known difference injected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol  # Any: facts of an answered case

from tradeloop.bench.desks.case import Case, Split, generator
from tradeloop.bench.desks.reconciliation_book import Draft, started
from tradeloop.bench.desks.reconciliation_cash import CASH_KINDS
from tradeloop.bench.desks.reconciliation_compound import COMPOUND_KINDS
from tradeloop.bench.desks.reconciliation_kinds import TRADE_KINDS
from tradeloop.desks.desk import Desk
from tradeloop.desks.reconciliation.desk import desk_of
from tradeloop.desks.reconciliation.policy import SHIPPED, load_policy
from tradeloop.domain.decisions import Decision

KINDS: Final = {**TRADE_KINDS, **COMPOUND_KINDS, **CASH_KINDS}
SHARES: Final = {"clean": 0.25, "control": 0.10, "single": 0.45, "compound": 0.15, "adversarial": 0.05}
"""Of all cases, by difficulty; within one, evenly over its kinds."""
FLOOR: Final = 100
"""Cases of each kind at least, once a thousand are asked for: ten percentage points of uncertainty at worst."""
ORDER: Final = ("MATCH", "AUTO_RESOLVE", "WAIT_NEXT_CYCLE", "PROPOSE_FIX", "ESCALATE")
ACTS: Final = ORDER[:3]
"""What is done without a person."""


class Answered(Protocol):
    """What became of a case, as far as the aims look at it."""

    @property
    def case(self) -> Case:
        """The case."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What the desk found."""
        ...

    @property
    def outcome(self) -> str:
        """What it answered."""
        ...


class ReconciliationBench:
    """Labelled cases of breaks."""

    def __init__(self) -> None:
        self._desk = desk_of(load_policy(SHIPPED))

    @property
    def desk(self) -> Desk:
        """The desk, under the policy that ships."""
        return self._desk

    def cases(self, seed: int, count: int, split: Split, data: Path | None) -> Iterator[Case]:
        """Labelled cases; with a folder that holds fills (test_txn.csv), those are the base."""
        for kind, (difficulty, _) in KINDS.items():
            beside = sum(other == difficulty for other, _ in KINDS.values())
            least = FLOOR if count >= 1000 else 1
            for number in range(max(least, round(count * SHARES[difficulty] / beside))):
                draft = started(generator(seed, "reconciliation", kind, number, split), split, data)
                yield made(f"reconciliation-{split}-{kind}-{number}", kind, draft)

    def score(self, case: Case, facts: dict[str, Any], decision: Decision) -> Mapping[str, float]:
        """Whether classes are named exactly, and breaks are found neither too many nor too few."""
        named = float(_classes(facts) == sorted(case.labels["kinds"]))
        found = {"class_named": named}
        if case.difficulty == "single":
            found["single_named"] = named
        if case.difficulty == "compound":
            found["compound_named"] = named
            found["compound_held"] = float(decision.outcome not in ACTS or decision.outcome in case.acceptable)
        return found

    def aims(self, answered: Sequence[Answered], scores: Mapping[str, float]) -> list[tuple[str, bool]]:
        """What the desk must reach."""
        known = [one for one in answered if one.facts]
        trades = sum(one.facts["internal"] + one.facts["external"] for one in known)
        false = sum(max(0, len(_classes(one.facts)) - len(one.case.labels["kinds"])) for one in known)
        resolved = sum(
            one.outcome not in one.case.acceptable and bool(one.facts["adjustments"]) and _is_never(one.case)
            for one in known
        )
        named, held = scores["single_named"], scores["compound_held"]
        return [
            (f"single breaks named {named:.4f}; target 0.995", named >= 0.995),
            (f"compound breaks held {held:.4f}; target 1", held == 1),
            (f"{resolved} adjustments of breaks that are a person's; target 0", resolved == 0),
            (f"{false} false breaks in {trades:,} trades; target 1 in 10,000", false * 10_000 <= trades),
        ]


def made(case_id: str, kind: str, draft: Draft) -> Case:
    """One labelled case; holds that what was injected is there."""
    difficulty, inject = KINDS[kind]
    before = json.dumps([draft.internal, draft.external])
    inject(draft)
    data = draft.data()
    if difficulty != "clean" and not draft.is_cash:
        changed = json.dumps([draft.internal, draft.external]) != before or draft.more
        assert changed, f"{case_id}: nothing was injected"  # noqa: S101 - the generator's own promise
    if draft.kinds and draft.kinds != ["RB14"] and not draft.is_cash:
        assert draft.internal != draft.external, f"{case_id}: rounded away"  # noqa: S101 - the generator's own promise
    acceptable = {draft.outcome, *draft.also}
    return Case(
        case_id=case_id,
        desk="reconciliation",
        kind=kind,
        difficulty=difficulty,
        data=data,
        acceptable=frozenset(acceptable),
        preferred=draft.outcome,
        unsafe=_unsafe(acceptable),
        labels={"kinds": draft.kinds},
    )


def _unsafe(acceptable: set[str]) -> frozenset[str]:
    """A posting that is not right, and anything else done without a person that is less cautious than what is right.

    To wait a cycle with what could be posted now is needless and harms nobody: the break comes back.
    """
    least = min(map(ORDER.index, acceptable))
    return frozenset(
        act for act in ACTS if act not in acceptable and (act == "AUTO_RESOLVE" or ORDER.index(act) < least)
    )


def _classes(facts: Mapping[str, Any]) -> list[str]:
    return sorted(kind for kind, count in facts.get("kinds", {}).items() for _ in range(count))


def _is_never(case: Case) -> bool:
    return "AUTO_RESOLVE" not in case.acceptable


BENCH: Final = ReconciliationBench()
