"""The audit: its newest records, and how it stands."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel

from tradeloop.api.evidence import chain_of
from tradeloop.api.identity import services_of
from tradeloop.api.paging import Cursor, Limit, Page, cursor_of, page, places_in
from tradeloop.api.router import new_router, reading
from tradeloop.api.routes.runs import AuditModel

router = new_router("audit")


class Verification(BaseModel):
    """What the last verification of the whole audit said."""

    verified_at: AwareDatetime
    records: int
    seals: int
    findings: int
    """0: nothing was changed, removed, added or put in another order."""
    head: str


class Heads(BaseModel):
    """Where the chain stands."""

    seal: int
    head: str
    """Hash of the newest seal; of zeros when there is none."""
    sealed_at: AwareDatetime | None
    key_id: str
    """Of the key that signed it; empty: nobody did."""
    signature: str
    root: str
    unsealed: int
    """Records that wait."""
    oldest_unsealed_at: AwareDatetime | None
    last_verification: Verification | None


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


@router.get("/audit/heads", responses=reading())
async def get_audit_heads(request: Request) -> Heads:
    """How the chain stands: its newest seal, what waits for one, and what the last verification said."""
    found = await chain_of(services_of(request))
    last = found.last_verification
    return Heads(
        seal=found.seal,
        head=found.head,
        sealed_at=found.sealed_at,
        key_id=found.key_id,
        signature=found.signature,
        root=found.root,
        unsealed=found.unsealed,
        oldest_unsealed_at=found.oldest_unsealed_at,
        last_verification=Verification.model_validate(last, from_attributes=True) if last else None,
    )
