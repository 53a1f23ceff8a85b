"""The start, what a person chose and may do, and the help."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from tradeloop.domain.people import Role
from tradeloop.web.front import PageRoute, form_of, front_of, person_of, seen, shown
from tradeloop.web.preferences import COOKIE, ZONES, Preferences

router = APIRouter(route_class=PageRoute)
WORDS: Final = {
    Role.VIEWER: "reads",
    Role.OPERATOR: "stops desks, replays dead letters",
    Role.APPROVER: "answers questions, within the delegations below",
    Role.ADMINISTRATOR: "manages people and keys, releases stops; approves nothing by this role",
    Role.SERVICE: "a program: triggers workflows; approves nothing",
}
YEAR_S: Final = 31_536_000


@router.get("/", name="page_start")
async def start(request: Request) -> Response:
    """Whoever answers goes to the inbox, others to the desks."""
    answers = person_of(request).has(Role.APPROVER, Role.OPERATOR)
    return seen("/inbox" if answers else "/desks")


@router.get("/me", name="page_me")
async def me(request: Request) -> Response:
    """Time zone, theme, density, single keys; roles and delegations."""
    principal = person_of(request)
    values = {
        "zones": sorted(ZONES),
        "roles": [{"name": role.value, "words": WORDS[role]} for role in Role if role in principal.roles],
        "delegations": principal.delegations,
        "done": "Kept." if request.query_params.get("kept") else "",
    }
    return await shown(request, "me.html", values, block="main")


@router.post("/me", name="send_me")
async def keep(request: Request) -> Response:
    """Keep what was chosen; what does not fit falls back."""
    response = seen("/me?kept=1")
    form = await form_of(request)
    chosen = Preferences.chosen(form)
    is_secure = front_of(request).services.cookies.is_secure
    response.set_cookie(COOKIE, chosen.cookie, max_age=YEAR_S, path="/", samesite="lax", secure=is_secure)
    return response


@router.get("/help", name="page_help")
async def help_page(request: Request) -> Response:
    """Keys, states, and how answers count."""
    return await shown(request, "help.html", {})
