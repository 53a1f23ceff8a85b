"""Decisions, and the evidence of each."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from tradeloop.api.evidence import bundle_of
from tradeloop.api.identity import services_of
from tradeloop.api.paging import Cursor, Limit, Page, Since, cursor_of, page, places_in
from tradeloop.api.router import new_router, reading
from tradeloop.api.routes.runs import Desk, RunModel, run_model
from tradeloop.errors import NotFound

router = new_router("decisions")


@router.get("/decisions", responses=reading())
async def list_decisions(
    request: Request,
    desk: Desk = "",
    subject: Annotated[str, Query(max_length=500)] = "",
    since: Since = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[RunModel]:
    """Runs that were decided, the newest first, each with its decision."""
    before = places_in("decisions", cursor, UUID)
    views = await services_of(request).days.recent(
        limit=limit + 1, desk=desk, subject=subject, since=since, decided=True, before=before[0] if before else None
    )
    last = views[:limit][-1].run_id if views else None
    return page([run_model(view) for view in views], limit, cursor_of("decisions", last))


@router.get("/decisions/{decision_id}", responses=reading(404))
async def get_decision(request: Request, decision_id: UUID) -> RunModel:
    """One decision with its run."""
    view = await services_of(request).days.find(str(decision_id))
    if view.decision is None or view.decision_id != decision_id:
        raise NotFound(f"there is no decision {decision_id}.")
    return run_model(view)


@router.get(
    "/decisions/{decision_id}/bundle.zip",
    response_class=Response,
    responses={
        **reading(404, 409),
        200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
async def get_decision_bundle(request: Request, decision_id: UUID) -> Response:
    """Everything that proves one decision, to be verified without us."""
    view = await services_of(request).days.find(str(decision_id))
    if view.decision is None or view.decision_id != decision_id:
        raise NotFound(f"there is no decision {decision_id}.")
    content = await bundle_of(services_of(request), view)
    name = f"decision-{decision_id}.zip"
    return Response(
        content, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
