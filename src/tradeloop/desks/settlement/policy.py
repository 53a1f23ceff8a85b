"""The settlement desk's policy: codes, thresholds, rates, cycles and answers that the firm owns, as data."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tradeloop.desks.settlement.advice import Direction
from tradeloop.gate.policy_file import PolicyFile, PolicyPart, need_all, read_policy

SHIPPED: Final = Path(__file__).with_name("policy.yaml")


class Outcome(StrEnum):
    """The desk's answers; the policy's lattice orders them."""

    MONITOR = "MONITOR"
    CHASE_COUNTERPARTY = "CHASE_COUNTERPARTY"
    PROPOSE_INSTRUCTION_FIX = "PROPOSE_INSTRUCTION_FIX"
    PROPOSE_PARTIAL = "PROPOSE_PARTIAL"
    PROPOSE_BORROW_OR_RECALL = "PROPOSE_BORROW_OR_RECALL"
    PROPOSE_FUNDING = "PROPOSE_FUNDING"
    RELEASE_HOLD_REQUEST = "RELEASE_HOLD_REQUEST"
    ESCALATE = "ESCALATE"


class Fault(StrEnum):
    """Whose part it is that keeps an instruction from settling."""

    US = "us"
    THEM = "them"
    NEITHER = "neither"
    UNKNOWN = "unknown"


class AssetKind(StrEnum):
    """What the penalty rates tell apart ((EU) 2017/389, annex)."""

    LIQUID_SHARE = "liquid_share"
    ILLIQUID_SHARE = "illiquid_share"
    SME_GROWTH = "sme_growth"
    SOVEREIGN_BOND = "sovereign_bond"
    CORPORATE_BOND = "corporate_bond"
    SME_GROWTH_BOND = "sme_growth_bond"
    OTHER = "other"


class ReasonList(StrEnum):
    """The tables of reason codes."""

    UNMATCHED = "unmatched"
    SETTLEMENT = "settlement"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as problem:
        raise ValueError(f"no time zone is called {name!r}") from problem
    return name


Figure = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Market = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Code = Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")]
StatusName = Annotated[str, Field(pattern=r"^[A-Z]{4}/[A-Z]{4}$")]
Title = Annotated[str, Field(min_length=1, max_length=80)]


class Thresholds(PolicyPart):
    """The figures; the YAML says where each comes from."""

    age_escalates_bd: int = Field(ge=0, le=250)
    penalty_escalates: dict[Currency, Figure]
    amount_escalates: dict[Currency, Figure]
    chases_max: int = Field(ge=0, le=100)
    quantity_tolerance: Figure


class StatusPolicy(PolicyPart):
    """What one status leads to."""

    title: Title
    reasons: ReasonList | None = None
    without_reason: Outcome


class ReasonPolicy(PolicyPart):
    """What one reason code says and leads to."""

    title: Title
    fault: Fault
    next: Outcome
    with_inventory: Outcome | None = None
    needs: Direction | None = None
    cash: bool = False
    """Whether it is cash that is short."""
    compare: bool = False
    """Whether the trade's economics differ: the reconciliation desk's case, too."""


class Rates(PolicyPart):
    """Penalty rates in force from a day on, in basis points a day."""

    from_: date = Field(alias="from")
    source: str = Field(min_length=1, max_length=200)
    basis_points: dict[AssetKind, Figure]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        need_all("basis_points", AssetKind, list(self.basis_points))
        return self


class Cycle(PolicyPart):
    """A settlement cycle in force from a trade day on."""

    from_: date = Field(alias="from")
    days: int = Field(ge=0, le=10)


class Deadline(PolicyPart):
    """The last moment of a settlement day."""

    zone: Annotated[str, AfterValidator(_zone)]
    payment: time
    free: time


class ActionPolicy(PolicyPart):
    """The effect of a decision."""

    kind: Literal["trigger_dag"]
    target: str = Field(pattern=r"^(settlement|chase)_[a-z0-9_]{1,100}$")
    """A DAG of the desk's own: the allow-list knows no other names."""


class Policy(PolicyFile):
    """Everything the desk decides by."""

    name: Literal["settlement"]
    version: str = Field(min_length=1, max_length=40)
    owner: str = Field(min_length=1, max_length=200)
    lattice: tuple[Outcome, ...]
    fault_order: tuple[Fault, ...]
    thresholds: Thresholds
    statuses: dict[StatusName, StatusPolicy]
    reasons: dict[ReasonList, dict[Code, ReasonPolicy]]
    linked: dict[Literal["PENDING", "FAILING", "SETTLED", "CANCELLED"], Outcome]
    penalty_rates: tuple[Rates, ...] = Field(min_length=1)
    penalty_markets: tuple[Market, ...]
    cash_days: dict[str, Literal[360, 365]]
    cycles: dict[Market, tuple[Cycle, ...]]
    deadlines: dict[Market, Deadline]
    actions: dict[Outcome, ActionPolicy | None]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        need_all("lattice", Outcome, list(self.lattice))
        need_all("fault_order", Fault, list(self.fault_order))
        need_all("reasons", ReasonList, list(self.reasons))
        need_all("actions", Outcome, list(self.actions))
        if len(self.linked) != 4:
            raise ValueError("linked must name PENDING, FAILING, SETTLED and CANCELLED")
        if "default" not in self.cash_days:
            raise ValueError("cash_days lacks default")
        if self.lattice[-1] is not Outcome.ESCALATE:
            raise ValueError(f"lattice must end with ESCALATE; it ends with {self.lattice[-1]}")
        if self.actions[Outcome.ESCALATE] is not None:
            raise ValueError("ESCALATE is a person's to act on: its action must be null")
        for outcome, action in self.actions.items():
            begin = "chase_" if outcome is Outcome.CHASE_COUNTERPARTY else "settlement_"
            if action is not None and not action.target.startswith(begin):
                raise ValueError(f"actions.{outcome}.target must begin with {begin}; it is {action.target}")
        for name, days in _dated(self):
            if list(days) != sorted(set(days)):
                raise ValueError(f"{name} must be in the order of its days, each day once")
        return self

    def caution(self, outcome: Outcome) -> int:
        """The outcome's place in the lattice; higher is more cautious."""
        return self.lattice.index(outcome)


def _dated(policy: Policy) -> list[tuple[str, list[date]]]:
    cycles = [(f"cycles.{market}", [each.from_ for each in found]) for market, found in policy.cycles.items()]
    return [("penalty_rates", [each.from_ for each in policy.penalty_rates]), *cycles]


class _PolicySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRADELOOP_SETTLEMENT_", env_file=".env", extra="ignore")
    policy: Path | None = None


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy: `path`, else the file that TRADELOOP_SETTLEMENT_POLICY names, else the one that ships.

    Raises:
        SettingInvalid: the file is absent or wrong; names line, field, value and what is expected.
    """
    chosen = path or _PolicySettings().policy or SHIPPED
    return read_policy(Policy, chosen, setting="TRADELOOP_SETTLEMENT_POLICY")
