"""What carries actions out: the seam between the ledger and a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from pydantic import JsonValue

from tradeloop.domain.actions import Action, Effect, TargetClass
from tradeloop.domain.events import WorkflowEvent

MAX_DEPTH: Final = 8
"""A chain of decisions and events longer than this is a loop; a person looks at it."""


class Effector(Protocol):
    """Carries out one kind of action at its target; called by the ledger alone, which remembers every call."""

    @property
    def kind(self) -> str:
        """The `kind` of the actions that it carries out."""
        ...

    @property
    def target_class(self) -> TargetClass:
        """What the target can do about a call whose answer nobody has."""
        ...

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Do it, with `effect.key` as idempotency key; returns what the target says of it.

        `effect.calls` earlier calls may have reached the target. Any other error than these leaves the outcome open.

        Raises:
            EffectRefused: no, for good: the effect has failed.
            EffectBlocked: no, for now, and certainly nothing happened: it is called again later.
            EffectUnanswered: whether it happened is not known.
        """
        ...


@runtime_checkable
class Queryable(Effector, Protocol):
    """An effector whose target can be asked: what `target_class` QUERYABLE needs."""

    async def find(self, effect: Effect) -> Mapping[str, JsonValue] | None:
        """What the target says of the effect of this key; None when it does not know it.

        Raises:
            EffectUnanswered, or any other error: the target did not answer.
        """
        ...


@runtime_checkable
class PerTarget(Effector, Protocol):
    """An effector whose targets differ in what they can do."""

    def class_for(self, action: Action) -> TargetClass:
        """The class of this action's target."""
        ...


def depth_of(event: WorkflowEvent) -> int:
    """How many decisions led to this event."""
    depth = (event.metadata.model_extra or {}).get("chain_depth", 0)
    return depth if isinstance(depth, int) else 0


def provenance(effect: Effect, cause: WorkflowEvent) -> dict[str, JsonValue]:
    """Where an effect comes from, for its target: decision, digest, the chain's ids and length."""
    return {
        "decision_id": str(effect.decision_id),
        "action_digest": effect.action.digest,
        "correlation_id": str(cause.correlation_id or cause.event_id),
        "causation_id": str(effect.decision_id),
        "depth": depth_of(cause) + 1,
    }
