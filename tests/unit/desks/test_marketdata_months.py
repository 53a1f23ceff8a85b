"""All real months, and seeded injuries to them: the figures that docs/desks/marketdata.md shows.

Bounds are honest: what the measured rate allows, not what would look good. `python test_marketdata_months.py` prints
the tables with more cases.
"""

from __future__ import annotations

from collections import Counter

import pytest
from desk import answer
from sp500 import month, months
from spoiling import INJURIES, spoiled

SEED = 20261123
CASES = 60
EXACT = {
    "one bar x 100", "one bar / 100", "level x or / 2..20", "session dropped", "end missing", "row doubled, alike",
    "row doubled, conflicting", "stale row", "high and low swapped", "price empty", "price negative", "bar on a Sunday",
}  # fmt: skip
ACCEPTED_AT_MOST = {"spike 6-12 %": 0.05, "spike 6-12 %, close only": 0.15, "last bar off 12-40 %": 0.04}
"""Share of a kind that passes as clean. What is not named here never passes."""


def measure(kind: str, cases: int, seed: int) -> tuple[Counter[str], int]:
    """Decisions by outcome, and how often the right rule was named."""
    outcomes: Counter[str] = Counter()
    named = 0
    for number in range(cases):
        decision, facts = answer(spoiled(kind, number, seed))
        outcomes[decision.outcome] += 1
        named += any(finding.rule in INJURIES[kind].rules for finding in facts.findings)
    return outcomes, named


def test_of_234_real_months_all_but_the_extreme_ones_are_accepted() -> None:
    answers = {period: answer(month(period))[0].outcome for period in months()}

    assert len(answers) == 234
    assert {period: outcome for period, outcome in answers.items() if outcome != "ACCEPT"} == {
        "2000-04": "ESCALATE",  # −5.8 % on the 14th
        "2008-09": "ESCALATE",  # −8.8 % on the 29th
        "2008-10": "ESCALATE",  # four days beyond 7 %
        "2011-08": "ESCALATE",  # −6.7 % on the 8th, two thirds of it back on the 9th
    }


@pytest.mark.parametrize("kind", INJURIES)
def test_injuries_are_found(kind: str) -> None:
    outcomes, named = measure(kind, CASES, SEED)

    assert outcomes["ACCEPT"] <= ACCEPTED_AT_MOST.get(kind, 0.0) * CASES
    assert sum(outcomes[right] for right in INJURIES[kind].right) >= 0.85 * CASES
    if kind in EXACT:
        assert named == CASES


def print_tables(cases: int = 300, seeds: tuple[int, ...] = (7, SEED)) -> None:
    """The tables of the desk's page."""
    print(Counter(answer(month(period))[0].outcome for period in months()))
    for seed in seeds:
        print(f"\nseed {seed}, {cases} cases a kind\n| injury | rule named | right decision | accepted | decisions |")
        for kind, injury in INJURIES.items():
            outcomes, named = measure(kind, cases, seed)
            right = sum(outcomes[each] for each in injury.right)
            listed = ", ".join(f"{name} {count}" for name, count in outcomes.most_common())
            rates = " | ".join(f"{share / cases:.1%}" for share in (named, right, outcomes["ACCEPT"]))
            print(f"| {kind} | {rates} | {listed} |")


if __name__ == "__main__":
    print_tables()
