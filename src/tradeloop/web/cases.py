"""A run's facts and its picture, as the report tells them, for pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # Any: values of a checkpoint
from uuid import UUID

from markupsafe import Markup

from tradeloop.domain.runs import RunView
from tradeloop.errors import NotFound, TradeloopError
from tradeloop.report.cases import case_of
from tradeloop.report.chart import Table
from tradeloop.report.day import Case, Picture
from tradeloop.report.desks import pictures
from tradeloop.report.page import table
from tradeloop.report.svg import svg

if TYPE_CHECKING:
    from tradeloop.web.front import Front


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, ready for a page."""

    title: str
    svg: Markup
    table: Table
    table_html: Markup
    remarks: tuple[str, ...]


async def case_for(front: Front, run: RunView) -> tuple[Case, dict[str, Any]]:
    """The run with its facts from the best source that is left, and the state that its checkpoint holds."""
    saver, days = front.services.saver, front.services.days
    held = await saver.aget_tuple({"configurable": {"thread_id": str(run.run_id), "checkpoint_ns": ""}})
    state = dict(held.checkpoint["channel_values"]) if held else {}
    payload = await days.payload(run.run_id)
    root = front.services.settings.reference_root
    return await asyncio.to_thread(case_of, run, payload, state, root), state


async def charts(front: Front, cases: Sequence[Case], desk: str, most: int = 4) -> list[Chart]:
    """Pictures of a desk's cases, the weightiest first."""
    root = front.services.settings.reference_root
    found, _ = await asyncio.to_thread(pictures, desk, cases, root, most)
    return [_chart(one, at) for at, one in enumerate(found)]


async def chart_of(front: Front, run_id: UUID) -> Chart | None:
    """The picture of one run's case; None where its facts cannot be drawn, or its run is unknown here."""
    try:
        run = await front.services.days.find(str(run_id))
        case, _ = await case_for(front, run)
        found = await charts(front, [case], run.desk, 1) if case.facts.get("findings") else []
    except (NotFound, TradeloopError):
        return None
    return found[0] if found else None


def _chart(picture: Picture, at: int) -> Chart:
    return Chart(
        title=picture.chart.title,
        svg=Markup(svg(picture.chart, f"chart-{at}")),  # noqa: S704 - the report escapes what it draws
        table=picture.table,
        table_html=Markup(table(picture.table)),  # noqa: S704 - and what it lists
        remarks=picture.remarks,
    )
