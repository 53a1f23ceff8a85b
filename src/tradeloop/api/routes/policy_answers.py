"""What deterministic policy alone decides of an event: for a task that waited long enough."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel

from tradeloop.api.identity import services_of
from tradeloop.api.problems import Refusal
from tradeloop.api.router import new_router, reading
from tradeloop.api.routes.events import may_see
from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent
from tradeloop.errors import NotFound

router = new_router("events")
WITHIN_S: Final = 20.0
"""Policy is code on one event; what takes longer is asked for again."""


class PolicyAnswer(BaseModel):
    """Policy's own answer; nothing is stored, and nothing of it is carried out."""

    event_id: UUID
    event_type: str
    graph_version: str
    decision: Decision | None
    """Null: it has none; `error` says why."""
    error: str


@router.get("/events/{event_id}/policy", responses=reading(404, 409))
async def get_policy_answer(request: Request, event_id: UUID) -> PolicyAnswer:
    """What today's policy decides of the event by itself: no model, no person, no effect. A service sees only what it
    triggered itself.
    """
    from tradeloop.engine.rehearsal import rehearse  # LangGraph takes a second to import, and few ask for this

    services = services_of(request)
    await may_see(request, services, event_id)
    view = await services.days.of_event(event_id)
    if view is None and await services.triggers.find(event_id) is None:
        raise NotFound(f"there is no event {event_id}.")
    payload = await services.days.payload(view.run_id) if view else None
    if view is None or payload is None:
        code, why = ("on_its_way", "has not arrived yet") if view is None else ("over_its_time", "is not kept any more")
        raise Refusal(503 if view is None else 409, code, f"event {event_id} {why}.")
    workflow = services.workflows.get(view.event_type)
    if workflow is None:
        raise Refusal(409, "workflow_missing", f"no workflow of this service answers {view.event_type}.")
    decision, error = None, ""
    try:
        async with asyncio.timeout(WITHIN_S):
            decision = await rehearse(workflow, WorkflowEvent.from_json(payload))
    except TimeoutError as problem:
        raise Refusal(503, "slow", f"policy did not answer within {WITHIN_S:g} s.") from problem
    except Exception as problem:  # noqa: BLE001 - a desk's own code, on this event; the asker is told
        error = f"{type(problem).__name__}: {problem}"[:500]
    return PolicyAnswer(
        event_id=event_id,
        event_type=view.event_type,
        graph_version=workflow.version,
        decision=decision,
        error=error or ("" if decision else "it would wait for a person"),
    )
