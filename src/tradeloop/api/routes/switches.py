"""The kill switch: of one desk, or of all."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from tradeloop.api.identity import principal_of, services_of
from tradeloop.api.router import new_router, reading, writing
from tradeloop.domain.switches import AskedRelease, Switch, scope_of
from tradeloop.gate.release import ask_release, confirm_release

router = new_router("kill switch")
MAX_REASON = 500


class Switches(BaseModel):
    """Every switch that was ever turned."""

    items: list[Switch]


class Turn(BaseModel):
    """Whose effects, and why."""

    model_config = ConfigDict(extra="forbid")
    desk: str | None = Field(default=None, max_length=100, pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    """Null: every desk's."""
    reason: str = Field(min_length=1, max_length=MAX_REASON)


class Turned(BaseModel):
    """How it stands now."""

    scope: str
    stopped: bool
    changed: bool
    """False: it stood so already, or a second person has to confirm."""
    asked: AskedRelease | None = None
    """The release that waits for a second person."""


@router.get("/switches", responses=reading())
async def list_switches(request: Request) -> Switches:
    """What is stopped, since when, by whom and why."""
    return Switches(items=await services_of(request).switches.all())


@router.post("/switches/stop", responses=writing())
async def stop_switch(request: Request, body: Turn) -> Turned:
    """Let no new effect begin. When this answers, none begins any more, and a release that was asked for is void."""
    services, principal = services_of(request), await principal_of(request)
    scope = scope_of(body.desk)
    changed = await services.switches.turn(scope, stopped=True, by=principal.name, reason=body.reason)
    return Turned(scope=scope, stopped=True, changed=changed)


@router.post("/switches/release", responses=writing())
async def release_switch(request: Request, body: Turn) -> Turned:
    """Ask that effects begin again: another person confirms it in time, at `asked.release_id`. Audited."""
    services, principal = services_of(request), await principal_of(request)
    scope = scope_of(body.desk)
    asked = await ask_release(
        services.switches,
        scope,
        by=principal,
        reason=body.reason,
        valid_s=services.settings.switch_release_s,
    )
    return Turned(scope=scope, stopped=asked is not None, changed=False, asked=asked)


@router.post("/switches/releases/{release_id}/confirm", responses=writing(404))
async def confirm_switch_release(request: Request, release_id: UUID) -> Turned:
    """Let effects begin again, as another person asked; runs that waited go on at once. Audited."""
    services, principal = services_of(request), await principal_of(request)
    changed = await confirm_release(services.switches, services.people, release_id, by=principal)
    scope = (await services.switches.asked_release(release_id)).scope
    stopped = {one.scope for one in await services.switches.all() if one.stopped}
    return Turned(scope=scope, stopped=scope in stopped, changed=changed)
