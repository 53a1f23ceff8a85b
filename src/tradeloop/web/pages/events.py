"""One event: its envelope as it came, and every place where it was seen."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response

from tradeloop.store.sightings import Sightings
from tradeloop.web.front import PageRoute, front_of, shown
from tradeloop.web.rendering import pretty
from tradeloop.web.sentences import why

router = APIRouter(route_class=PageRoute)


@router.get("/events/{prefix}", name="page_event")
async def event(request: Request, prefix: str) -> Response:
    """By the beginning of its id."""
    front = front_of(request)
    found = await Sightings(front.services.database).find(prefix)
    run = await front.services.days.of_event(found.event_id)
    try:
        body = json.loads(found.payload)
    except (ValueError, RecursionError):
        body = found.payload.decode("utf-8", "replace")
    fields = [("event_id", str(found.event_id))]
    if isinstance(body, dict):
        fields += [(name, _told(value)) for name, value in body.items() if name not in ("event_id", "payload")]
    fields += [(f"header {name}", value) for name, value in found.headers]
    payload = body.get("payload") if isinstance(body, dict) else body
    data = payload.get("data", payload) if isinstance(payload, dict) else payload
    values = {
        "event": found,
        "run": run,
        "why": why(run) if run else "",
        "fields": fields,
        "data": pretty(data) if not isinstance(data, str) else data,
    }
    return await shown(request, "event.html", values)


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
