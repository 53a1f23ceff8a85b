"""The kill switch: of one desk, or of all."""

from __future__ import annotations

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from tradeloop.api.identity import principal_of, services_of
from tradeloop.api.router import new_router, reading, writing
from tradeloop.domain.switches import Switch, scope_of

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
    """False: it stood so already."""


@router.get("/switches", responses=reading())
async def list_switches(request: Request) -> Switches:
    """What is stopped, since when, by whom and why."""
    return Switches(items=await services_of(request).switches.all())


@router.post("/switches/stop", responses=writing())
async def stop_switch(request: Request, body: Turn) -> Turned:
    """Let no new effect begin. When this answers, none begins any more. Audited."""
    return await _turned(request, body, stopped=True)


@router.post("/switches/release", responses=writing())
async def release_switch(request: Request, body: Turn) -> Turned:
    """Let effects begin again; runs that waited go on at once. Audited."""
    return await _turned(request, body, stopped=False)


async def _turned(request: Request, body: Turn, *, stopped: bool) -> Turned:
    services, principal = services_of(request), await principal_of(request)
    scope = scope_of(body.desk)
    changed = await services.switches.turn(scope, stopped=stopped, by=principal.name, reason=body.reason)
    return Turned(scope=scope, stopped=stopped, changed=changed)
