"""Effect `publish_event`: an event for other workflows, through the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue, ValidationError

from tradeloop.domain.actions import Effect, TargetClass
from tradeloop.domain.events import MAX_EVENT_BYTES, WorkflowEvent
from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.domain.records import Lane
from tradeloop.domain.runs import derive_id
from tradeloop.effects.effector import depth_of
from tradeloop.errors import EffectRefused
from tradeloop.kafka.messages import to_record
from tradeloop.ports import Outbox

RESERVED: Final = frozenset({"decision.recorded", *(known.value for known in LifecycleType)})
"""Types that only tradeloop itself may tell: an effect that could would forge decisions and ends of runs."""
FIELDS: Final = frozenset({"subject", "data"})


class PublishEvent:
    """Puts one event on the events topic. Its id comes from the effect's key: readers drop a second copy."""

    kind = "publish_event"
    target_class = TargetClass.KEYED

    def __init__(self, outbox: Outbox, topic: str, environment: str) -> None:
        self._outbox = outbox
        self._topic = topic
        self._environment = environment

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Publish; the action's target is the event's type, `params` has `data` and, if it is another, `subject`."""
        if effect.action.target in RESERVED:
            raise EffectRefused(f"only tradeloop itself publishes {effect.action.target}")
        if unknown := sorted(set(effect.action.params) - FIELDS):
            raise EffectRefused(f"publish_event knows data and subject, not {', '.join(unknown)}")
        event = self._event(effect, cause)
        if (size_bytes := len(event.to_json().encode())) > MAX_EVENT_BYTES:
            raise EffectRefused(f"the event has {size_bytes:,} bytes: no topic takes it")
        await self._outbox.append(to_record(event, self._topic, Lane.OUTBOX))
        return {"event_id": str(event.event_id), "topic": self._topic, "subject": event.subject}

    def _event(self, effect: Effect, cause: WorkflowEvent) -> WorkflowEvent:
        params = effect.action.params
        try:
            return WorkflowEvent.model_validate(
                {
                    "event_id": derive_id("published", effect.key),
                    "event_type": effect.action.target,
                    "timestamp": effect.prepared_at or datetime.now(UTC),
                    "source": "tradeloop",
                    "workflow_id": cause.workflow_id,
                    "workflow_run_id": cause.workflow_run_id,
                    "subject": params.get("subject") or cause.subject,
                    "payload": {"data": params.get("data", {})},
                    "metadata": {
                        "environment": self._environment,
                        "chain_depth": depth_of(cause) + 1,
                        **_requester(cause),
                    },
                    "correlation_id": cause.correlation_id or cause.event_id,
                    "causation_id": effect.decision_id,
                }
            )
        except ValidationError as problem:
            error = problem.errors(include_url=False)[0]
            field = ".".join(str(step) for step in error["loc"])
            raise EffectRefused(f"the event does not fit: {field}: {error['msg']}") from problem


def _requester(cause: WorkflowEvent) -> dict[str, str]:
    """Who asked stays who asked, however many events lie between: else a chain would make their request another's."""
    name = (cause.metadata.model_extra or {}).get("requested_by")
    return {"requested_by": name} if isinstance(name, str) and name else {}
