"""What keeps open pages true: one event stream a browser that says *that* something changed, and the vital numbers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from tradeloop.web import headers
from tradeloop.web.front import PageRoute, front_of, person_of, plain

router = APIRouter(route_class=PageRoute)
HEARTBEAT_S: Final = 15.0
"""Shorter than any proxy's patience."""
LIFE: Final = 240
"""Heartbeats; then the browser connects again, and its right is looked up again."""


@router.get("/live", name="page_live")
async def live(request: Request) -> Response:
    """Topics of what changed, as it changes."""
    changes, name = front_of(request).services.changes, person_of(request).name

    async def told() -> AsyncIterator[str]:
        async with changes.listening(name) as listener:
            yield "retry: 2000\n\n"
            for _ in range(LIFE):
                changed = await listener.next(HEARTBEAT_S)
                if listener.is_over:
                    return
                yield f"data: {json.dumps({'topics': sorted(changed)})}\n\n" if changed else ": still here\n\n"

    known = headers.security() | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=known)


@router.get("/vitals", name="page_vitals")
async def vitals(request: Request) -> Response:
    """The numbers of the top bar, and what is stopped."""
    return plain(request, "vitals.html", await front_of(request).surroundings(request), {})
