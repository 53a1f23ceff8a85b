"""Desks in figures."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Path, Query, Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator

from tradeloop.api.identity import services_of
from tradeloop.api.paging import as_written
from tradeloop.api.router import new_router, reading
from tradeloop.api.routes.runs import RunModel, run_model
from tradeloop.errors import NotFound

router = new_router("desks")
RUNS = 100


class DeskModel(BaseModel):
    """One desk today (UTC): what is live, what ended, what waits for people."""

    desk: str
    live: dict[str, int]
    """By state."""
    ended: dict[str, int]
    outcomes: dict[str, int]
    decided: int
    pending_approvals: int
    oldest_approval_at: AwareDatetime | None
    next_deadline_at: AwareDatetime | None
    is_stopped: bool


class PlatformModel(BaseModel):
    """What is the same for every desk."""

    outbox_rows: int
    outbox_age_s: float
    workers: int
    letters: int
    unknown_outcomes: int
    is_stopped: bool


class Overview(BaseModel):
    """Every desk, and the platform."""

    at: AwareDatetime
    desks: list[DeskModel]
    platform: PlatformModel


class CoverageModel(BaseModel):
    """A desk's day in figures."""

    received: int
    decided: int
    decided_of_earlier: int
    ended: dict[str, int]
    open: dict[str, int]
    outcomes: dict[str, int]
    decided_by: dict[str, int]
    degraded: int
    effects: dict[str, int]
    policies: list[str]
    doubles: int
    lanes: dict[str, int]
    dead_letters: dict[str, int]
    median_s: float | None
    slowest_s: float | None


class DeskDay(BaseModel):
    """One desk's day: figures, and its newest runs."""

    desk: str
    date: date
    coverage: CoverageModel
    runs: list[RunModel]
    runs_in_all: int


@router.get("/desks", responses=reading())
async def list_desks(request: Request) -> Overview:
    """Every desk today, in figures."""
    services = services_of(request)
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    known = sorted({workflow.desk for workflow in services.workflows.values()})
    figures = await services.figures.desks(known, midnight)
    platform = await services.figures.platform()
    stopped = {one.scope for one in await services.switches.all() if one.stopped}
    facts = {name: getattr(platform, name) for name in PlatformModel.model_fields if name != "is_stopped"}
    return Overview(
        at=now,
        desks=[DeskModel(**vars(one), is_stopped=bool(stopped & {"global", f"desk:{one.desk}"})) for one in figures],
        platform=PlatformModel(**facts, is_stopped="global" in stopped),
    )


@router.get("/desks/{desk}", responses=reading(404))
async def get_desk_day(
    request: Request,
    desk: Annotated[str, Path(max_length=100)],
    day: Annotated[
        date | None, BeforeValidator(as_written), Query(alias="date", description="A day of UTC; today when not given.")
    ] = None,
) -> DeskDay:
    """One desk's day: figures, and its newest runs."""
    services = services_of(request)
    if desk not in {workflow.desk for workflow in services.workflows.values()} and not await services.days.is_known(
        desk
    ):
        raise NotFound(f"nothing ever came to a desk {desk!r}.")
    wanted = day or datetime.now(UTC).date()
    if not date(1970, 1, 2) <= wanted <= date(9999, 12, 30):
        raise NotFound(f"nothing happened on {wanted}.")
    runs, count = await services.days.runs(desk, wanted, limit=RUNS)
    coverage = await services.days.coverage(desk, wanted)
    return DeskDay(
        desk=desk,
        date=wanted,
        coverage=CoverageModel.model_validate(coverage, from_attributes=True),
        runs=[run_model(view) for view in runs],
        runs_in_all=count,
    )
