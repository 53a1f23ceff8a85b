"""What a graph answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tradeloop.domain.actions import Action


class Decision(BaseModel):
    """The answer of a workflow to one event.

    Example:
        >>> Decision(outcome="ACCEPT", reasons=["22 of 22 sessions"]).outcome
        'ACCEPT'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    outcome: str = Field(min_length=1, max_length=100)
    """The desk's own word, for example ACCEPT, REFETCH, ESCALATE."""
    reasons: list[str] = Field(default_factory=list)
    """Sentences for people, the weightiest first."""
    findings: list[dict[str, JsonValue]] = Field(default_factory=list)
    """The facts that the decision rests on, each with its `id`."""
    action: Action | None = None
    """What is to be done, once; None when the decision is all there is."""
    decided_by: Literal["policy", "model", "human"] = "policy"
    degraded: bool = False
    """True when an agent should have answered and policy had to."""
    policy_version: str = ""
    policy_hash: str = ""
