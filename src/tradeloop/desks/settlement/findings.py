"""What was found about an instruction, in a form that decisions, pages and records share.

Sentences hold codes, figures and days of known form, never text of the message: agents and people read them as ours.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime

from tradeloop.desks.settlement.advice import Direction, Part
from tradeloop.desks.settlement.policy import AssetKind, Fault, Outcome, ReasonList


class Rule(StrEnum):
    """What was looked at; numbers as in the desk's page (docs/desks/settlement.md)."""

    STATUS = "SS01"
    REASON = "SS02"
    UNKNOWN = "SS03"
    CONTRADICTION = "SS04"
    IDENTIFIER = "SS05"
    BOOKED = "SS06"
    AGE = "SS07"
    PENALTY = "SS08"
    AMOUNT = "SS09"
    LINKED = "SS10"
    INVENTORY = "SS11"
    CASH = "SS12"
    DEADLINE = "SS13"
    CYCLE = "SS14"
    CHASED = "SS15"


class Finding(Part):
    """One thing that bears on the decision, or only on its reading."""

    id: str = ""
    """F-01, F-02, ... within the case."""
    rule: Rule
    sentence: str
    asks: Outcome | None = None
    """The answer that it asks for; None: a note."""
    code: str = ""
    """Of a reason that policy knows."""
    table: ReasonList | None = None
    """Where that reason stands."""


class Penalty(Part):
    """What the fail costs under CSDR."""

    currency: str = ""
    accrued: Decimal | None = None
    """Of all business days from the intended settlement date to the day before today; None: cannot be computed."""
    per_day: Decimal | None = None
    """Of today, if it does not settle."""
    days: int = 0
    kind: Literal["SEFP", "LMFP", ""] = ""
    """LMFP: not matched yet; `accrued` is what matching today would charge back."""
    missing: tuple[str, ...] = ()
    """What the computation lacks."""


class Header(Part):
    """What identifies the case: the only source of an action's parameters, which take none of its free text."""

    standard: str
    reference: str
    isin: str
    direction: Direction | None
    quantity: Decimal | None
    amount: Decimal | None
    currency: str
    isd: date | None
    counterparty: str
    market: str
    calendar: str
    today: date
    chases: int
    sha256: str
    transaction: int
    narratives: tuple[str, ...] = ()
    """Free text of the message: quoted to agents, used for nothing else."""


class Facts(Part):
    """All that the policy needs to know about a case."""

    findings: tuple[Finding, ...]
    statuses: tuple[str, ...]
    codes: tuple[str, ...]
    """Reason codes that policy knows, sorted."""
    fault: Fault
    age_bd: int | None
    """Business days after the intended settlement date; None: that date is not told."""
    penalty: Penalty
    deliverable: Decimal | None = None
    """What inventory allows to deliver in whole lots, at most the quantity; None: not told."""
    shortfall: Decimal | None = None
    """What of the quantity is not there."""
    recallable: Decimal | None = None
    cash_shortfall: Decimal | None = None
    intended: date | None = None
    """The settlement date by the market's cycle."""
    deadline_at: AwareDatetime | None = None
    """The market's last moment of today."""
    now_at: AwareDatetime | None = None
    due: date
    """When the case is looked at again."""
    asset: AssetKind | None = None

    @property
    def hours_left(self) -> float | None:
        """Hours to the deadline, negative after it; None: not told."""
        if self.deadline_at is None or self.now_at is None:
            return None
        return (self.deadline_at - self.now_at).total_seconds() / 3600


def moment(at: datetime) -> str:
    """A moment as it is shown."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
