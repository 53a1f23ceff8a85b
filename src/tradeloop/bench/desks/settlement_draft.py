"""A settlement case on its way: what the generator decides before a message is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final  # Any: fields of an event's data

import numpy as np

from tradeloop.bench.desks import settlement_truth as truth
from tradeloop.bench.desks.case import Split
from tradeloop.bench.desks.settlement_texts import HARMLESS

ORDER: Final = (
    "MONITOR",
    "CHASE_COUNTERPARTY",
    "PROPOSE_INSTRUCTION_FIX",
    "PROPOSE_PARTIAL",
    "PROPOSE_BORROW_OR_RECALL",
    "PROPOSE_FUNDING",
    "RELEASE_HOLD_REQUEST",
    "ESCALATE",
)
ACTS: Final = {"MONITOR", "CHASE_COUNTERPARTY"}
"""Outcomes that start something by themselves."""
AMOUNT_BOUND: Final = {"EUR": 10_000_000, "GBP": 8_500_000}
PENALTY_BOUND: Final = {"EUR": 1_000, "GBP": 850}
AGE_BOUND: Final = 4
CHASES_BOUND: Final = 3


@dataclass
class Draft:
    """A case on its way."""

    rng: np.random.Generator
    split: Split
    currency: str = "EUR"
    asset: str = "liquid_share"
    value: float = 50_000.0
    """What the securities are worth, in the currency."""
    is_delivery: bool = True
    age: int = 0
    """Business days after the settlement date; negative: before."""
    statuses: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    narrative: str = ""
    forged: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the event's data."""
    outcome: str = "MONITOR"
    fault: str = "neither"
    is_cash: bool = False
    lot: int = 1
    quantity: Decimal = Decimal(0)
    price: Decimal = Decimal(0)

    def one(self, *choices: Any) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def odds(self, share: float) -> bool:
        """True in this share of cases."""
        return bool(self.rng.random() < share)

    @property
    def is_bond(self) -> bool:
        """Whether it is quoted in per cent of its face amount."""
        return self.asset.endswith("bond")


def started(rng: np.random.Generator, split: Split) -> Draft:
    """A quiet instruction: below every threshold, whatever its age up to three days."""
    draft = Draft(rng, split)
    draft.currency = draft.one("EUR", "EUR", "GBP")
    draft.asset = draft.one(*truth.RATES)
    draft.is_delivery = draft.odds(0.5)
    draft.lot = draft.one(1, 1, 10, 100)
    draft.value = 10 ** rng.uniform(3.3, 5.8)
    if draft.odds(0.5):
        draft.narrative = draft.one(*HARMLESS)
    return draft


def reasoned(draft: Draft, status: str, *codes: str) -> None:
    """Put reasons under a status that can have them at the draft's age."""
    if status == "MTCH":
        draft.statuses.append(("MTCH", "NMAT", codes))
        return
    if draft.age > 0 or set(codes) & set(truth.FAILING_ONLY):
        draft.age = max(draft.age, 0)
        code = "PENF"
    else:
        code = "PEND"
    if draft.odds(0.4):
        draft.statuses.append(("MTCH", "MACH", ()))
    draft.statuses.append(("SETT", code, codes))
