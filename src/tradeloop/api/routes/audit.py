"""The audit: its newest records, and how it stands."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request

from tradeloop.api.identity import services_of
from tradeloop.api.paging import Cursor, Limit, Page, cursor_of, page, places_in
from tradeloop.api.router import new_router, reading
from tradeloop.api.routes.runs import AuditModel

router = new_router("audit")


@router.get("/audit", responses=reading())
async def list_audit(
    request: Request,
    kind: Annotated[str, Query(max_length=100, description="Exactly this kind.")] = "",
    stream_id: UUID | None = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[AuditModel]:
    """Audit records, the newest first."""
    before = places_in("audit", cursor, int)
    found = await services_of(request).trail.recent(
        kind=kind, stream=stream_id, before=before[0] if before else None, limit=limit + 1
    )
    last = found[:limit][-1].id if found else 0
    return page(
        [AuditModel.model_validate(one, from_attributes=True) for one in found], limit, cursor_of("audit", last)
    )
