"""What a graph asks of a model, and what it may answer."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

MAX_RATIONALE_CHARS = 2000


class Question(BaseModel):
    """One question to one agent: a specialist or the decider."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    desk: str
    role: str
    """The specialist's name, or `decider`."""
    instructions: str
    """Ours, never from outside."""
    facts: dict[str, JsonValue]
    """Typed facts, trusted."""
    quoted: dict[str, str] = Field(default_factory=dict)
    """Free text from outside by name: data, never instruction."""
    outcomes: tuple[str, ...]
    """What it may answer, from least to most cautious."""
    fact_ids: tuple[str, ...] = ()
    """What it may cite."""


class Answer(BaseModel):
    """What an agent proposes; nothing of it reaches an action."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    outcome: str
    cited: list[str] = Field(default_factory=list)
    rationale: str = Field(default="", max_length=MAX_RATIONALE_CHARS)
    """Untrusted."""
    model: dict[str, JsonValue] = Field(default_factory=dict)
    """name, prompt_hash, params, tokens_in, tokens_out."""


class Agents(Protocol):
    """The model gateway, as graphs see it."""

    async def ask(self, question: Question, *, run_id: UUID, desk: str) -> Answer:
        """An answer that fits the question's outcomes and fact ids.

        Raises:
            ModelUnavailable: no model answered in time, sensibly and within the budget; policy decides.
        """
        ...
