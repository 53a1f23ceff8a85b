"""The page's own files, and what is at no address."""

from __future__ import annotations

from typing import Any  # Any: ASGI's scope

from fastapi import APIRouter, Request, Response
from starlette.routing import Match

from tradeloop.errors import NotFound
from tradeloop.web import assets, headers
from tradeloop.web.front import PageRoute, told
from tradeloop.web.troubles import trouble_of

router = APIRouter(route_class=PageRoute)


@router.get("/static/{name}", name="page_static")
async def static(name: str) -> Response:
    """A file; its address has its content's digest, so it is kept for ever."""
    if name not in assets.names():
        raise NotFound("there is no such file.")
    known = headers.security() | {"Cache-Control": headers.KEPT}
    return Response(assets.content(name), media_type=assets.media_type(name), headers=known)


class NowhereRoute(PageRoute):
    """Every address that is no page's, for browsers alone: programs get the API's own answer."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Whether a person's browser asks for an address outside of the API."""
        wants = dict(scope.get("headers", [])).get(b"accept", b"")
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or b"text/html" not in wants:
            return Match.NONE, {}
        if scope["path"].startswith("/api/"):
            return Match.NONE, {}
        return super().matches(scope)


nowhere = APIRouter(route_class=NowhereRoute)


@nowhere.get("/{path:path}", name="page_nowhere")
async def anywhere(path: str, request: Request) -> Response:
    """Say so, and offer the search."""
    return await told(request, trouble_of(NotFound(f"no page has the address /{path[:200]}.")))
