"""The settlement desk's part of the benchmark: status messages from code x inventory x age x linked x narrative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Protocol  # Any: facts of an answered case

from tradeloop.bench.desks.case import Case, Split, generator
from tradeloop.bench.desks.settlement_cases import made
from tradeloop.bench.desks.settlement_kinds import KINDS
from tradeloop.desks.desk import Desk
from tradeloop.desks.settlement.desk import desk_of
from tradeloop.desks.settlement.policy import SHIPPED, load_policy
from tradeloop.domain.decisions import Decision

SHARES: Final = {"clean": 0.25, "control": 0.10, "single": 0.45, "compound": 0.10, "adversarial": 0.10}
"""Of all cases, by difficulty; within one, evenly over its kinds."""
MANY: Final = 1000
"""From so many cases on, every kind has at least FLOOR."""
FLOOR: Final = 100


class Answered(Protocol):
    """What became of a case, as far as the aims look at it."""

    @property
    def is_right(self) -> bool:
        """Whether the outcome is one of those that are right."""
        ...


class SettlementBench:
    """Labelled cases of settlement fails."""

    def __init__(self) -> None:
        self._desk = desk_of(load_policy(SHIPPED))

    @property
    def desk(self) -> Desk:
        """The desk, under the policy that ships."""
        return self._desk

    def cases(self, seed: int, count: int, split: Split, data: Path | None) -> Iterator[Case]:  # noqa: ARG002
        """Labelled cases; all synthetic, so `data` is not looked at."""
        for kind, (difficulty, _) in KINDS.items():
            beside = sum(other == difficulty for other, _ in KINDS.values())
            for number in range(max(FLOOR if count >= MANY else 1, round(count * SHARES[difficulty] / beside))):
                yield made(kind, number, split, generator(seed, "settlement", kind, number, split))

    def score(self, case: Case, facts: dict[str, Any], decision: Decision) -> Mapping[str, float]:
        """Whether the next action is right, the fault is named and the penalty is exact."""
        found = {
            "next_action": float(decision.outcome in case.acceptable),
            "fault_named": float(facts["fault"] == case.labels["fault"]),
        }
        if "penalty" in case.labels:
            found["penalty_exact"] = float(facts["penalty"].get("accrued") == case.labels["penalty"])
        return found

    def aims(self, answered: Sequence[Answered], scores: Mapping[str, float]) -> list[tuple[str, bool]]:
        """What the desk must reach."""
        right = fmean(float(one.is_right) for one in answered)
        return [
            (f"next action {right:.4f}; target 0.99", right >= 0.99),
            (f"fault party {scores['fault_named']:.4f}; target 0.99", scores["fault_named"] >= 0.99),
            (f"penalties exact to 0.01 {scores['penalty_exact']:.4f}; target 1", scores["penalty_exact"] == 1),
        ]


BENCH: Final = SettlementBench()
