"""The road of an event: everything with one correlation id, from the DAG's task to the DAG run that was started."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tradeloop.domain.runs import RunView
from tradeloop.errors import NotFound
from tradeloop.web.front import Front, PageRoute, front_of, shown
from tradeloop.web.pages.runs import airflow_url, asked_of, road_of
from tradeloop.web.road import Leg
from tradeloop.web.road import drawing as road_drawing
from tradeloop.web.sentences import why

router = APIRouter(route_class=PageRoute)
DRAWN: Final = 5
"""Runs whose time line is drawn; the others are lines of the table."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One event of the trace, and what became of it."""

    run: RunView
    why: str
    task: str
    """`dag/run/task` that announced it; empty when it does not say."""
    airflow_url: str
    """Of the DAG run that its decision started."""
    legs: tuple[Leg, ...]
    road: Markup


@router.get("/trace/{correlation_id}", name="page_trace")
async def trace(request: Request, correlation_id: UUID) -> Response:
    """By a correlation id, or by the id of the event that began it."""
    front = front_of(request)
    found = await front.overview.of_trace(correlation_id)
    if not found:
        raise NotFound(
            f"no event of the last 30 days has the correlation id {correlation_id}.", hint="search for it: /search"
        )
    stretches = await asyncio.gather(*(_stretch(front, run, task, at) for at, (run, task) in enumerate(found)))
    return await shown(request, "trace.html", {"trace": correlation_id, "stretches": stretches})


async def _stretch(front: Front, run: RunView, task: str, at: int) -> Stretch:
    asked = await asked_of(front, run.run_id)
    legs = await road_of(front, run, asked) if at < DRAWN else []
    road = road_drawing(legs, f"road-{at}")
    return Stretch(run, why(run, asked), task, airflow_url(front, run), tuple(legs), road)
