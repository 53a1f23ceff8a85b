"""Events, what became of them, and the stream of what changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final  # Any: JSON of events
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel

from tradeloop.api.changes import Listener
from tradeloop.api.identity import caller_of, principal_of, services_of
from tradeloop.api.router import new_router, reading
from tradeloop.api.services import Services
from tradeloop.domain.approvals import ApprovalState
from tradeloop.domain.decisions import Decision
from tradeloop.domain.people import Role
from tradeloop.domain.runs import RunState, decision_id_of
from tradeloop.errors import Forbidden, NotFound, TradeloopError, Unauthenticated

router = new_router("events")
MAX_WAIT_S: Final = 30
LOOK_S: Final = 2.0
"""A long poll looks so often, whatever it hears."""
HEARTBEAT_S: Final = 15.0
"""Proxies close what is silent; and whoever may no longer listen is let go."""
RETRY_MS: Final = 2000
READERS: Final = (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMINISTRATOR)


class Asked(BaseModel):
    """A question to people that the run rests on, or rested on."""

    approval_id: UUID
    state: ApprovalState
    deadline_at: AwareDatetime
    digest: str


class EventDecision(BaseModel):
    """What became of an event."""

    event_id: UUID
    decision_id: UUID
    run_id: UUID | None
    """Null: it is on its way to a worker."""
    state: RunState
    is_final: bool
    decision: Decision | None
    effect: dict[str, Any] | None
    error: str
    approvals: list[Asked]


class EventModel(BaseModel):
    """An event as it came in."""

    event_id: UUID
    run_id: UUID
    event_type: str
    subject: str
    desk: str
    lane: str
    received_at: AwareDatetime
    event: dict[str, Any] | None
    """The envelope; null: it is over its time."""


@router.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses={**reading(), 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_changes(request: Request) -> StreamingResponse:
    """Server-sent events of what changed: `runs`, `approvals`, `effects`, `letters`, `switches`, `people`, `audit`,
    `backlog`, and `refresh` (load all again); data are ids, `*` for too many. A hint: the truth is in the other routes.
    """
    services, principal = services_of(request), await principal_of(request)
    services.changes.check(principal.name)

    async def told() -> AsyncIterator[str]:
        # Not before: a caller who goes away before the first line would be taken as one who listens for ever.
        async with services.changes.listening(principal.name) as listener:
            async for text in _told(request, listener):
                yield text

    return StreamingResponse(
        told(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


@router.get("/events/{event_id}", responses=reading(404))
async def get_event(request: Request, event_id: UUID) -> EventModel:
    """One event, as it came in."""
    services = services_of(request)
    view = await services.days.of_event(event_id)
    if view is None:
        raise NotFound(f"there is no event {event_id}.")
    payload = await services.days.payload(view.run_id)
    return EventModel(
        event_id=view.event_id,
        run_id=view.run_id,
        event_type=view.event_type,
        subject=view.subject,
        desk=view.desk,
        lane=view.lane,
        received_at=view.received_at,
        event=json.loads(payload) if payload is not None else None,
    )


@router.get("/events/{event_id}/decision", responses=reading(404))
async def get_event_decision(
    request: Request,
    event_id: UUID,
    wait_s: Annotated[int, Query(ge=0, le=MAX_WAIT_S, description="Answer later, when it is over.")] = 0,
) -> EventDecision:
    """What became of an event. A service sees only what it triggered itself."""
    services = services_of(request)
    await may_see(request, services, event_id)
    found = await _decision_of(services, event_id)
    if found.is_final or not wait_s:
        return found
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    principal = await principal_of(request)
    async with services.changes.listening(principal.name) as listener:
        while not found.is_final and not listener.is_over and (left := until - loop.time()) > 0:
            await _until_concerned(listener, found.run_id, min(left, LOOK_S))
            if await request.is_disconnected():
                break
            found = await _decision_of(services, event_id)
    return found


async def _until_concerned(listener: Listener, run_id: UUID | None, within_s: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while (left := until - loop.time()) > 0 and not listener.is_over:
        changed = await listener.next(left)
        runs = changed.get("runs", set())
        if "*" in runs or str(run_id) in runs or (run_id is None and changed):
            return


async def may_see(request: Request, services: Services, event_id: UUID) -> None:
    """Let readers through, and a service to what it triggered itself.

    Raises:
        NotFound: it is not this caller's.
    """
    principal = await principal_of(request)
    if principal.has(*READERS):
        return
    triggered = await services.triggers.find(event_id)
    if triggered is None or triggered.principal != principal.name:
        raise NotFound(f"there is no event {event_id} of yours.")


async def _decision_of(services: Services, event_id: UUID) -> EventDecision:
    view = await services.days.of_event(event_id)
    if view is None:
        if await services.triggers.find(event_id) is None:
            raise NotFound(f"there is no event {event_id}.")
        return EventDecision(
            event_id=event_id,
            decision_id=decision_id_of(services.settings.instance, event_id, 0),
            run_id=None,
            state=RunState.QUEUED,
            is_final=False,
            decision=None,
            effect=None,
            error="",
            approvals=[],
        )
    asked = await services.approvals.of_run(view.run_id) if services.approvals else []
    return EventDecision(
        event_id=event_id,
        decision_id=view.decision_id,
        run_id=view.run_id,
        state=view.state,
        is_final=view.state.is_final,
        decision=view.decision,
        effect=view.effect or None,
        error=view.error,
        approvals=[
            Asked(approval_id=one.approval_id, state=one.state, deadline_at=one.deadline_at, digest=one.digest)
            for one in asked
        ],
    )


async def _told(request: Request, listener: Listener) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    loop = asyncio.get_running_loop()
    checked_at = loop.time()
    while not listener.is_over:
        changed = await listener.next(HEARTBEAT_S)
        if loop.time() - checked_at >= HEARTBEAT_S:
            checked_at = loop.time()
            if not await _may_still(request):
                break
        if not changed:
            yield ": still here\n\n"
        for kind, ids in changed.items():
            yield f"event: {kind}\ndata: {json.dumps(sorted(ids))}\n\n"
    yield "event: bye\ndata: []\n\n"


async def _may_still(request: Request) -> bool:
    before = request.state.caller
    del request.state.caller
    try:
        caller = await caller_of(request)
    except (Unauthenticated, Forbidden):
        return False
    except TradeloopError:
        request.state.caller = before  # the database is away: the stream tells nothing meanwhile, either
        return True
    return caller.principal.has(*READERS)
