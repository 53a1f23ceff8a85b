"""The risk-limits desk's policy: thresholds and answers that the firm owns, as data."""

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
    """The desk's answers, from least to most cautious."""

    OK = "OK"
    WARN = "WARN"
    RECHECK_DATA = "RECHECK_DATA"
    BREACH_NOTIFY = "BREACH_NOTIFY"
    REQUEST_APPROVAL = "REQUEST_APPROVAL"
    BLOCK_NEW_RISK = "BLOCK_NEW_RISK"
    KILL_REQUEST = "KILL_REQUEST"


class State(StrEnum):
    """How far a limit is used."""

    OK = "OK"
    WARN = "WARN"
    BREACH = "BREACH"
    HARD = "HARD"

    @property
    def is_breach(self) -> bool:
        """Whether the limit is reached."""
        return self in (State.BREACH, State.HARD)


class Zone(StrEnum):
    """Basel's traffic light of a VaR backtest."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"


TARGETS: Final = {
    Outcome.WARN: "limits_notify",
    Outcome.RECHECK_DATA: "limits_recheck",
    Outcome.BREACH_NOTIFY: "limits_notify",
    Outcome.REQUEST_APPROVAL: "limits_case",
    Outcome.BLOCK_NEW_RISK: "limits_block",
    Outcome.KILL_REQUEST: "limits_block",
}
"""How the DAG of each answer begins: the verb is the desk's, what follows is the firm's."""

Share = Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False)]


class Thresholds(PolicyPart):
    """The figures; the YAML says where each comes from."""

    warn_at: Share
    breach_at: Share
    hard_at: Share
    kill_at: Share
    rechecks_max: int = Field(ge=0, le=100)
    observations_min: int = Field(ge=2, le=10_000)
    observations: int = Field(ge=2, le=10_000)
    stale_sessions: int = Field(ge=0, le=100)
    unchanged_sessions: int = Field(ge=2, le=250)
    unit_ratio: Annotated[Decimal, Field(gt=1, le=1000, allow_inf_nan=False)]
    green_max: int = Field(ge=0, le=250)
    yellow_max: int = Field(ge=0, le=250)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.warn_at < self.breach_at < self.hard_at <= self.kill_at:
            raise ValueError("warn_at < breach_at < hard_at <= kill_at is expected")
        if self.breach_at > 1:
            raise ValueError("breach_at is above 1: a limit that is reached is breached")
        if self.observations < self.observations_min or self.yellow_max <= self.green_max:
            raise ValueError("observations >= observations_min and yellow_max > green_max are expected")
        return self


class ActionPolicy(PolicyPart):
    """The effect of a decision."""

    kind: Literal["trigger_dag"]
    target: str = Field(pattern=r"^limits_(notify|recheck|case|block)(_[a-z0-9_]{1,80})?$")
    """A DAG of the desk's own four verbs: the allow-list knows no other names."""


class Policy(PolicyFile):
    """Everything the desk decides by."""

    name: Literal["limits"]
    version: str = Field(min_length=1, max_length=40)
    owner: str = Field(min_length=1, max_length=200)
    lattice: tuple[Outcome, ...]
    thresholds: Thresholds
    states: dict[State, Outcome]
    soft_breach: Outcome
    consecutive: Outcome
    loss_breach: Outcome
    data: Outcome
    data_again: Outcome
    zones: dict[Zone, Outcome]
    actions: dict[Outcome, ActionPolicy | None]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.lattice != tuple(Outcome):
            raise ValueError(f"lattice must be {', '.join(Outcome)}: the order is the desk's")
        need_all("states", State, list(self.states))
        need_all("zones", Zone, list(self.zones))
        need_all("actions", Outcome, list(self.actions))
        least = {
            "states.WARN": (self.states[State.WARN], Outcome.WARN),
            "states.BREACH": (self.states[State.BREACH], Outcome.BREACH_NOTIFY),
            "states.HARD": (self.states[State.HARD], Outcome.BLOCK_NEW_RISK),
            "soft_breach": (self.soft_breach, Outcome.BREACH_NOTIFY),
            "consecutive": (self.consecutive, Outcome.BLOCK_NEW_RISK),
            "loss_breach": (self.loss_breach, Outcome.BLOCK_NEW_RISK),
            "data": (self.data, Outcome.RECHECK_DATA),
            "data_again": (self.data_again, Outcome.RECHECK_DATA),
        }
        for field, (given, floor) in least.items():
            if self.caution(given) < self.caution(floor):
                raise ValueError(f"{field} is {given}; at least {floor} is expected")
        if self.actions[Outcome.OK] is not None:
            raise ValueError("actions.OK must be null")
        for outcome, begin in TARGETS.items():
            action = self.actions[outcome]
            if action is not None and not action.target.startswith(begin):
                raise ValueError(f"actions.{outcome}.target must begin with {begin}; it is {action.target}")
            if action is None and begin == "limits_block":
                raise ValueError(f"actions.{outcome} must not be null: tightening acts at once")
        return self

    def caution(self, outcome: Outcome) -> int:
        """The outcome's place in the lattice; higher is more cautious."""
        return self.lattice.index(outcome)


class _PolicySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRADELOOP_LIMITS_", env_file=".env", extra="ignore")
    policy: Path | None = None


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy: `path`, else the file that TRADELOOP_LIMITS_POLICY names, else the one that ships.

    Raises:
        SettingInvalid: the file is absent or wrong; names line, field, value and what is expected.
    """
    chosen = path or _PolicySettings().policy or SHIPPED
    return read_policy(Policy, chosen, setting="TRADELOOP_LIMITS_POLICY")
