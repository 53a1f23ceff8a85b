"""What was found between two books, in a form that decisions, pages and records share.

Sentences hold classes, figures, days and lines, never text of the files: agents and people read them as ours.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tradeloop.desks.reconciliation.case import Earlier
from tradeloop.desks.reconciliation.policy import BreakClass, Outcome


class Part(BaseModel):
    """Frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(Part):
    """One field of which both sides tell something else."""

    field: str
    internal: str
    external: str


class Finding(Part):
    """One break."""

    id: str = ""
    """F-01, F-02, ... within the batch."""
    kind: BreakClass
    asks: Outcome
    severity: Literal["LOW", "MEDIUM", "HIGH"]
    sentence: str
    internal: tuple[int, ...] = ()
    """Lines of the internal file, at most 16."""
    external: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()
    """Ids of the trades or entries as the files have them."""
    account: str = ""
    security: str = ""
    counterparty: str = ""
    currency: str = ""
    amount: Decimal | None = None
    """What the external side costs more; None: it is not money that differs."""
    differences: tuple[Difference, ...] = ()
    found_by: Literal["exec", "economics", "group", "assignment", "none"] = "none"
    is_only: bool = True
    """False: another partner would fit nearly as well."""
    is_open: bool = False
    """Whether policy leaves it to the agents."""


class Adjustment(Part):
    """A difference that goes to suspense."""

    kind: BreakClass
    account: str
    currency: str
    amount: Annotated[Decimal, Field(max_digits=30)]
    internal: int
    external: int
    """Lines of both files."""


class Header(Part):
    """What identifies the batch: the only source, beside facts, of an action's parameters."""

    scope: Literal["trades", "cash"]
    today: date
    now: AwareDatetime | None = None
    calendar: str
    internal_sha256: str
    external_sha256: str
    remarks: tuple[str, ...] = ()
    """Free text: quoted to agents, used for nothing else."""
    history: tuple[Earlier, ...] = ()


class Facts(Part):
    """All that the policy needs to know about a batch."""

    internal: int
    """Trades or entries of the internal side."""
    external: int
    matched: int
    """Pairs without a difference."""
    breaks: int
    kinds: dict[BreakClass, int]
    asked: dict[Outcome, int]
    findings: tuple[Finding, ...]
    """The most cautious first, then the largest; at most LISTED."""
    omitted: int = 0
    adjustments: tuple[Adjustment, ...] = ()
    waits: tuple[str, ...] = ()
    """Ids of what waits a cycle."""
    drifting: tuple[str, ...] = ()
    """Accounts whose small differences all go one way."""
    over_budget: tuple[str, ...] = ()
    narratives: tuple[str, ...] = ()
    """Free text of rows that break, quoted to agents alone."""
    open_to: tuple[Outcome, ...] = ()
    """Less cautious answers that policy leaves to agents for every break that asks for the most cautious one."""
