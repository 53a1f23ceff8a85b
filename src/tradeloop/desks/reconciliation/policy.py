"""The reconciliation desk's policy: tolerances, budgets and answers that the firm owns, as data."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tradeloop.gate.policy_file import PolicyFile, PolicyPart, need_all, read_policy

SHIPPED: Final = Path(__file__).with_name("policy.yaml")


class Outcome(StrEnum):
    """The desk's answers; the policy's lattice orders them."""

    MATCH = "MATCH"
    AUTO_RESOLVE = "AUTO_RESOLVE"
    WAIT_NEXT_CYCLE = "WAIT_NEXT_CYCLE"
    PROPOSE_FIX = "PROPOSE_FIX"
    ESCALATE = "ESCALATE"


class BreakClass(StrEnum):
    """What differs; numbers as in the desk's page (docs/desks/reconciliation.md)."""

    MISSING_THERE = "RB01"
    MISSING_HERE = "RB02"
    QUANTITY = "RB03"
    PRICE_TOLERANCE = "RB04"
    PRICE = "RB05"
    SETTLE_DATE = "RB06"
    TRADE_DATE = "RB07"
    DUPLICATE = "RB08"
    SIDE = "RB09"
    FEE = "RB10"
    ROUNDING = "RB11"
    IDENTIFIER = "RB12"
    LATE = "RB13"
    ALLOCATION = "RB14"
    PARTY = "RB15"
    CORPORATE_ACTION = "RB16"
    COMPOUND = "RB17"
    CASH_MISSING = "CB01"
    CASH_VALUE_DATE = "CB02"
    CASH_CHARGES = "CB03"
    CASH_DUPLICATE = "CB04"
    CASH_FX = "CB05"
    CASH_CHAIN = "CB06"


RESOLVABLE: Final = frozenset({BreakClass.PRICE_TOLERANCE, BreakClass.FEE, BreakClass.ROUNDING, BreakClass.ALLOCATION})
"""Classes that a policy may let resolve by themselves; no other can be, whatever a policy says."""

Figure = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=30)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Tolerance(PolicyPart):
    """How large a difference may be: both bounds hold at once."""

    absolute: Figure
    """In the currency, times its scale."""
    relative: Figure
    """Of the larger of both figures."""


class Budget(PolicyPart):
    """What may be resolved automatically on one account and day."""

    count: int = Field(ge=0, le=100_000)
    notional: Figure
    """Sum of the adjustments' sizes, in the currency, times its scale."""


class Drift(PolicyPart):
    """When small differences that all go one way are no accident: a two-sided sign test."""

    breaks_min: int = Field(ge=2, le=10_000)
    p_max: float = Field(gt=0, lt=1)


class Search(PolicyPart):
    """Bounds of the searches among what did not match."""

    group_members: int = Field(ge=2, le=16)
    group_candidates: int = Field(ge=2, le=40)
    block_rows: int = Field(ge=2, le=4_000)
    cost_max: float = Field(gt=0, le=100)
    margin_min: float = Field(ge=0, le=100)


class ClassPolicy(PolicyPart):
    """What a break of one class leads to."""

    title: str = Field(min_length=1, max_length=80)
    decision: Outcome
    otherwise: Outcome = Outcome.ESCALATE
    """When the class's own condition does not hold: outside of the tolerance, after the cut-off, waited before."""
    severity: Literal["LOW", "MEDIUM", "HIGH"] = "MEDIUM"
    ambiguous: tuple[Outcome, ...] = ()
    """Less cautious answers that agents may give; each of them waits, or is a person's to approve."""

    @model_validator(mode="after")
    def _nothing_resolved(self) -> Self:
        for outcome in self.ambiguous:
            if outcome not in (Outcome.WAIT_NEXT_CYCLE, Outcome.PROPOSE_FIX):
                raise ValueError(f"ambiguous may not hold {outcome}: agents alone never resolve or escalate a break")
        return self


class ActionPolicy(PolicyPart):
    """The effect of a decision."""

    kind: Literal["trigger_dag"]
    target: str = Field(pattern=r"^(reconciliation|post)_[a-z0-9_]{1,100}$")
    """A DAG of the desk's own: the allow-list knows no other names."""


class Policy(PolicyFile):
    """Everything the desk decides by."""

    name: Literal["reconciliation"]
    version: str = Field(min_length=1, max_length=40)
    owner: str = Field(min_length=1, max_length=200)
    lattice: tuple[Outcome, ...]
    price: Tolerance
    fee: Tolerance
    rounding: Tolerance
    allocation: Tolerance
    charges: Tolerance
    currency_scale: dict[Currency, Figure] = Field(min_length=1)
    budget: Budget
    batch_adjustments_max: int = Field(ge=0, le=500)
    drift: Drift
    search: Search
    classes: dict[BreakClass, ClassPolicy]
    actions: dict[Outcome, ActionPolicy | None]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        need_all("lattice", Outcome, list(self.lattice))
        need_all("classes", BreakClass, list(self.classes))
        need_all("actions", Outcome, list(self.actions))
        if self.lattice[:2] != (Outcome.MATCH, Outcome.AUTO_RESOLVE) or self.lattice[-1] is not Outcome.ESCALATE:
            raise ValueError("lattice must begin with MATCH, AUTO_RESOLVE and end with ESCALATE")
        if self.actions[Outcome.ESCALATE] is not None:
            raise ValueError("ESCALATE is a person's to act on: its action must be null")
        for name, entry in self.classes.items():
            for field in ("decision", "otherwise"):
                self._held(name, field, getattr(entry, field))
        for outcome, action in self.actions.items():
            begin = "post_" if outcome is Outcome.AUTO_RESOLVE else "reconciliation_"
            if action is not None and not action.target.startswith(begin):
                raise ValueError(f"actions.{outcome}.target must begin with {begin}; it is {action.target}")
        return self

    def _held(self, name: BreakClass, field: str, outcome: Outcome) -> None:
        if outcome is Outcome.MATCH and name is not BreakClass.ALLOCATION:
            raise ValueError(f"classes.{name}.{field} may not be MATCH: a break is none")
        if outcome is Outcome.AUTO_RESOLVE and (name not in RESOLVABLE or field == "otherwise"):
            raise ValueError(f"classes.{name}.{field} may not be AUTO_RESOLVE: {', '.join(sorted(RESOLVABLE))} may")

    def caution(self, outcome: Outcome) -> int:
        """The outcome's place in the lattice; higher is more cautious."""
        return self.lattice.index(outcome)


class _PolicySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRADELOOP_RECONCILIATION_", env_file=".env", extra="ignore")
    policy: Path | None = None


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy: `path`, else the file that TRADELOOP_RECONCILIATION_POLICY names, else the one that ships.

    Raises:
        SettingInvalid: the file is absent or wrong; names line, field, value and what is expected.
    """
    chosen = path or _PolicySettings().policy or SHIPPED
    return read_policy(Policy, chosen, setting="TRADELOOP_RECONCILIATION_POLICY")
