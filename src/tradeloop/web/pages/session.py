"""Signing in with an API key, and out."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from tradeloop.api.identity import address_of
from tradeloop.domain.keys import key_id_of
from tradeloop.errors import Forbidden, Unauthenticated
from tradeloop.web.front import PageRoute, form_of, front_of, local, seen, shown
from tradeloop.web.troubles import Trouble, trouble_of

router = APIRouter(route_class=PageRoute)


@router.get("/login", name="page_login")
async def login(request: Request) -> Response:
    """Ask for a key."""
    return await _asked(request, request.query_params.get("next", "/"))


@router.post("/login", name="send_login")
async def sign_in(request: Request) -> Response:
    """Open a session for the person whose key it is."""
    services, form = front_of(request).services, await form_of(request)
    services.cookies.check_origin(request.method, request.headers.get("origin"), request.headers.get("host", ""))
    services.limits.check_address(address_of(request))
    key, wanted = form.get("key", "").strip(), local(form.get("next", "/"))
    try:
        principal = await services.people.by_key(key)
        if principal.kind != "person":
            raise Forbidden(f"{principal.name} is a service: its key is for programs, and every answer names a person.")
    except (Unauthenticated, Forbidden) as problem:
        services.limits.note_failure(address_of(request))
        return await _asked(request, wanted, trouble_of(problem))
    response = seen(wanted)
    await services.cookies.open(response, principal.name, key_id=key_id_of(key))
    return response


@router.post("/logout", name="send_logout")
async def sign_out(request: Request) -> Response:
    """End the session on the server, too."""
    response = seen("/login")
    await front_of(request).services.cookies.close(response, request.cookies)
    return response


async def _asked(request: Request, wanted: str, problem: Trouble | None = None) -> Response:
    where = local(wanted)
    values = {
        "problem": problem,
        "next": where,
        "fresh": request.query_params.get("fresh") == "1",
        "window_url": f"{request.base_url}login?{urlencode({'next': where.replace('frame=1', '').rstrip('?&')})}",
    }
    return await shown(request, "login.html", values, status=problem.status if problem else 200, block="main")
