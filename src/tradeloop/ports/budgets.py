"""What models may use: reserved before a call, settled after it."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Used(NamedTuple):
    """Tokens in and out, and what they cost."""

    tokens: int
    cost: Decimal


class Limits(BaseModel):
    """The most of a run, of a desk's day and of a day; 0 is no limit. Days are UTC's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run_tokens: int = Field(default=0, ge=0)
    desk_tokens: int = Field(default=0, ge=0)
    day_tokens: int = Field(default=0, ge=0)
    run_cost: Decimal = Field(default=Decimal(0), ge=0)
    desk_cost: Decimal = Field(default=Decimal(0), ge=0)
    day_cost: Decimal = Field(default=Decimal(0), ge=0)

    def first_broken(self, run: Used, desk: Used, day: Used) -> str:
        """The name of the first limit that these sums are beyond; empty when none is."""
        sums = {"run": run, "desk": desk, "day": day}
        for unit in ("tokens", "cost"):
            for scope, used in sums.items():
                limit = getattr(self, f"{scope}_{unit}")
                if limit and getattr(used, unit) > limit:
                    return f"{scope}_{unit}"
        return ""


class ModelCall(BaseModel):
    """One call of a model, before it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    call_id: UUID
    run_id: UUID
    desk: str = Field(min_length=1)
    model: str
    tokens: int = Field(ge=0)
    """At most."""
    cost: Decimal = Field(ge=0)
    """At most."""


class Budgets(Protocol):
    """Keeps count. Both calls are short transactions of their own; no model is called within one."""

    async def reserve(self, call: ModelCall, limits: Limits) -> str:
        """Count the call in full; or, when a limit would be overspent, count nothing and name the limit."""
        ...

    async def settle(self, call_id: UUID, used: Used | None) -> None:
        """Count what the call used instead; None: nobody can tell, so what was reserved stays. Once a call."""
        ...

    async def used_today(self, desk: str = "") -> Used:
        """The sums of this day, reservations included: of a desk, or of all."""
        ...
