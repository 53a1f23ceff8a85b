"""The audit's heads and newest records; and whether the gate is more than a rubber stamp."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from tradeloop.api.evidence import chain_of
from tradeloop.domain.approvals import Approval, ApprovalFilter
from tradeloop.store.audit_chain import Verification
from tradeloop.web.front import Front, PageRoute, front_of, person_of, seen, shown
from tradeloop.web.oversight import by_approver, by_key, in_all

router = APIRouter(route_class=PageRoute)
DAYS: Final = (7, 30, 90)
PAGE: Final = 1000
MOST: Final = 20_000
"""Questions that the figures are made of; with more the newest count."""


@router.get("/audit", name="page_audit")
async def audit(request: Request) -> Response:
    """Heads and newest records."""
    front = front_of(request)
    values = {
        "head": await _head(front),
        "records": await front.overview.newest_records(),
        "verifying": front.verifier.last,
    }
    return await shown(request, "audit.html", values)


@router.post("/audit/verify", name="send_verify")
async def verify(request: Request) -> Response:
    """Verify the whole audit now; the page tells how it goes."""
    await front_of(request).verifier.ask(person_of(request).name)
    return seen("/audit")


@router.get("/audit/oversight", name="page_oversight")
async def oversight(request: Request) -> Response:
    """Figures by approver, rule and desk."""
    front = front_of(request)
    given = request.query_params.get("days", "")
    days = int(given) if given in {str(one) for one in DAYS} else 30
    asked = await _asked(front, datetime.now(UTC) - timedelta(days=days))
    values = {
        "total": len(asked),
        "days": days,
        "all": in_all(asked),
        "approvers": by_approver(asked),
        "rules": by_key(asked, lambda one: one.requirement.rule),
        "desks": by_key(asked, lambda one: one.desk),
    }
    return await shown(request, "oversight.html", values, block="main")


async def _asked(front: Front, since: datetime) -> list[Approval]:
    """Questions asked since then, the newest first."""
    found: list[Approval] = []
    after = ""
    while len(found) < MOST:
        rows = await front.approvals.matching(ApprovalFilter(states=(), order="newest", limit=PAGE, after=after))
        found += [one for one in rows if one.asked_at >= since]
        if len(rows) < PAGE or rows[-1].asked_at < since:
            break
        after = f"{rows[-1].asked_at.isoformat()}~{rows[-1].approval_id}"
    return found


async def _head(front: Front) -> list[tuple[str, str]]:
    """The last signed root; nothing where none was signed yet."""
    found = await chain_of(front.services)
    if not found.seal:
        return []
    verified = found.last_verification
    return [
        ("seal", f"{found.seal:,}"),
        ("sealed at", f"{found.sealed_at:%Y-%m-%d %H:%M:%SZ}" if found.sealed_at else "—"),
        ("head", found.head),
        ("root", found.root),
        ("key", found.key_id or "—"),
        ("signature", found.signature or "none"),
        ("records that wait for a seal", f"{found.unsealed:,}"),
        ("last full verification", "never" if verified is None else _words(verified)),
    ]


def _words(found: Verification) -> str:
    findings = "nothing found" if not found.findings else f"{found.findings:,} findings"
    return f"{found.verified_at:%Y-%m-%d %H:%M:%SZ}: {found.records:,} records, {findings}"
