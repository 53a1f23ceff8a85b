"""What a graph answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Literal, Self  # Any: fields of a copy

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from tradeloop.domain.actions import Action
from tradeloop.domain.canonical import canonical_json, forgetful, unstorable

MAX_DECISION_BYTES: Final = 500_000
"""Leaves room for the envelope and the effect within what one Kafka record takes."""


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
    asked: bool = False
    """Whether a person must allow the action, whatever the approval policy says."""
    decided_by: Literal["policy", "model", "human"] = "policy"
    degraded: bool = False
    """True when an agent should have answered and policy had to."""
    policy_version: str = ""
    policy_hash: str = ""
    cited: list[str] = Field(default_factory=list)
    """Ids of the facts that an agent's answer rests on."""
    model: dict[str, JsonValue] = Field(default_factory=dict)
    """Of an agent's answer: `name`, `prompt_hash`, `params`, `tokens_in`, `tokens_out`, `rationale` (untrusted)."""

    @cached_property
    def plain(self) -> dict[str, JsonValue]:
        """The decision as plain JSON values; made once, so leave it as it is."""
        return self.model_dump(mode="json")

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON: what is stored, published and hashed; made once."""
        return canonical_json(self.plain)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with these fields changed."""
        return forgetful(super().model_copy(update=update, deep=deep), "plain", "canonical")

    @model_validator(mode="after")
    def _can_be_recorded(self) -> Self:
        # Found here, before its action, and not when the action is done and the record is refused.
        text = self.canonical
        if reason := unstorable(text):
            raise ValueError(reason)
        if (size_bytes := len(text.encode())) > MAX_DECISION_BYTES:
            raise ValueError(f"the decision has {size_bytes:,} bytes; at most {MAX_DECISION_BYTES:,} can be announced")
        return self
