"""Whether it lives, whether it can work, and how it does."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from tradeloop.api.bodies import StrictRoute
from tradeloop.api.gauges import gauges
from tradeloop.api.identity import services_of
from tradeloop.api.metrics import CONTENT_TYPE
from tradeloop.api.router import problems, reading
from tradeloop.errors import TradeloopError

router = APIRouter(tags=["health"], route_class=StrictRoute)
READY_WITHIN_S = 3.0


class Health(BaseModel):
    """The process and what it needs."""

    status: Literal["ok", "away"]
    database: Literal["ok", "away", "other_schema", "not_asked"] = "not_asked"


@router.get("/livez", response_model=Health, responses=problems(400, 414))
async def livez() -> Health:
    """Whether the process answers; asks nothing else."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses={**problems(400, 414), 503: {"model": Health}})
async def readyz(request: Request) -> Response:
    """Whether it can work: the database answers and has this release's schema."""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            is_ours = await services_of(request).figures.schema_is_ours()
    except (TradeloopError, TimeoutError):
        return JSONResponse(Health(status="away", database="away").model_dump(), 503)
    if not is_ours:
        return JSONResponse(Health(status="away", database="other_schema").model_dump(), 503)
    return JSONResponse(Health(status="ok", database="ok").model_dump())


@router.get(
    "/metrics",
    response_class=Response,
    responses={**reading(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(request: Request) -> Response:
    """Figures of this process and of the whole, for Prometheus."""
    services = services_of(request)
    services.metrics.streams.set(services.changes.count)
    return Response(services.metrics.text() + await gauges(services), media_type=CONTENT_TYPE)
