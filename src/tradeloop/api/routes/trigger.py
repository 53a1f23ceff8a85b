"""Events from programs and people: into the outbox, so that they enter as every other event does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from tradeloop.api.identity import principal_of, services_of
from tradeloop.api.problems import Refusal
from tradeloop.api.router import PREFIX, new_router, writing
from tradeloop.domain.canonical import canonical_json, sha256_hex
from tradeloop.domain.events import MAX_EVENT_BYTES, MAX_SUBJECT, WorkflowEvent
from tradeloop.domain.lifecycle import LifecycleType
from tradeloop.domain.records import Lane
from tradeloop.domain.runs import decision_id_of, derive_id
from tradeloop.errors import EventTooLarge
from tradeloop.kafka.messages import to_record

router = new_router("workflows")
RESERVED: Final = frozenset({"decision.recorded", *(known.value for known in LifecycleType)})
"""Types that only tradeloop itself may tell."""
SOURCE: Final = "tradeloop-api"
KEY: Final = r"^[\x21-\x7e]{1,200}$"


class Trigger(BaseModel):
    """An event to be decided."""

    model_config = ConfigDict(extra="forbid")
    event_type: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.-]+$", examples=["breaks.reported"])
    subject: str = Field(default="", max_length=MAX_SUBJECT)
    """The business key: of one subject, one event at a time is decided. Empty: workflow and run."""
    data: dict[str, JsonValue] = Field(default_factory=dict)
    workflow_id: str = Field(default="api", min_length=1, max_length=250)
    workflow_run_id: str = Field(default="", max_length=250)
    """Empty: the event's id."""
    task_id: str = Field(default="", max_length=250)
    """Of an Airflow task that asks, and its map index: its page finds the run by them."""
    map_index: int = Field(default=-1, ge=-1, le=1_000_000_000)
    correlation_id: UUID | None = None
    """Of the chain that the asker belongs to; null: the event begins one."""
    causation_id: UUID | None = None
    chain_depth: int = Field(default=0, ge=0, le=1000)
    """How many decisions led to this event; a chain that grows too long is ended."""


class Accepted(BaseModel):
    """Where to look for what becomes of it."""

    event_id: UUID
    decision_id: UUID
    status_url: str


@router.post("/workflows/trigger", status_code=202, responses=writing())
async def trigger_workflow(
    request: Request,
    response: Response,
    body: Trigger,
    idempotency_key: Annotated[
        str,
        Header(pattern=KEY, description="The same key and body again is the same event; another body is refused."),
    ],
) -> Accepted:
    """Accept an event for a workflow. It is durable when this answers, and decided later."""
    services, principal = services_of(request), await principal_of(request)
    known = sorted(set(services.workflows) - RESERVED)
    if body.event_type not in known:
        raise Refusal(
            422,
            "workflow_missing",
            f"no workflow answers {body.event_type}.",
            field="body.event_type",
            allowed=known,
        )
    settings = services.settings
    event_id = derive_id(settings.instance, "triggered", principal.name, idempotency_key)
    event = _event(body, event_id, principal.name, settings.environment)
    if (size_bytes := len(event.to_json().encode())) > MAX_EVENT_BYTES:
        raise EventTooLarge(f"the event has {size_bytes:,} bytes; at most {MAX_EVENT_BYTES:,} are taken.")
    digest = sha256_hex(canonical_json(body.model_dump(mode="json")))
    found = await services.triggers.trigger(
        event_id,
        to_record(event, settings.events_topic, Lane.OUTBOX),
        digest=digest,
        principal=principal.name,
        event_type=body.event_type,
    )
    if found.digest != digest:
        raise Refusal(
            422,
            "key_reused",
            "this idempotency key came before with another body; nothing was done.",
            field="header.idempotency-key",
        )
    if not found.is_first:
        response.headers["Idempotency-Replayed"] = "true"
    status_url = f"{PREFIX}/events/{event_id}/decision"
    response.headers["Location"] = status_url
    return Accepted(
        event_id=event_id, decision_id=decision_id_of(settings.instance, event_id, 0), status_url=status_url
    )


def _event(body: Trigger, event_id: UUID, requested_by: str, environment: str) -> WorkflowEvent:
    try:
        return WorkflowEvent.model_validate(
            {
                "event_id": event_id,
                "event_type": body.event_type,
                "timestamp": datetime.now(UTC),
                "source": SOURCE,
                "workflow_id": body.workflow_id,
                "workflow_run_id": body.workflow_run_id or str(event_id),
                "subject": body.subject,
                "payload": {"data": body.data},
                "metadata": {"environment": environment, "requested_by": requested_by, **_origin(body)},
                "correlation_id": body.correlation_id or event_id,
                "causation_id": body.causation_id,
            }
        )
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        field = ".".join(str(step) for step in error["loc"])
        raise Refusal(422, "invalid", f"{field}: {error['msg']}.", field=f"body.{field}") from problem


def _origin(body: Trigger) -> dict[str, JsonValue]:
    of_task: dict[str, JsonValue] = {"task_id": body.task_id, "map_index": body.map_index} if body.task_id else {}
    return of_task | ({"chain_depth": body.chain_depth} if body.chain_depth else {})
