"""Desks: one line each; one desk's day with figures, pictures and runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final  # Any: values of templates
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tradeloop.domain.approvals import ApprovalFilter
from tradeloop.domain.desk_days import Coverage, bounds
from tradeloop.errors import NotFound, UsageInvalid
from tradeloop.report.words import said, span
from tradeloop.web.cases import case_for, charts
from tradeloop.web.front import Front, PageRoute, front_of, shown

router = APIRouter(route_class=PageRoute)
SHOWN: Final = 50
PICTURED: Final = 12
"""Runs of a day whose facts are read for its pictures."""
MOST_ASKED: Final = 1000


@router.get("/desks", name="page_desks")
async def desks(request: Request) -> Response:
    """One line a desk, of today in UTC."""
    front, today = front_of(request), datetime.now(UTC).date()
    rows = await asyncio.gather(*(_row(front, desk, today) for desk in front.desks))
    return await shown(request, "desks.html", {"rows": rows, "day": today})


@router.get("/desks/{desk}", name="page_desk")
async def desk(request: Request, desk: str) -> Response:
    """A desk's day: figures, pictures, runs."""
    front, day = front_of(request), _day(request.query_params.get("date", ""))
    days = front.services.days
    if desk not in front.desks and not await days.is_known(desk):
        raise NotFound(f"there is no desk {desk[:60]!r}.", hint=f"desks here: {', '.join(front.desks)}")
    (found, total), coverage, stopped = await asyncio.gather(
        days.runs(desk, day, limit=SHOWN), days.coverage(desk, day), front.stopped(desk)
    )
    cases = [case for case, _ in await asyncio.gather(*(case_for(front, run) for run in found[:PICTURED]))]
    last = await days.last_before(desk, bounds(day)[0]) if not found else None
    today = datetime.now(UTC).date()
    values = {
        "desk": desk,
        "day": day,
        "before": (day - timedelta(days=1)).isoformat(),
        "after": (day + timedelta(days=1)).isoformat() if day < today else "",
        "coverage": coverage,
        "tiles": tiles(desk, coverage),
        "pictures": await charts(front, cases, desk),
        "rows": found,
        "total": total,
        "asked": len(await _asked(front, desk)),
        "stopped": stopped,
        "last_day": last.isoformat() if last else "",
    }
    return await shown(request, "desk.html", values)


def tiles(desk: str, found: Coverage) -> list[tuple[str, str, str, str]]:
    """Figures: name, figure, what it counts, and the rows behind it."""
    where = quote(desk)
    waiting, ended = sum(found.open.values()), sum(found.ended.values())
    effects = ", ".join(f"{number:,} {said(word)}" for word, number in found.effects.items()) or "no decision had one"
    by = ", ".join(f"{number:,} by {who}" for who, number in found.decided_by.items()) or "nothing"
    took = (
        f"half of {found.decided:,} within it; the slowest {span(found.slowest_s)}"
        if found.median_s
        else "nothing was decided"
    )
    return [
        ("received", f"{found.received:,}", f"events of the day; {found.doubles:,} came twice", f"/runs?desk={where}"),
        ("decided", f"{found.decided:,}", f"{by}; {found.degraded:,} degraded", f"/decisions?desk={where}"),
        ("ended undecided", f"{ended:,}", ", ".join(said(one) for one in found.ended) or "none", ""),
        ("open now", f"{waiting:,}", ", ".join(said(one) for one in found.open) or "none", f"/runs?desk={where}"),
        ("effects", f"{sum(found.effects.values()):,}", effects, ""),
        ("dead letters", f"{sum(found.dead_letters.values()):,}", "of the desk's runs of the day", "/dead-letters"),
        ("intake to decision", span(found.median_s), took, ""),
    ]


async def _row(front: Front, desk: str, day: date) -> dict[str, Any]:
    coverage, asked, stopped = await asyncio.gather(
        front.services.days.coverage(desk, day), _asked(front, desk), front.stopped(desk)
    )
    return {
        "desk": desk,
        "coverage": coverage,
        "asked": len(asked),
        "nearest": asked[0].deadline_at if asked else None,
        "stopped": stopped is not None,
    }


async def _asked(front: Front, desk: str) -> list[Any]:
    if front.services.approvals is None:
        return []
    return await front.services.approvals.matching(ApprovalFilter(desk=desk, limit=MOST_ASKED))


def _day(text: str) -> date:
    today = datetime.now(UTC).date()
    if not text:
        return today
    try:
        found = date.fromisoformat(text)
    except ValueError as problem:
        raise UsageInvalid(f"{text[:30]!r} is no day: 2026-11-23 is expected.") from problem
    if not found.year >= 1990 or found > today:
        raise UsageInvalid(
            f"{found.isoformat()} is still to come, or too long ago; in UTC today is {today.isoformat()}."
        )
    return found
