"""Answers: sent by a form with the whole digest; whatever is refused says why, and keeps what was typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast  # Any: JSON of an action
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue, ValidationError

from tradeloop.api.identity import Caller
from tradeloop.domain.approvals import Approval, ApprovalFilter, Ballot
from tradeloop.domain.people import Principal
from tradeloop.errors import AnswerInvalid, AnswerRefused, AnswerStale, GateClosed, TradeloopError
from tradeloop.gate import faces
from tradeloop.gate.allowed import Allowed
from tradeloop.web.boxes import Box, Brief, box_for, closed, form_for, recorded
from tradeloop.web.front import Front, PageRoute, every, form_of, front_of, person_of, seen, shown
from tradeloop.web.oversight import is_phrase, to_be_read, took_s
from tradeloop.web.pages.approval import values_for
from tradeloop.web.pages.inbox import can_answer
from tradeloop.web.question import against, question_of, value_words
from tradeloop.web.troubles import Trouble, trouble_of

router = APIRouter(route_class=PageRoute)
LOOKED_BACK: Final = 100
FIELDS: Final = {"signed_in_at": "last_four"}
"""Where on the form an error of another field is shown."""


@router.post("/approvals/{approval_id}/answer", name="send_answer")
async def answer(request: Request, approval_id: UUID) -> Response:
    """Count the answer, once; the person's right is looked up again at this moment."""
    front, typed = front_of(request), await form_of(request)
    me = await front.services.people.find(person_of(request).name)
    try:
        ballot = _ballot(typed, await every(request, "relied_on"), cast(Caller, request.state.caller))
        found = await front.approvals.answer(approval_id, ballot, me)
    except AnswerRefused as problem:
        return await _refused(request, approval_id, me, typed, problem)
    front.presence.forget(approval_id, me.name)
    box = recorded(found, me, await _summary(front, me) if ballot.answer == "approve" else ())
    values = await values_for(request, found, box=box)
    return await shown(request, "approval.html", values)


@router.get("/approvals/{approval_id}/change", name="page_change")
async def change(request: Request, approval_id: UUID) -> Response:
    """Other parameters for the action."""
    return await _change_page(request, await front_of(request).approvals.get(approval_id), {})


@router.post("/approvals/{approval_id}/change", name="send_change")
async def changed(request: Request, approval_id: UUID) -> Response:
    """Ask for another version; it is classified again, and another person answers it."""
    front, typed = front_of(request), await form_of(request)
    me = await front.services.people.find(person_of(request).name)
    was = await front.approvals.get(approval_id)
    try:
        ballot = _ballot(typed | {"answer": "reject"}, (), cast(Caller, request.state.caller))
        params = _params(was, typed)
        found = await faces.change(
            front.approvals, front.services.policy, approval_id, ballot, me, params, _allowed(front, was)
        )
    except (AnswerRefused, GateClosed) as problem:
        return await _change_page(request, was, typed, problem)
    return seen(f"/approvals/{found.approval_id}")


@router.get("/approvals/{approval_id}/escalate", name="page_escalate")
async def escalate(request: Request, approval_id: UUID) -> Response:
    """Hand it to others."""
    return await _escalate_page(request, await front_of(request).approvals.get(approval_id), "")


@router.post("/approvals/{approval_id}/escalate", name="send_escalate")
async def escalated(request: Request, approval_id: UUID) -> Response:
    """One more person, one tier higher, a new deadline."""
    front, typed = front_of(request), await form_of(request)
    me = await front.services.people.find(person_of(request).name)
    try:
        await faces.escalate(front.approvals, approval_id, typed.get("reason", "")[:500], me)
    except AnswerRefused as problem:
        was = await front.approvals.get(approval_id)
        return await _escalate_page(request, was, typed.get("reason", ""), problem)
    return seen(f"/approvals/{approval_id}")


async def _refused(
    request: Request, approval_id: UUID, me: Principal, typed: Mapping[str, str], problem: AnswerRefused
) -> Response:
    front, now = front_of(request), datetime.now(UTC)
    asked, trouble = await front.approvals.get(approval_id), trouble_of(problem)
    if isinstance(problem, AnswerStale) and asked.next_id is not None:
        newer = await front.approvals.get(asked.next_id)
        if newer.state.is_open:
            return await _stale(request, asked, newer, me, typed, trouble)
    caller = cast(Caller, request.state.caller)
    relied_on = tuple(await every(request, "relied_on"))
    field = FIELDS.get(trouble.field, trouble.field)
    if isinstance(problem, AnswerInvalid):
        form = form_for(
            asked,
            typed.get("opened_at", "")[:40],
            caller.signed_in_at,
            now,
            typed=typed,
            relied_on=relied_on,
            errors={field: f"{trouble.detail[:1].upper()}{trouble.detail[1:]}"},
        )
        people = await front.services.people.all()
        box = box_for(asked, me, now, can_answer(asked, people), None if field in form.errors else trouble)
        values = await values_for(request, asked, box=box, form=form)
        return await shown(request, "approval.html", values, status=trouble.status)
    box = _late(asked, me, now, trouble, typed.get("reason", ""))
    values = await values_for(request, asked, box=box)
    return await shown(request, "approval.html", values, status=trouble.status)


def _late(asked: Approval, me: Principal, now: datetime, trouble: Trouble, typed: str) -> Box:
    if not asked.state.is_open or asked.deadline_at <= now:
        box = closed(asked, now, typed)
        return Box(
            box.heading,
            lines=(*box.lines, "Your answer was not recorded."),
            state=box.state,
            progress=box.progress,
            typed=typed,
        )
    heading = "You have answered already" if any(vote.principal == me.name for vote in asked.votes) else "Not recorded"
    return Box(
        heading, lines=(f"{trouble.detail[:1].upper()}{trouble.detail[1:]}",), state=asked.state.value, typed=typed
    )


async def _stale(
    request: Request, asked: Approval, newer: Approval, me: Principal, typed: Mapping[str, str], trouble: Trouble
) -> Response:
    """Version 2 exists: the difference, and a new form with the old reason offered, not filled."""
    front, now = front_of(request), datetime.now(UTC)
    people = await front.services.people.all()
    told = Trouble(
        412, trouble.code, f"Version {newer.version} exists, this form was for version {typed.get('version', '?')[:6]}."
    )
    box = box_for(newer, me, now, can_answer(newer, people), told, typed.get("reason", ""))
    if box.can_answer:
        box = Box(
            box.heading,
            can_answer=True,
            progress=box.progress,
            others=box.others,
            problem=told,
            changes=tuple(against(asked, newer)),
            offered=typed.get("reason", "")[:500],
        )
    values = await values_for(request, newer, box=box)
    return await shown(request, "approval.html", values, status=412)


def _ballot(typed: Mapping[str, str], relied_on: Sequence[str], caller: Caller) -> Ballot:
    reason = typed.get("reason", "").strip()
    opened = typed.get("opened_at", "")[:40]
    try:
        return Ballot.model_validate(
            {
                "answer": typed.get("answer", ""),
                "digest": typed.get("digest", ""),
                "version": int(typed.get("version") or 0),
                "reason": reason,
                "relied_on": tuple(dict.fromkeys(relied_on)),
                "channel": "web",
                "last_four": typed.get("last_four", "").strip().lower(),
                "signed_in_at": caller.signed_in_at,
                "seen": {
                    "opened_at": opened,
                    "model_text_opened": bool(typed.get("model_text_opened")),
                    "phrase": is_phrase(reason),
                },
            }
        )
    except ValidationError as problem:
        field = str(problem.errors(include_url=False)[0]["loc"][0])
        raise AnswerInvalid(WORDS.get(field, f"{field} does not fit."), field=field) from problem
    except ValueError as problem:
        raise AnswerInvalid("the version is no number.", field="version") from problem


WORDS: Final = {
    "reason": "the reason needs 10 to 500 characters.",
    "last_four": "type the last four digits of the action's digest: 0 to 9 and a to f.",
    "answer": "choose reject or approve.",
    "digest": "the form has no digest: load the page again.",
}


async def _summary(front: Front, me: Principal) -> list[Brief]:
    """What must be read before the next, where approvals came quickly or many."""
    recent = await front.approvals.matching(ApprovalFilter(states=(), order="newest", limit=LOOKED_BACK))
    mine = [(one, vote) for one in recent for vote in one.votes if vote.principal == me.name]
    mine.sort(key=lambda pair: pair[1].at, reverse=True)
    took = {one.approval_id: took_s(vote) for one, vote in mine}
    return [
        Brief(str(one.approval_id), one.subject, one.action.kind, one.action.target, took[one.approval_id])
        for one in to_be_read(mine)
    ]


def _params(was: Approval, typed: Mapping[str, str]) -> dict[str, JsonValue]:
    """The parameters that were changed, each read as the type that it has now."""
    found: dict[str, JsonValue] = {}
    for name, now in was.action.params.items():
        given = typed.get(f"param.{name}")
        if given is None or given == _typed(now):
            continue
        found[name] = _as(now, given, name)
    return found


def _as(now: Any, given: str, name: str) -> JsonValue:
    if isinstance(now, str):
        return given
    try:
        value: JsonValue = json.loads(given)
    except ValueError as problem:
        raise AnswerInvalid(f"{name}: {given[:60]!r} is no {_kind(now)}.", field="params") from problem
    if type(value) is not type(now):
        raise AnswerInvalid(f"{name}: {given[:60]!r} is no {_kind(now)}.", field="params")
    return value


def _kind(now: Any) -> str:
    return {bool: "true or false", int: "whole number", list: "list", dict: "object"}.get(type(now), "such value")


def _typed(now: Any) -> str:
    return now if isinstance(now, str) else json.dumps(now)


async def _change_page(
    request: Request, was: Approval, typed: Mapping[str, str], problem: TradeloopError | None = None
) -> Response:
    trouble = trouble_of(problem) if problem else None
    rows = [
        {
            "name": name,
            "now": value_words(now),
            "typed": typed.get(f"param.{name}", _typed(now)),
            "editable": isinstance(now, str | int | list | dict),
        }
        for name, now in was.action.params.items()
    ]
    is_reason = trouble is not None and trouble.field == "reason"
    values = {
        "asked": was,
        "question": question_of(was),
        "params": rows,
        "problem": None if is_reason else trouble,
        "typed": typed.get("reason", ""),
        "reason_error": trouble.detail if trouble and is_reason else "",
    }
    return await shown(request, "change.html", values, status=trouble.status if trouble else 200, block="main")


async def _escalate_page(
    request: Request, was: Approval, typed: str, problem: TradeloopError | None = None
) -> Response:
    trouble = trouble_of(problem) if problem else None
    is_reason = trouble is not None and trouble.field == "reason"
    values = {
        "asked": was,
        "question": question_of(was),
        "problem": None if is_reason else trouble,
        "typed": typed,
        "reason_error": trouble.detail if trouble and is_reason else "",
    }
    return await shown(request, "escalate.html", values, status=trouble.status if trouble else 200, block="main")


def _allowed(front: Front, was: Approval) -> tuple[Allowed, ...] | None:
    workflow = front.services.workflows.get(str(was.context.get("event_type", "")))
    return workflow.allowed if workflow else None
