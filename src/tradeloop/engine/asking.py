"""Between LangGraph's interrupts and the gate's questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final  # Any: an interrupt's value
from uuid import UUID

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Interrupt
from pydantic import ValidationError

from tradeloop.domain.actions import Action
from tradeloop.domain.approvals import Approval, Requirement
from tradeloop.engine.gate import QUESTION
from tradeloop.errors import DecisionInvalid
from tradeloop.ports import Ask

INTERRUPTS: Final = "__interrupt__"
"""The channel in which LangGraph keeps what a node waits for."""


class RunAsks(Exception):
    """The run waits for people."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        super().__init__(f"{len(asks)} questions")
        self.asks = asks


def asks_of(interrupts: Sequence[Interrupt], decision_id: UUID, *, agent: str) -> list[Ask]:
    """The questions that a graph was interrupted for.

    Raises:
        DecisionInvalid: it was interrupted for something else, which nobody could answer.
    """
    return [_ask(one, decision_id, agent) for one in interrupts]


def interrupts_of(stored: CheckpointTuple) -> Iterator[Interrupt]:
    """What the thread waits for."""
    for _, channel, value in stored.pending_writes or ():
        if channel == INTERRUPTS:
            yield from (one for one in value if isinstance(one, Interrupt))


def answer_of(approval: Approval) -> dict[str, Any]:
    """What the graph is told, in LangChain's words; the gate itself asks the store."""
    decision: dict[str, Any] = {"type": "approve" if approval.state.value in ("approved", "executed") else "reject"}
    if decision["type"] == "reject":
        decision["message"] = approval.votes[-1].reason if approval.votes else approval.note
    return {"decisions": [decision], QUESTION: {"approval_id": str(approval.approval_id), "digest": approval.digest}}


def _ask(one: Interrupt, decision_id: UUID, agent: str) -> Ask:
    told = one.value.get(QUESTION) if isinstance(one.value, dict) else None
    if not isinstance(told, dict):
        raise DecisionInvalid(
            "the graph was interrupted by itself, and nobody could answer: let `acting.perform(..., asked=True)` ask"
        )
    try:
        return Ask(
            interrupt_id=one.id,
            slot=str(told["slot"]),
            decision_id=decision_id,
            action=Action.model_validate(told["action"]),
            requirement=Requirement.model_validate(told["requirement"]),
            policy_hash=str(told["policy_hash"]),
            agent=agent,
            requester=str(told["requester"]),
            context=told["context"],
        )
    except (KeyError, ValidationError) as problem:
        raise DecisionInvalid(f"the graph's own interrupt looks like a question of the gate: {problem}") from problem
