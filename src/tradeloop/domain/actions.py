"""What a decision wants done, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any  # Any: JSON given by a graph
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from tradeloop.domain.canonical import canonical_json, sha256_hex


def _without_floats(params: dict[str, JsonValue]) -> dict[str, JsonValue]:
    def walk(value: Any, path: str) -> None:
        if isinstance(value, float):
            raise ValueError(f"{path} is the float {value!r}: write amounts as text, so that the digest is exact")
        if isinstance(value, dict):
            for key, child in value.items():
                walk(child, f"{path}.{key}")
        elif isinstance(value, list):
            for index, child in enumerate(value):
                walk(child, f"{path}[{index}]")

    walk(params, "params")
    return params


class Action(BaseModel):
    """One fully resolved side effect: what `digest` binds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str = Field(min_length=1, max_length=100)
    """The effect that carries it out, for example `trigger_dag`."""
    target: str = Field(min_length=1, max_length=250)
    """What it acts on: for `trigger_dag` the DAG's id."""
    params: Annotated[dict[str, JsonValue], AfterValidator(_without_floats)] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON of kind, target and params."""
        return sha256_hex(canonical_json(self.model_dump(mode="json")))

    def key(self, *, subject: str, cause: UUID, slot: str) -> str:
        """The idempotency key: equal for every attempt and every replay of the same intent."""
        intent = {**self.model_dump(mode="json"), "subject": subject, "cause": str(cause), "slot": slot}
        return sha256_hex(canonical_json(intent))


class EffectState(StrEnum):
    """Where an effect stands in the ledger."""

    PREPARED = "prepared"
    EXECUTING = "executing"
    EXECUTED = "executed"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"


class TargetClass(StrEnum):
    """What a target can do about a call whose answer nobody has."""

    KEYED = "keyed"
    """It drops a second call of the same key: calling again is safe."""
    QUERYABLE = "queryable"
    """It can be asked whether it was done. That it was not is no proof while the old caller may still be alive."""
    BLIND = "blind"
    """Neither: only a person can find out."""


class Turn(StrEnum):
    """What the run's owner does next about an effect."""

    CALL = "call"
    ASK = "ask"
    UNKNOWN = "unknown"
    """Leave it to a person."""
    SETTLED = "settled"
    """Read it again: the truth came in between."""
    STOPPED = "stopped"
    """Not now: a person stopped the desk's effects."""
    HELD = "held"
    """Not now: no approval of exactly this action stands."""
    LOST = "lost"
    """Stop silently: the run has another owner."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The ledger's answer to the start of a call."""

    turn: Turn
    is_overdue: bool = False
    """Whether the target has given no clear answer for so long that a person is to look."""
    told: str = ""
    """Who stopped it, or what holds it, and why."""


class Effect(BaseModel):
    """One row of the ledger."""

    model_config = ConfigDict(frozen=True)
    key: str
    run_id: UUID
    decision_id: UUID
    slot: str
    action: Action
    state: EffectState
    calls: int = 0
    """How many calls may have reached the target; one that was certainly refused for now does not count."""
    blocked_reason: str = ""
    """Why a refusal that can pass (missing or paused DAG, permission) holds it back."""
    result: dict[str, JsonValue] = Field(default_factory=dict)
    error: str = ""
    fence: int = 0
    """Of the last caller."""
    prepared_at: datetime | None = None
    executing_at: datetime | None = None
    """When the last call began."""
    finished_at: datetime | None = None
