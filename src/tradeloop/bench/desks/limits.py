"""The risk-limits desk's part of the benchmark: books against limits whose use is known, with doubtful inputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Protocol  # Any: facts of an answered case

from tradeloop.bench.desks.case import Case, Split, generator
from tradeloop.bench.desks.limits_cases import made
from tradeloop.bench.desks.limits_kinds import KINDS
from tradeloop.desks.desk import Desk
from tradeloop.desks.limits.desk import desk_of
from tradeloop.desks.limits.policy import SHIPPED, load_policy
from tradeloop.domain.decisions import Decision

SHARES: Final = {"clean": 0.25, "control": 0.10, "single": 0.45, "compound": 0.10, "adversarial": 0.10}
"""Of all cases, by difficulty; within one, evenly over its kinds."""
FULL: Final = 1000
"""From so many cases on each kind has at least LEAST."""
LEAST: Final = 100
EXACT: Final = 1e-9
BREACHES: Final = ("BREACH", "HARD")


class Answered(Protocol):
    """What became of a case, as far as the aims look at it."""

    @property
    def case(self) -> Case:
        """The case."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """The desk's facts; empty: it was refused."""
        ...

    @property
    def is_right(self) -> bool:
        """Whether the outcome is one of those that are right."""
        ...


class LimitsBench:
    """Labelled cases of limit checks."""

    def __init__(self) -> None:
        self._desk = desk_of(load_policy(SHIPPED))

    @property
    def desk(self) -> Desk:
        """The desk, under the policy that ships."""
        return self._desk

    def cases(self, seed: int, count: int, split: Split, data: Path | None) -> Iterator[Case]:
        """Labelled cases; books of the real fills below `data` where it has them, else drawn."""
        for kind, (difficulty, _) in KINDS.items():
            beside = sum(other == difficulty for other, _ in KINDS.values())
            number = max(1, round(count * SHARES[difficulty] / beside))
            for at in range(max(number, LEAST) if count >= FULL else number):
                yield made(kind, at, split, generator(seed, "limits", kind, at, split), data)

    def score(self, case: Case, facts: dict[str, Any], decision: Decision) -> Mapping[str, float]:
        """Whether figures agree with the recomputation, every breach is found, and causes are named."""
        found = {"answered_right": float(decision.outcome in case.acceptable)}
        if "utilisation" not in case.labels:
            return found
        limits = {one["limit_id"]: one for one in facts["limits"]}
        found["utilisation_exact"] = float(
            all(is_exact(limits[name]["utilisation"], used) for name, used in case.labels["utilisation"].items())
        )
        if breached := case.labels["breached"]:
            found["breach_recall"] = fmean(float(limits[name]["state"] in BREACHES) for name in breached)
        if causes := case.labels["causes"]:
            found["cause_named"] = fmean(float(limits[name]["cause"] == cause) for name, cause in causes.items())
        return found

    def aims(self, answered: Sequence[Answered], scores: Mapping[str, float]) -> list[tuple[str, bool]]:
        """What the desk must reach."""
        right = fmean(float(one.is_right) for one in answered)
        by_class = f1_by_class(answered)
        macro = fmean(by_class.values()) if by_class else 0.0
        told = ", ".join(f"{name} {share:.3f}" for name, share in sorted(by_class.items()))
        exact, recall = scores["utilisation_exact"], scores["breach_recall"]
        return [
            (f"utilisation within 1e-9 of the recomputation {exact:.4f}; target 1", exact == 1),
            (f"breach recall {recall:.4f}; target 1", recall == 1),
            (f"decision {right:.4f}; target 0.99", right >= 0.99),
            (f"cause macro-F1 {macro:.4f} ({told}); target 0.95", macro >= 0.95),
        ]


def is_exact(found: float | None, used: float) -> bool:
    """Whether both figures are one, up to 1e-9 of it."""
    return found is not None and math.isclose(found, used, rel_tol=EXACT, abs_tol=EXACT)


def f1_by_class(answered: Sequence[Answered]) -> dict[str, float]:
    """F1 of each cause that was made or named, over breaches whose cause is known."""
    hits: Counter[str] = Counter()
    made_of: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for one in answered:
        limits = {limit["limit_id"]: limit for limit in one.facts.get("limits", [])}
        for name, cause in one.case.labels.get("causes", {}).items():
            told = limits.get(name, {}).get("cause") or "none"
            made_of[cause] += 1
            named[told] += 1
            hits[cause] += told == cause
    return {name: 2 * hits[name] / (made_of[name] + named[name]) for name in made_of | named}


BENCH: Final = LimitsBench()
