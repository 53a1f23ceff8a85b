"""Stops: what is stopped, what that holds back, stopping and releasing. No question box asks again: a reason does."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final  # Any: values of templates
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tradeloop.domain.people import Role
from tradeloop.domain.switches import GLOBAL, Switch, scope_of
from tradeloop.store.overview import Held
from tradeloop.web.front import Front, PageRoute, form_of, front_of, person_of, seen, shown
from tradeloop.web.troubles import Trouble

router = APIRouter(route_class=PageRoute)
SHORTEST, LONGEST = 3, 300
EVERY_DESK: Final = "every desk"


@router.get("/switch", name="page_switch")
async def switch(request: Request) -> Response:
    """Every scope, with what a stop of it holds back."""
    return await _page(request)


@router.post("/switch/stop", name="send_stop")
async def stop(request: Request) -> Response:
    """Let no new effect begin; once this is answered, none begins any more."""
    return await _turned(request, stopped=True)


@router.post("/switch/release", name="send_release")
async def release(request: Request) -> Response:
    """Let effects begin again; what rested goes on at once."""
    return await _turned(request, stopped=False)


async def _turned(request: Request, *, stopped: bool) -> Response:
    form = await form_of(request)
    desk, reason = form.get("desk", ""), form.get("reason", "").strip()
    if not SHORTEST <= len(reason) <= LONGEST:
        trouble = Trouble(422, "invalid", f"Say why, in {SHORTEST} to {LONGEST} characters: others find it stopped.")
        return await _page(request, trouble, typed=reason, desk=desk)
    scope = scope_of(desk or None)
    services = front_of(request).services
    changed = await services.switches.turn(scope, stopped=stopped, by=person_of(request).name, reason=reason)
    word = "stopped" if stopped else "released"
    done = f"{desk or EVERY_DESK} {'' if changed else 'was '}{word}{'' if changed else ' already'}"
    return seen(f"/switch?done={quote(done)}")


async def _page(request: Request, trouble: Trouble | None = None, *, typed: str = "", desk: str = "") -> Response:
    front, me = front_of(request), person_of(request)
    known = {one.scope: one for one in await front.services.switches.all()}
    names = dict.fromkeys([GLOBAL, *(f"desk:{one}" for one in front.desks), *known])
    done = request.query_params.get("done", "")[:120]
    is_ours = done.endswith((" stopped", " released", " already"))
    values = {
        "scopes": [await _scope(front, name, known.get(name)) for name in names],
        "desk_wanted": desk or request.query_params.get("desk", "")[:100],
        "can_stop": me.has(Role.OPERATOR, Role.ADMINISTRATOR),
        "can_release": me.has(Role.ADMINISTRATOR),
        "problem": trouble,
        "typed": typed,
        "done": f"{done[:1].upper()}{done[1:]}." if is_ours else "",
    }
    return await shown(request, "switch.html", values, status=trouble.status if trouble else 200)


async def _scope(front: Front, scope: str, switch: Switch | None) -> dict[str, Any]:
    desk = "" if scope == GLOBAL else scope.removeprefix("desk:")
    stopped = switch is not None and switch.stopped
    held = await front.overview.held(desk, switch.changed_at) if switch is not None and stopped else Held(0, 0, 0)
    return {
        "name": desk or EVERY_DESK,
        "desk": desk,
        "state": "never stopped" if switch is None else "stopped" if stopped else "released",
        "stopped": stopped,
        "by": switch.changed_by if switch else "",
        "at": switch.changed_at if switch else None,
        "reason": switch.reason if switch else "",
        "runs": held.runs,
        "asked": held.asked,
        "last_effect": _verified(held, switch.changed_at) if switch is not None and stopped else None,
    }


def _verified(held: Held, since: datetime) -> str:
    at = f"{since:%H:%M:%S}.{since.microsecond // 1000:03d}Z"
    return (
        f"no new effect since {at}" if not held.begun else f"{held.begun} effects began after {at}: tell the engineers"
    )
