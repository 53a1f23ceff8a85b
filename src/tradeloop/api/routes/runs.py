"""Runs: what became of the events."""

from __future__ import annotations

from typing import Annotated, Any  # Any: JSON of graphs
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tradeloop.api.identity import principal_of, services_of
from tradeloop.api.paging import Cursor, Limit, Page, Since, cursor_of, page, places_in
from tradeloop.api.router import new_router, reading, writing
from tradeloop.domain.decisions import Decision
from tradeloop.domain.runs import RunState, RunView
from tradeloop.engine.steps import steps_of

router = new_router("runs")
MAX_REASON = 500


class RunModel(BaseModel):
    """One run: live or over."""

    run_id: UUID
    state: RunState
    desk: str
    subject: str
    event_id: UUID
    event_type: str
    decision_id: UUID
    decision: Decision | None
    effect: dict[str, Any]
    error: str
    fails: int
    graph: str
    graph_version: str
    lane: str
    topic: str
    partition: int
    offset: int
    appended_at: AwareDatetime
    received_at: AwareDatetime
    finished_at: AwareDatetime | None


class StepModel(BaseModel):
    """Nodes that ran side by side, and when their checkpoint was written."""

    nodes: list[str]
    at: AwareDatetime


class Steps(BaseModel):
    """The steps of a run, the first first."""

    run_id: UUID
    state: RunState
    items: list[StepModel]


class GraphValues(BaseModel):
    """What a run's graph holds after its last step."""

    run_id: UUID
    values: dict[str, Any]
    next: list[str]
    """Nodes that are to run."""


class AuditModel(BaseModel):
    """One record of the audit."""

    id: int
    stream_id: UUID
    n: int
    kind: str
    body: dict[str, Any]
    at: AwareDatetime


class Trail(BaseModel):
    """Audit records of one stream, the oldest first."""

    items: list[AuditModel]


class Cancel(BaseModel):
    """Why a run shall end."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=MAX_REASON)


class Cancelling(BaseModel):
    """Where a run stands whose end was asked for; its worker obeys."""

    run_id: UUID
    state: RunState


State = Annotated[RunState | None, Query(description="Only runs in this state.")]
Desk = Annotated[str, Query(max_length=100, description="Only of this desk.")]


def run_model(view: RunView) -> RunModel:
    """A run for clients."""
    return RunModel.model_validate(view, from_attributes=True)


@router.get("/runs", responses=reading())
async def list_runs(
    request: Request,
    state: State = None,
    desk: Desk = "",
    event_type: Annotated[str, Query(max_length=200)] = "",
    subject: Annotated[str, Query(max_length=500, description="Exactly this subject.")] = "",
    since: Since = None,
    with_unhandled: Annotated[bool, Query(description="Events that no desk answers, too.")] = False,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[RunModel]:
    """Runs, the newest first."""
    before = places_in("runs", cursor, UUID)
    views = await services_of(request).days.recent(
        limit=limit + 1,
        state=state.value if state else "",
        desk=desk,
        since=since,
        with_unhandled=with_unhandled or state is RunState.UNHANDLED,
        event_type=event_type,
        subject=subject,
        before=before[0] if before else None,
    )
    last = views[:limit][-1].run_id if views else None
    return page([run_model(view) for view in views], limit, cursor_of("runs", last))


@router.get("/runs/{run_id}", responses=reading(404))
async def get_run(request: Request, run_id: UUID) -> RunModel:
    """One run, by its own id, its event's or its decision's."""
    return run_model(await services_of(request).days.find(str(run_id)))


@router.get("/runs/{run_id}/steps", responses=reading(404))
async def get_run_steps(request: Request, run_id: UUID) -> Steps:
    """The steps that a run has taken."""
    services = services_of(request)
    view = await services.days.find(str(run_id))
    steps = await steps_of(services.saver, view.run_id)
    return Steps(
        run_id=view.run_id, state=view.state, items=[StepModel(nodes=list(one.nodes), at=one.at) for one in steps]
    )


@router.get("/runs/{run_id}/state", responses=reading(404))
async def get_run_state(request: Request, run_id: UUID) -> GraphValues:
    """What a run's graph holds; empty before its first checkpoint and when that is over its time."""
    services = services_of(request)
    view = await services.days.find(str(run_id))
    values, following = await services.state_of(view.run_id)
    return GraphValues(run_id=view.run_id, values=values, next=following)


@router.get("/runs/{run_id}/audit", responses=reading(404))
async def get_run_audit(request: Request, run_id: UUID) -> Trail:
    """What the audit has of a run."""
    services = services_of(request)
    view = await services.days.find(str(run_id))
    found = await services.trail.of_stream(view.run_id)
    return Trail(items=[AuditModel.model_validate(one, from_attributes=True) for one in found])


@router.post("/runs/{run_id}/cancel", status_code=202, responses=writing(404))
async def cancel_run(request: Request, run_id: UUID, body: Cancel) -> Cancelling:
    """Ask that a live run end. Its worker obeys, unless an effect has begun. Audited."""
    services, principal = services_of(request), await principal_of(request)
    view = await services.days.find(str(run_id))
    state = await services.live.cancel(view.run_id, by=principal.name, reason=body.reason)
    return Cancelling(run_id=view.run_id, state=state)
