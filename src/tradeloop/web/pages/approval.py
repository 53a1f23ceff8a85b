"""The page of one question: evidence first, then what would happen, the rule, the model's words, the history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast  # Any: values of templates
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tradeloop.api.identity import Caller
from tradeloop.domain.approvals import Approval, Pattern
from tradeloop.domain.canonical import canonical_json
from tradeloop.web.boxes import Box, Form, box_for, form_for, history_of
from tradeloop.web.cases import chart_of
from tradeloop.web.front import Front, PageRoute, front_of, person_of, plain, seen, shown
from tradeloop.web.pages.inbox import can_answer, next_of
from tradeloop.web.question import (
    PATTERNS,
    PHRASES,
    against,
    amount_of,
    changes_of,
    ended_words,
    facts_of,
    params_of,
    question_of,
    quoted_of,
    raised_words,
    sentences_of,
    urgency,
)
from tradeloop.web.troubles import Trouble

router = APIRouter(route_class=PageRoute)


@router.get("/approvals/{approval_id}", name="page_approval")
async def approval_page(request: Request, approval_id: UUID) -> Response:
    """One version of a question, whatever became of it."""
    front, me = front_of(request), person_of(request)
    asked = await front.approvals.get(approval_id)
    if asked.state.is_open and me.can_answer:
        front.presence.note(approval_id, me.name, datetime.now(UTC))
    values = await values_for(request, asked)
    return await shown(request, "approval.html", values, block="main")


@router.get("/approvals/{approval_id}/box", name="page_approval_box")
async def box(request: Request, approval_id: UUID) -> Response:
    """The box as it stands, for a page that has it at `revision`; 204 where nothing changed."""
    asked = await front_of(request).approvals.get(approval_id)
    is_over = asked.state.is_open and asked.deadline_at <= datetime.now(UTC)
    if request.query_params.get("revision") == str(asked.revision) and not is_over:
        return Response(status_code=204)
    opened = request.query_params.get("opened", "")[:40]
    values = await values_for(request, asked, opened_at=opened)
    return await shown(request, "approval.html", values)


@router.post("/approvals/{approval_id}/opened", name="send_proposal_opened")
async def opened(request: Request, approval_id: UUID) -> Response:
    """The proposal, for somebody who wants to read it; that they did goes with their answer."""
    if request.headers.get("hx-request") != "true":
        return seen(f"/approvals/{approval_id}?opened=1#h-proposal")
    front = front_of(request)
    asked = await front.approvals.get(approval_id)
    around = await front.surroundings(request)
    values = {"asked": asked, "quoted": quoted_of(asked), "opened": True, "as_fragment": True}
    return plain(request, "proposal.html", around, values)


async def values_for(
    request: Request,
    asked: Approval,
    *,
    box: Box | None = None,
    form: Form | None = None,
    problem: Trouble | None = None,
    typed: str = "",
    opened_at: str = "",
) -> dict[str, Any]:
    """All that the page shows; with `box` and `form` those of an answer that was just tried."""
    front, me, now = front_of(request), person_of(request), datetime.now(UTC)
    caller = cast(Caller, request.state.caller)
    people = await front.services.people.all()
    versions = [one for one in await front.approvals.of_run(asked.run_id) if one.slot == asked.slot]
    newer = next((one for one in versions if one.approval_id == asked.next_id), None)
    earlier = next((one for one in versions if one.approval_id == asked.previous_id), None)
    made = box or box_for(asked, me, now, can_answer(asked, people), problem, typed)
    is_opened = request.query_params.get("opened") == "1"
    known = form or form_for(
        asked,
        opened_at or now.isoformat(timespec="milliseconds"),
        caller.signed_in_at,
        now,
        typed={"model_text_opened": "1"} if is_opened else None,
    )
    following = None if made.can_answer else await next_of(front, me, str(asked.approval_id))
    return {
        "asked": asked,
        "question": question_of(asked),
        "amount": amount_of(asked),
        "urgency": urgency(asked, now),
        "raised": raised_words(asked),
        "ended": ended_words(asked),
        "newer": newer,
        "newer_changes": against(asked, newer) if newer else [],
        "chart": await chart_of(front, asked.run_id),
        "facts": facts_of(asked),
        "form": known if made.can_answer else _untickable(known),
        "box": made,
        "changes": changes_of(asked) if earlier is None else [*against(earlier, asked), *changes_of(asked)],
        "params": params_of(asked),
        "sentences": sentences_of(asked),
        "canonical": canonical_json(asked.action.model_dump(mode="json")),
        "pattern": PATTERNS.get(asked.requirement.pattern, asked.requirement.pattern.value),
        "steps": _steps(asked),
        "reasons": [str(one) for one in asked.context.get("reasons") or [] if isinstance(one, str)],
        "quoted": quoted_of(asked),
        "opened": is_opened or known.model_text_opened,
        "as_fragment": False,
        "history": history_of(versions or [asked], me),
        "phrases": PHRASES,
        "next_url": f"/approvals/{following.approval_id}" if following else "",
        "presence": _presence(front, asked, me.name, now),
    }


def _untickable(form: Form) -> Form:
    return Form(opened_at=form.opened_at, model_text_opened=form.model_text_opened)


def _presence(front: Front, asked: Approval, name: str, now: datetime) -> str:
    if not asked.state.is_open:
        return ""
    others = front.presence.others(asked.approval_id, name, now)
    return "; ".join(f"{who} opened this at {at:%H:%M:%SZ}" for who, at in others[:5])


def _steps(asked: Approval) -> Sequence[dict[str, str]]:
    """The row of steps; one that is done says who did it, unless the reader must not be swayed by it."""
    found = []
    for at, step in enumerate(asked.requirement.steps):
        given = sum(vote.step == at and vote.answer == "approve" for vote in asked.votes)
        who = ", ".join(step.approvers) or "anybody with authority"
        if asked.requirement.pattern is Pattern.SEQUENTIAL and at > asked.step and asked.state.is_open:
            state = "queued"
        else:
            state = "approved" if given >= step.needs else "pending" if asked.state.is_open else "skipped"
        found.append({"state": state, "words": f"{given} of {step.needs}, {who}"})
    return found
