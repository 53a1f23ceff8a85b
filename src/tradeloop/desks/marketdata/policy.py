"""The market-data desk's policy: thresholds and decisions that the firm owns, as data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tradeloop.desks.marketdata.batch import AssetClass
from tradeloop.gate.policy_file import PolicyFile, PolicyPart, need_all, read_policy

SHIPPED: Final = Path(__file__).with_name("policy.yaml")


class Outcome(StrEnum):
    """The desk's answers; the policy's lattice orders them."""

    ACCEPT = "ACCEPT"
    ACCEPT_WITH_NOTE = "ACCEPT_WITH_NOTE"
    QUARANTINE_ROWS = "QUARANTINE_ROWS"
    REFETCH = "REFETCH"
    REJECT_BATCH = "REJECT_BATCH"
    ESCALATE = "ESCALATE"


class Rule(StrEnum):
    """The checks; numbers as in the desk's catalogue (docs/desks/marketdata.md)."""

    HISTORY = "MD00"
    SCHEMA = "MD01"
    NON_POSITIVE = "MD02"
    OHLC = "MD03"
    DUPLICATE = "MD04"
    GAP = "MD05"
    OFF_CALENDAR = "MD06"
    SHIFT = "MD07"
    STALE = "MD08"
    SPIKE = "MD09"
    LEVEL = "MD10"
    ACTION = "MD11"
    VOLUME = "MD12"
    CROSS_SOURCE = "MD13"
    CROSS_FREQUENCY = "MD14"
    TRUNCATED = "MD15"
    QUOTE = "MD16"
    IDENTITY = "MD17"
    DRIFT = "MD18"
    EXTREME = "MD19"


Share = Annotated[float, Field(gt=0, le=1)]


class Thresholds(PolicyPart):
    """The figures of the checks; the YAML says where each comes from."""

    history_bars: int = Field(ge=20, le=2000)
    history_bars_min: int = Field(ge=5, le=2000)
    outlier_mad: float = Field(gt=0, le=1000)
    outlier_move: float = Field(gt=0, le=10)
    reversal_share: Share
    displaced_mad: float = Field(gt=0, le=1000)
    displaced_move: float = Field(gt=0, le=10)
    level_ratios: tuple[Annotated[float, Field(gt=1.2, le=1_000_000)], ...] = Field(min_length=1)
    level_tolerance: float = Field(gt=0, le=0.2)
    level_certain_ratio: float = Field(gt=1)
    level_any_ratio: float = Field(gt=1)
    action_step: float = Field(gt=0, le=1)
    stale_bars: int = Field(ge=2)
    stale_flat_bars: int = Field(ge=2)
    stale_range_ticks: int = Field(ge=1)
    stale_minutes: int = Field(ge=2)
    stale_quiet_minutes: int = Field(ge=2)
    gap_minutes: int = Field(ge=1)
    gap_hours: int = Field(ge=1)
    gap_share: Share
    shift_share: Share
    shift_bars_min: int = Field(ge=2)
    volume_multiple: float = Field(gt=1)
    volume_required: tuple[AssetClass, ...]
    non_positive_allowed: tuple[AssetClass, ...]
    ohlc_tolerance: float = Field(ge=0, le=0.01)
    wick_move: float = Field(gt=0, le=10)
    second_source_tolerance: Share
    second_source_range: Share
    second_source_odd_mad: float = Field(gt=0, le=1000)
    second_source_bars_min: int = Field(ge=2)
    cross_frequency_tolerance: Share
    quote_spread_multiple: float = Field(gt=1)
    quote_spread_share: Share
    quote_bars_min: int = Field(ge=2)
    identity_gap_sessions: int = Field(ge=1)
    drift_ks: Share
    drift_volume_ratio: float = Field(gt=1)
    drift_bars_min: int = Field(ge=2)


class Between(PolicyPart):
    """Another answer for moves of a certain size."""

    from_: float = Field(alias="from", ge=0)
    to: float = Field(gt=0)
    decision: Outcome


class RulePolicy(PolicyPart):
    """What one check's finding leads to."""

    title: str = Field(min_length=1, max_length=80)
    decision: Outcome
    between: Between | None = None
    confirmed: Outcome | None = None
    contradicted: Outcome | None = None
    ambiguous: tuple[Outcome, ...] | None = None
    """Where no second source has the bar, agents are asked, and may give these less cautious answers; never one that
    publishes. Empty: they are asked for the person who decides. None: they are not asked."""

    @model_validator(mode="after")
    def _nothing_published(self) -> Self:
        for outcome in self.ambiguous or ():
            if outcome in (Outcome.ACCEPT, Outcome.ACCEPT_WITH_NOTE):
                raise ValueError(f"ambiguous may not hold {outcome}: agents alone never publish what a rule held")
        return self


class ActionPolicy(PolicyPart):
    """The effect of a decision."""

    kind: Literal["trigger_dag"]
    target: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,250}$")


class Policy(PolicyFile):
    """Everything the desk decides by."""

    name: Literal["marketdata"]
    version: str = Field(min_length=1, max_length=40)
    owner: str = Field(min_length=1, max_length=200)
    lattice: tuple[Outcome, ...]
    thresholds: Thresholds
    rows_share_max: float = Field(ge=0, le=1)
    rows_share_min: int = Field(ge=1)
    rows_share_decision: Outcome
    refetches_max: int = Field(ge=0, le=100)
    rules: dict[Rule, RulePolicy]
    actions: dict[Outcome, ActionPolicy | None]
    asks: dict[Outcome, ActionPolicy] = Field(default_factory=dict)
    """What a person may do about an outcome that has no action; nothing happens without their yes."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        need_all("lattice", Outcome, list(self.lattice))
        need_all("rules", Rule, list(self.rules))
        need_all("actions", Outcome, list(self.actions))
        if self.lattice[0] is not Outcome.ACCEPT:
            raise ValueError(
                f"lattice must begin with ACCEPT, the least cautious answer; it begins with {self.lattice[0]}"
            )
        return self

    def caution(self, outcome: Outcome) -> int:
        """The outcome's place in the lattice; higher is more cautious."""
        return self.lattice.index(outcome)


class _PolicySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRADELOOP_MARKETDATA_", env_file=".env", extra="ignore")
    policy: Path | None = None


def load_policy(path: Path | None = None) -> Policy:
    """Read the policy: `path`, else the file that TRADELOOP_MARKETDATA_POLICY names, else the one that ships.

    Raises:
        SettingInvalid: the file is absent or wrong; names line, field, value and what is expected.
    """
    chosen = path or _PolicySettings().policy or SHIPPED
    return read_policy(Policy, chosen, setting="TRADELOOP_MARKETDATA_POLICY")
