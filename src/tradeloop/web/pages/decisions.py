"""Decisions: a list with filters that can be taken away as CSV or JSON; one of them whole."""

from __future__ import annotations

import csv
import io
import json
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from tradeloop.api.evidence import bundle_of
from tradeloop.domain.runs import RunView
from tradeloop.store.overview import Wanted
from tradeloop.web import headers
from tradeloop.web.cases import case_for
from tradeloop.web.front import PageRoute, front_of, shown
from tradeloop.web.pages.runs import asked_of, facts_of_findings, run_id_in
from tradeloop.web.periods import since
from tradeloop.web.sentences import why
from tradeloop.web.spelling import spelled

router = APIRouter(route_class=PageRoute)
SHOWN: Final = 50
EXPORTED: Final = 5_000
COLUMNS: Final = (
    "decision_id", "decided_at", "desk", "subject", "event_type", "outcome", "decided_by", "degraded", "policy_version",
    "action_kind", "action_target", "action_digest", "effect_state", "reasons",
)  # fmt: skip
RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take for a formula (CWE-1236)."""


@router.get("/decisions", name="page_decisions")
async def decisions(request: Request) -> Response:
    """The newest first; `format=csv` or `json` gives the same rows as a file."""
    front = front_of(request)
    wanted = {name: request.query_params.get(name, "")[:200] for name in ("desk", "outcome", "by", "subject", "since")}
    kind = request.query_params.get("format", "")
    limit = EXPORTED if kind in ("csv", "json") else SHOWN
    found = await front.overview.runs(
        Wanted(
            desk=wanted["desk"],
            outcome=wanted["outcome"],
            by=wanted["by"],
            subject=wanted["subject"],
            since=since(wanted["since"]),
            before=run_id_in(request.query_params.get("before", "")),
            decided=True,
        ),
        limit + 1,
    )
    if kind in ("csv", "json"):
        return _file(found[:limit], kind)
    narrow = {name: value for name, value in wanted.items() if value}
    told = " and ".join(f"{name}={value}" for name, value in narrow.items())
    older = urlencode(narrow | {"before": str(found[SHOWN - 1].run_id)}) if len(found) > SHOWN else ""
    values = {
        "rows": found[:SHOWN],
        "wanted": wanted,
        "csv": f"/decisions?{urlencode(narrow | {'format': 'csv'})}",
        "json": f"/decisions?{urlencode(narrow | {'format': 'json'})}",
        "older": f"/decisions?{older}" if older else "",
        "filtered_words": f"No decision matches {told}." if told else "",
    }
    return await shown(request, "decisions.html", values)


@router.get("/decisions/{prefix}/bundle.zip", name="page_bundle")
async def bundle(request: Request, prefix: str) -> Response:
    """The evidence bundle of a decision, where this installation seals its audit."""
    front = front_of(request)
    run = await front.services.days.find(prefix)
    made = await bundle_of(front.services, run)
    name = f"decision-{str(run.decision_id)[:8]}.zip"
    known = headers.security() | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(made, media_type="application/zip", headers=known)


@router.get("/decisions/{prefix}", name="page_decision")
async def decision(request: Request, prefix: str) -> Response:
    """One decision, what it rests on, what became of it."""
    front = front_of(request)
    run = await front.services.days.find(prefix)
    asked = await asked_of(front, run.run_id)
    case, _ = await case_for(front, run)
    values = {"run": run, "why": why(run, asked), "asked": asked, "facts": facts_of_findings(case.findings)}
    return await shown(request, "decision.html", values)


def _file(found: list[RunView], kind: str) -> Response:
    rows = [_row(run) for run in found if run.decision is not None]
    known = headers.security() | {"Content-Disposition": f'attachment; filename="decisions.{kind}"'}
    if kind == "json":
        return Response(json.dumps(rows, ensure_ascii=False), media_type="application/json", headers=known)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    return Response(target.getvalue(), media_type="text/csv; charset=utf-8", headers=known)


def _cell(value: object) -> str:
    told = spelled("; ".join(map(str, value)) if isinstance(value, list) else str(value))
    return f"'{told}" if told.startswith(RISKY) else told


def _row(run: RunView) -> dict[str, object]:
    made = run.decision
    assert made is not None  # noqa: S101 - the caller chose those that have one
    action = made.action
    return {
        "decision_id": str(run.decision_id),
        "decided_at": run.finished_at.isoformat() if run.finished_at else "",
        "desk": run.desk,
        "subject": run.subject,
        "event_type": run.event_type,
        "outcome": made.outcome,
        "decided_by": made.decided_by,
        "degraded": made.degraded,
        "policy_version": made.policy_version,
        "action_kind": action.kind if action else "",
        "action_target": action.target if action else "",
        "action_digest": action.digest if action else "",
        "effect_state": str(run.effect.get("state", "")),
        "reasons": list(made.reasons),
    }
