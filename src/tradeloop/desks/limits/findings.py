"""What was found about a scope's limits, in a form that decisions, pages and records share.

Sentences hold figures, days, codes and identifiers of fixed form, never names or notes: agents and people read them as
ours.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.desks.limits.case import Identifier
from tradeloop.desks.limits.policy import Outcome, State, Zone


class Rule(StrEnum):
    """What was looked at; numbers as in the desk's page (docs/desks/limits.md)."""

    USED = "RL01"
    CONSECUTIVE = "RL02"
    LOSS = "RL03"
    STALE = "RL04"
    FX = "RL05"
    DOUBLED = "RL06"
    UNIT = "RL07"
    MISSING = "RL08"
    SAMPLE = "RL09"
    BACKTEST = "RL10"
    TEMPORARY = "RL11"
    UPSTREAM = "RL12"
    RECHECKED = "RL13"


class Cause(StrEnum):
    """Why a limit is reached."""

    TRUE = "TRUE"
    DATA_DRIVEN = "DATA_DRIVEN"
    PASSIVE = "PASSIVE"
    TIMING = "TIMING"
    MODEL = "MODEL"


class Part(BaseModel):
    """A part of the facts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(Part):
    """One thing that bears on the decision, or only on its reading."""

    id: str = ""
    """F-01, F-02, ... within the check."""
    rule: Rule
    sentence: str
    asks: Outcome | None = None
    """The answer that it asks for; None: a note."""
    limit_id: str = ""
    symbol: str = ""


class Checked(Part):
    """One limit, and how far it is used."""

    limit_id: Identifier
    metric: str
    version: str
    owner: str
    account: str = ""
    limit: float
    """In the metric's own unit: base currency, or a share as a fraction."""
    value: float | None
    """As the inputs were delivered; None: cannot be computed."""
    utilisation: float | None
    checked: float | None = None
    """Utilisation with doubtful inputs replaced by the last good ones; None: nothing doubtful."""
    state: State | None
    """The worse of both; None: cannot be computed."""
    cause: Cause | None = None
    is_soft: bool = False
    is_loss: bool = False
    is_doubtful: bool = False
    """Whether an input of it is doubtful."""
    observations: int | None = None


class Backtest(Part):
    """The reported VaR against the P&L that came, or of today's positions over the days before."""

    days: int
    exceptions: int
    zone: Zone
    is_reported: bool


class Facts(Part):
    """All that the policy needs to know about a check."""

    findings: tuple[Finding, ...]
    limits: tuple[Checked, ...]
    backtests: tuple[Backtest, ...] = ()


class Header(Part):
    """What identifies the check: with the limits' figures the only source of an action's parameters."""

    scope_kind: str
    scope: Identifier
    as_of: date
    base_currency: str
    attempt: int
    inputs: dict[str, str] = Field(default_factory=dict)
    """sha256 by table."""
    notes: dict[str, str] = Field(default_factory=dict)
    """Free text of the limits by where it stands: quoted to agents, used for nothing else."""
