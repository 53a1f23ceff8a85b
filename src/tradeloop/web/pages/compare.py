"""Two runs side by side: decisions, facts, reasons; where they differ a word says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response

from tradeloop.domain.runs import RunView
from tradeloop.report.words import span
from tradeloop.store.overview import Wanted
from tradeloop.web.cases import case_for
from tradeloop.web.front import Front, PageRoute, front_of, shown
from tradeloop.web.pages.runs import asked_of, facts_of_findings
from tradeloop.web.question import Fact
from tradeloop.web.rendering import short_digest
from tradeloop.web.sentences import why

router = APIRouter(route_class=PageRoute)
OFFERED: Final = 20
FACTS: Final = 200


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of both."""

    name: str
    one: str
    other: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.one != self.other


@router.get("/runs/{prefix}/compare", name="page_compare")
async def compare(request: Request, prefix: str) -> Response:
    """`with=` names the other one, as `prefix` does; without it those of the same subject are offered."""
    front = front_of(request)
    run = await front.services.days.find(prefix)
    given = request.query_params.get("with", "").strip()[:100]
    if not given:
        named = await front.overview.runs(Wanted(subject=run.subject, with_unhandled=True), OFFERED + 1)
        offered = [one for one in named if one.run_id != run.run_id][:OFFERED]
        return await shown(request, "compare.html", {"run": run, "other": None, "offered": offered})
    other = await front.services.days.find(given)
    (ours, facts), (theirs, other_facts) = await _told(front, run), await _told(front, other)
    values = {
        "run": run,
        "other": other,
        "offered": [],
        "lines": [Line(name, ours[name], theirs[name]) for name in ours],
        "reasons": [list(one.decision.reasons) if one.decision else [] for one in (run, other)],
        "facts": _lines(facts, other_facts),
        "more_facts": max(len(facts), len(other_facts)) > FACTS,
    }
    return await shown(request, "compare.html", values)


def _lines(ours: list[Fact], theirs: list[Fact]) -> list[Line]:
    """Facts by their ids, in the order of the first run."""
    one, other = ({fact.id: fact.sentence for fact in facts[:FACTS]} for facts in (ours, theirs))
    return [Line(name, one.get(name, ""), other.get(name, "")) for name in dict.fromkeys([*one, *other])]


async def _told(front: Front, run: RunView) -> tuple[dict[str, str], list[Fact]]:
    case, _ = await case_for(front, run)
    made, action = run.decision, run.decision.action if run.decision else None
    ended = (run.finished_at - run.received_at).total_seconds() if run.finished_at else None
    told = {
        "state": run.state.value.replace("_", " "),
        "what it says": why(run, await asked_of(front, run.run_id)),
        "subject": run.subject,
        "event": f"{run.event_type} {str(run.event_id)[:8]}",
        "outcome": made.outcome if made else "",
        "decided by": made.decided_by + (", degraded" if made.degraded else "") if made else "",
        "policy": f"{made.policy_version} {made.policy_hash[:12]}".strip() if made else "",
        "model": str(made.model.get("name") or "") if made else "",
        "cited": " ".join(made.cited) if made else "",
        "graph": f"{run.graph} {run.graph_version[:12]}".strip(),
        "action": f"{action.kind} {action.target}" if action else "",
        "digest of the action": str(short_digest(action.digest)) if action else "",
        "effect": str(run.effect.get("state") or ""),
        "error": run.error,
        "took": span(ended),
    }
    return told, facts_of_findings(case.findings)
