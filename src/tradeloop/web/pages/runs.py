"""Runs, each with the one sentence that says why it waits; one run with its graph, its road, its facts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final  # Any: JSON
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tradeloop.domain.approvals import Approval
from tradeloop.domain.runs import RunState, RunView
from tradeloop.engine.steps import Step, steps_of
from tradeloop.store.overview import Wanted
from tradeloop.web.cases import case_for, charts
from tradeloop.web.front import Front, PageRoute, front_of, shown
from tradeloop.web.graph import Shape, drawing, nodes_of
from tradeloop.web.periods import since
from tradeloop.web.question import Fact, fact_of
from tradeloop.web.rendering import pretty
from tradeloop.web.road import Leg, legs_of
from tradeloop.web.road import drawing as road_drawing
from tradeloop.web.sentences import why

router = APIRouter(route_class=PageRoute)
SHOWN: Final = 50
STEPS: Final = 50
MOST_STEPS: Final = 1_000
PARKED: Final = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One run in a list."""

    run: RunView
    why: str


@router.get("/runs", name="page_runs")
async def runs(request: Request) -> Response:
    """The newest first; every filter is in the address."""
    front = front_of(request)
    wanted = {name: request.query_params.get(name, "")[:200] for name in ("state", "desk", "subject", "type", "since")}
    known = [one.value for one in RunState]
    state = wanted["state"] if wanted["state"] in known else ""
    found = await front.overview.runs(
        Wanted(
            state=state,
            desk=wanted["desk"],
            subject=wanted["subject"],
            type=wanted["type"],
            since=since(wanted["since"]),
            before=run_id_in(request.query_params.get("before", "")),
        ),
        SHOWN + 1,
    )
    narrow = {name: value for name, value in wanted.items() if value}
    told = " and ".join(f"{name}={value}" for name, value in narrow.items())
    older = urlencode(narrow | {"before": str(found[SHOWN - 1].run_id)}) if len(found) > SHOWN else ""
    values = {
        "rows": await rows_of(front, found[:SHOWN]),
        "wanted": wanted,
        "states": known,
        "here": f"/runs?{request.url.query}" if request.url.query else "/runs",
        "older": f"/runs?{older}" if older else "",
        "filtered_words": f"No run matches {told}." if told else "",
    }
    return await shown(request, "runs.html", values)


@router.get("/runs/{prefix}", name="page_run")
async def run(request: Request, prefix: str) -> Response:
    """One run, by the beginning of its own, its event's or its decision's id."""
    front = front_of(request)
    found = await front.services.days.find(prefix)
    with_all = request.query_params.get("steps") == "all"
    return await shown(request, "run.html", await _values(front, found, with_all=with_all))


async def rows_of(front: Front, found: Sequence[RunView]) -> list[Row]:
    """Runs with their sentences."""
    ahead = await front.overview.ahead(found)
    parked = [one for one in found if one.state is RunState.PARKED][:PARKED]
    asked = await asyncio.gather(*(asked_of(front, one.run_id) for one in parked))
    questions = {one.run_id: those for one, those in zip(parked, asked, strict=True)}
    return [Row(one, why(one, questions.get(one.run_id, ()), ahead.get(one.run_id))) for one in found]


async def asked_of(front: Front, run_id: UUID) -> Sequence[Approval]:
    """Every question of a run."""
    return await front.services.approvals.of_run(run_id) if front.services.approvals is not None else []


async def _values(front: Front, run: RunView, *, with_all: bool) -> dict[str, Any]:
    asked, steps, records, (case, state) = await asyncio.gather(
        asked_of(front, run.run_id),
        steps_of(front.services.saver, run.run_id),
        front.overview.records(run.run_id),
        case_for(front, run),
    )
    ahead = await front.overview.ahead([run])
    kept = steps if with_all else steps[-STEPS:]
    workflow = front.services.workflows.get(run.event_type)
    shape = Shape.of(workflow.graph) if workflow else Shape.of_steps(name for step in steps for name in step.nodes)
    live = not run.state.is_final
    nodes = nodes_of(shape, kept[-MOST_STEPS:], run.received_at, live=live, parked=run.state is RunState.PARKED)
    legs = _legs(run, case.data, steps, state, asked)
    event = state.get("event") if isinstance(state.get("event"), dict) else {}
    found = await charts(front, [case], run.desk, 1) if case.findings else []
    return {
        "run": run,
        "why": why(run, asked, ahead.get(run.run_id)),
        "waiting": [one for one in asked if one.state.is_open],
        "asked": asked,
        "graph": drawing(shape, nodes),
        "nodes": nodes if steps or workflow else [],
        "steps": kept,
        "older_steps": len(steps) if len(steps) > len(kept) else 0,
        "road": road_drawing(legs),
        "legs": legs,
        "trace": str((event or {}).get("correlation_id") or ""),
        "airflow_url": airflow_url(front, run),
        "facts": facts_of_findings(case.findings),
        "facts_from": case.source.value if case.findings else "",
        "chart": found[0] if found else None,
        "records": records,
        "raw": pretty({name: value for name, value in state.items() if name != "event"}) if state else "",
    }


def facts_of_findings(findings: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """Findings as facts of a page."""
    return [fact_of(one) for one in findings]


async def road_of(front: Front, run: RunView, asked: Sequence[Approval]) -> list[Leg]:
    """The legs of a run's road."""
    steps, (case, state) = await asyncio.gather(steps_of(front.services.saver, run.run_id), case_for(front, run))
    return _legs(run, case.data, steps, state, asked)


def _legs(
    run: RunView, data: Mapping[str, Any], steps: Sequence[Step], state: Mapping[str, Any], asked: Sequence[Approval]
) -> list[Leg]:
    return legs_of(_points(run, data, steps, state), _people(asked))


def _points(
    run: RunView, data: Mapping[str, Any], steps: Sequence[Step], state: Mapping[str, Any]
) -> list[tuple[str, datetime | None]]:
    event = state.get("event")
    told = event.get("timestamp") if isinstance(event, dict) else data.get("timestamp")
    result = run.effect.get("result")
    started = result.get("started_at") if isinstance(result, dict) else None
    decided = next((step.at for step in steps if "guard" in step.nodes or "policy" in step.nodes), None)
    return [
        ("task committed", _moment(told)),
        ("on Kafka", run.appended_at),
        ("accepted", run.received_at),
        ("first step", steps[0].at if steps else None),
        ("decided", decided if decided and len(steps) > 1 else None),
        ("recorded", run.finished_at),
        ("DAG run", _moment(started)),
    ]


def _people(asked: Sequence[Approval]) -> list[tuple[str, datetime, datetime]]:
    spans = [(f"asked, version {one.version}", one.asked_at, one.answered_at or one.closed_at) for one in asked]
    return [(name, begin, end) for name, begin, end in spans if end is not None]


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def airflow_url(front: Front, run: RunView) -> str:
    """Airflow's page of the DAG run that a decision started; empty where none was."""
    base, target = front.services.settings.airflow_url.rstrip("/"), run.effect.get("target")
    result = run.effect.get("result")
    started = result.get("dag_run_id") if isinstance(result, dict) else None
    if not base or run.effect.get("kind") != "trigger_dag" or not isinstance(started, str):
        return ""
    return f"{base}/dags/{target}/runs/{started}"


def run_id_in(text: str) -> UUID | None:
    """The run id of an address; None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None
