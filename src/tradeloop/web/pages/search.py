"""Where is it: any id or its beginning, a digest, a symbol, a trade, a DAG run; one hit opens at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response

from tradeloop.domain.approvals import ApprovalFilter
from tradeloop.domain.letters import LetterFilter
from tradeloop.domain.runs import RunView
from tradeloop.errors import Ambiguous, NotFound
from tradeloop.web.front import Front, PageRoute, front_of, seen, shown

router = APIRouter(route_class=PageRoute)
SHORTEST: Final = 4
MOST: Final = 50
HEX: Final = frozenset("0123456789abcdef-")


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found."""

    what: str
    id: str
    url: str
    subject: str
    state: str
    at: datetime | None


@router.get("/search", name="page_search")
async def search(request: Request) -> Response:
    """The hits; one alone is opened."""
    q = request.query_params.get("q", "").strip()[:300]
    hits = await found(front_of(request), q) if q else []
    if len(hits) == 1 and request.headers.get("hx-request") != "true":
        return seen(hits[0].url)
    return await shown(request, "search.html", {"q": q, "hits": hits})


async def found(front: Front, q: str) -> list[Hit]:
    """What has that id, or its beginning, or that word in its subject."""
    is_id = set(q.lower().removeprefix("sha256:")) <= HEX and len(q) >= SHORTEST
    dag_id, _, dag_run_id = q.partition("/")
    parts = await asyncio.gather(
        _run(front, q) if is_id else _nothing(),
        _questions(front, q.removeprefix("sha256:")),
        _named(front, q),
        _dag_run(front, dag_id, dag_run_id) if dag_run_id else _nothing(),
        _letter(front, q) if q.isdecimal() and len(q) < 8 else _nothing(),
    )
    unique = {hit.url: hit for part in parts for hit in part}
    return list(unique.values())[:MOST]


async def _nothing() -> list[Hit]:
    return []


async def _run(front: Front, q: str) -> list[Hit]:
    try:
        return [_hit(await front.services.days.find(q))]
    except (NotFound, Ambiguous):
        return []


async def _questions(front: Front, q: str) -> list[Hit]:
    if front.services.approvals is None:
        return []
    rows = await front.approvals.matching(ApprovalFilter(states=(), text=q, order="newest", limit=20))
    return [
        Hit(
            f"question, version {one.version}",
            str(one.approval_id)[:8],
            f"/approvals/{one.approval_id}",
            one.subject,
            one.state.value,
            one.asked_at,
        )
        for one in rows
    ]


async def _named(front: Front, q: str) -> list[Hit]:
    return [_hit(run) for run in await front.overview.named(q)]


async def _dag_run(front: Front, dag_id: str, dag_run_id: str) -> list[Hit]:
    return [_hit(run) for run, _ in await front.overview.of_dag_run(dag_id, dag_run_id)]


async def _letter(front: Front, q: str) -> list[Hit]:
    rows = await front.services.letters.recent(LetterFilter(ids=(int(q),), state=None), 1)
    return [
        Hit(
            "dead letter",
            str(one.letter_id),
            f"/dead-letters/{one.letter_id}",
            one.cause,
            one.state.value,
            one.created_at,
        )
        for one in rows
    ]


def _hit(run: RunView) -> Hit:
    state = run.decision.outcome if run.decision else run.state.value
    return Hit("run", str(run.decision_id)[:8], f"/runs/{run.run_id}", run.subject, state, run.received_at)
