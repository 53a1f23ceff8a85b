"""Stops: what is stopped, what that holds back, stopping and releasing. No question box asks again: a reason does."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final  # Any: values of templates
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tradeloop.domain.people import Principal, Role
from tradeloop.domain.switches import GLOBAL, AskedRelease, Switch, may_release, scope_of
from tradeloop.errors import Forbidden, ReleaseRefused
from tradeloop.gate.release import ask_release, confirm_release
from tradeloop.store.overview import Held
from tradeloop.web.front import Front, PageRoute, form_of, front_of, person_of, seen, shown
from tradeloop.web.troubles import Trouble, trouble_of

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
    desk, reason, trouble = await _filled(request)
    if trouble:
        return await _page(request, trouble, typed=reason, desk=desk)
    services = front_of(request).services
    scope, name = scope_of(desk or None), person_of(request).name
    changed = await services.switches.turn(scope, stopped=True, by=name, reason=reason)
    what = desk or EVERY_DESK
    return seen(f"/switch?done={quote(f'{what} stopped' if changed else f'{what} was stopped already')}")


@router.post("/switch/release", name="send_release")
async def release(request: Request) -> Response:
    """Ask that effects begin again; another person confirms it."""
    desk, reason, trouble = await _filled(request)
    if trouble:
        return await _page(request, trouble, desk=desk, release_typed=reason)
    services, what = front_of(request).services, desk or EVERY_DESK
    try:
        asked = await ask_release(
            services.switches,
            scope_of(desk or None),
            by=person_of(request),
            reason=reason,
            valid_s=services.settings.switch_release_s,
        )
    except (Forbidden, ReleaseRefused) as problem:
        return await _page(request, trouble_of(problem), desk=desk, release_typed=reason)
    done = f"{what}: another person was asked to release it" if asked else f"{what} was released already"
    return seen(f"/switch?done={quote(done)}")


@router.post("/switch/confirm", name="send_confirm_release")
async def confirm(request: Request) -> Response:
    """Release what another person asked for; what rested goes on at once."""
    given = (await form_of(request)).get("release", "")
    services = front_of(request).services
    try:
        release_id = UUID(given)
    except ValueError:
        return await _page(request, Trouble(422, "invalid", "no release has this id: load the page again."))
    try:
        changed = await confirm_release(services.switches, services.people, release_id, by=person_of(request))
    except (Forbidden, ReleaseRefused) as problem:
        return await _page(request, trouble_of(problem))
    scope = (await services.switches.asked_release(release_id)).scope
    what = EVERY_DESK if scope == GLOBAL else scope.removeprefix("desk:")
    return seen(f"/switch?done={quote(f'{what} released' if changed else f'{what} was released already')}")


async def _filled(request: Request) -> tuple[str, str, Trouble | None]:
    """Desk and reason of a form, and what is wrong with it."""
    form = await form_of(request)
    desk, reason = form.get("desk", ""), form.get("reason", "").strip()
    if SHORTEST <= len(reason) <= LONGEST:
        return desk, reason, None
    words = f"Say why, in {SHORTEST} to {LONGEST} characters: others find it stopped."
    return desk, reason, Trouble(422, "invalid", words)


async def _page(
    request: Request, trouble: Trouble | None = None, *, typed: str = "", desk: str = "", release_typed: str = ""
) -> Response:
    front, me = front_of(request), person_of(request)
    known = {one.scope: one for one in await front.services.switches.all()}
    names = dict.fromkeys([GLOBAL, *(f"desk:{one}" for one in front.desks), *known])
    done = request.query_params.get("done", "")[:160]
    is_ours = done.endswith((" stopped", " released", " already", " to release it"))
    people = await front.services.people.all() if any(one.stopped for one in known.values()) else []
    values = {
        "scopes": [await _scope(front, name, known.get(name), me, people) for name in names],
        "desk_wanted": desk or request.query_params.get("desk", "")[:100],
        "can_stop": me.has(Role.OPERATOR, Role.ADMINISTRATOR),
        "minutes": round(front.services.settings.switch_release_s / 60),
        "turns": await front.overview.turns(),
        "problem": trouble,
        "typed": typed,
        "release_typed": release_typed,
        "release_desk": desk,
        "done": f"{done[:1].upper()}{done[1:]}." if is_ours else "",
    }
    return await shown(request, "switch.html", values, status=trouble.status if trouble else 200)


async def _scope(
    front: Front, scope: str, switch: Switch | None, me: Principal, people: list[Principal]
) -> dict[str, Any]:
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
        "asked_release": switch.asked if switch is not None and stopped else None,
        "may_release": may_release(me, scope),
        "mine": bool(switch and switch.asked and switch.asked.asked_by == me.name),
        "others": _others(people, scope, switch.asked if switch else None, me),
        "last_effect": _verified(held, switch.changed_at) if switch is not None and stopped else None,
    }


def _verified(held: Held, since: datetime) -> str:
    at = f"{since:%H:%M:%S}.{since.microsecond // 1000:03d}Z"
    return (
        f"no new effect since {at}" if not held.begun else f"{held.begun} effects began after {at}: tell the engineers"
    )


def _others(people: list[Principal], scope: str, asked: AskedRelease | None, me: Principal) -> list[str]:
    """Who, beside this person and the one who asked, can confirm."""
    names = {me.name, asked.asked_by if asked else ""}
    return [one.name for one in people if one.name not in names and may_release(one, scope)]
