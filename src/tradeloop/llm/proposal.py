"""What a model may answer: its JSON Schema, and the check of what it did answer."""

from __future__ import annotations

from typing import Any, Final  # Any: JSON Schema

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradeloop.ports import Question
from tradeloop.ports.agents import MAX_RATIONALE_CHARS

MAX_ANSWER_CHARS: Final = 100_000
MAX_CITED: Final = 50
NO_TEXT: Final = "�"


class Proposal(BaseModel):
    """One answer, of the right types; whether its words are of the question is checked beside."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    rationale: str = Field(max_length=MAX_RATIONALE_CHARS)
    outcome: str
    cited: list[str] = Field(max_length=MAX_CITED)
    confidence: int = Field(ge=0, le=100)


class ProposalInvalid(ValueError):
    """The text is no answer to the question; says why in our words alone, as a model reads it."""


def schema_of(question: Question) -> dict[str, Any]:
    """The schema that the server holds the answer to. Whole numbers: grammars bound no others."""
    cited: dict[str, Any] = {"type": "array", "maxItems": min(len(question.fact_ids), MAX_CITED)}
    cited["items"] = {"type": "string", "enum": list(question.fact_ids)} if question.fact_ids else {"type": "string"}
    return {
        "title": "proposal",
        "description": "One outcome, with what carries it.",
        "type": "object",
        "properties": {
            "rationale": {"type": "string", "maxLength": MAX_RATIONALE_CHARS},
            "outcome": {"type": "string", "enum": list(question.outcomes)},
            "cited": cited,
            "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
        },
        "required": ["rationale", "outcome", "cited", "confidence"],
        "additionalProperties": False,
    }


def proposal_of(text: str, question: Question) -> Proposal:
    """The answer that the text holds: its words are the question's, and its rationale can be stored.

    Raises:
        ProposalInvalid: it holds none.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise ProposalInvalid("it is too long")
    try:
        found = Proposal.model_validate_json(text)
    except ValidationError as problem:
        raise ProposalInvalid(_fault(problem)) from problem
    except UnicodeEncodeError as problem:
        raise ProposalInvalid("it is no JSON") from problem
    if found.outcome not in question.outcomes:
        raise ProposalInvalid("outcome is none of those that may be proposed")
    if not set(found.cited) <= set(question.fact_ids):
        raise ProposalInvalid("cited holds an id that no fact has")
    return found.model_copy(
        update={"cited": list(dict.fromkeys(found.cited)), "rationale": found.rationale.replace("\0", NO_TEXT)}
    )


def _fault(problem: ValidationError) -> str:
    error = problem.errors(include_url=False, include_input=False)[0]
    if error["type"] == "json_invalid" or not error["loc"]:
        return "it is no JSON object"
    name = str(error["loc"][0])
    return f"{name}: {error['msg'].lower()}" if name in Proposal.model_fields else "it has a field too many"
