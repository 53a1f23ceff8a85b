"""Approvals: what people are asked, and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal  # Any: JSON of graphs
from uuid import UUID

from fastapi import Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tradeloop.api.changed_action import changed_action
from tradeloop.api.identity import Caller, caller_of, services_of
from tradeloop.api.paging import Cursor, Limit, Page, cursor_of, page, places_in
from tradeloop.api.problems import Refusal
from tradeloop.api.router import new_router, reading, writing
from tradeloop.api.services import Services
from tradeloop.domain.approvals import MAX_REASON, MIN_REASON, Approval, ApprovalFilter, ApprovalState, Ballot
from tradeloop.gate.ballot import why_not
from tradeloop.gate.faces import raised
from tradeloop.ports import Approvals

router = new_router("approvals")
WHO_WINS: Final = "ETag of the approval as it was read; 412 when somebody was faster."
IfMatch = Annotated[str, Header(max_length=200, description=WHO_WINS)]
ETAG: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": {"description": "Its revision.", "schema": {"type": "string"}}}}
}


class ApprovalView(BaseModel):
    """An approval, and whether the caller may answer it."""

    approval: Approval
    short_digest: str
    may_answer: bool
    why_not: str
    """Why the caller may not; empty when they may."""


class Answer(BaseModel):
    """A person's answer."""

    model_config = ConfigDict(extra="forbid")
    answer: Literal["approve", "reject"]
    digest: str = Field(pattern=r"^(sha256:)?[0-9a-f]{8,64}$")
    """Of the action that the person saw; at least its first 8 digits."""
    version: int | None = Field(default=None, ge=1, le=1_000_000)
    reason: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)
    relied_on: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=50)
    """Ids of facts."""
    last_four: str = Field(default="", pattern=r"^([0-9a-f]{4})?$")
    """Tier 3: the digest's last four digits, typed."""
    channel: Literal["api", "cli"] = "api"
    seen: dict[str, JsonValue] = Field(default={}, max_length=20)


class Modification(BaseModel):
    """Other parameters for the action."""

    model_config = ConfigDict(extra="forbid")
    params: dict[str, JsonValue]
    digest: str = Field(pattern=r"^(sha256:)?[0-9a-f]{8,64}$")
    version: int = Field(ge=1, le=1_000_000)
    reason: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)


class Escalation(BaseModel):
    """Why others shall answer."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)


@router.get("/approvals", responses=reading())
async def list_approvals(
    request: Request,
    state: Annotated[list[ApprovalState] | None, Query(description="`pending` when not given.")] = None,
    desk: Annotated[str, Query(max_length=100)] = "",
    tier: Annotated[int | None, Query(ge=0, le=3)] = None,
    run_id: UUID | None = None,
    text: Annotated[str, Query(max_length=200, description="In subject, target or the id's beginning.")] = "",
    order: Literal["deadline", "newest"] = "deadline",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[ApprovalView]:
    """What waits for people, the nearest deadline first; other states when asked for."""
    services = services_of(request)
    name = f"approvals {order}"
    places = places_in(name, cursor, datetime, UUID)
    wanted = ApprovalFilter(
        states=tuple(state) if state else (ApprovalState.PENDING,),
        desk=desk,
        tier=tier,
        run_id=run_id,
        text=text,
        order=order,
        limit=limit + 1,
        after=f"{places[0].isoformat()}~{places[1]}" if places else "",
    )
    caller = await caller_of(request)
    found = await _store(services).matching(wanted)
    rows = [_view(one, caller) for one in found]
    if not found:
        return page(rows, limit, "")
    last = found[:limit][-1]
    at = last.deadline_at if order == "deadline" else last.asked_at
    return page(rows, limit, cursor_of(name, at.isoformat(), last.approval_id))


@router.get("/approvals/{approval_id}", responses={**reading(404), **ETAG})
async def get_approval(request: Request, response: Response, approval_id: UUID) -> ApprovalView:
    """One approval, with its votes. Its ETag goes with the answer."""
    caller = await caller_of(request)
    return _told(response, await _store(services_of(request)).get(approval_id), caller)


@router.post("/approvals/{approval_id}/answer", responses={**writing(404, 412, 428), **ETAG})
async def answer_approval(
    request: Request, response: Response, approval_id: UUID, body: Answer, if_match: IfMatch = ""
) -> ApprovalView:
    """Count the caller's answer. An equal one again changes nothing."""
    services, caller = services_of(request), await caller_of(request)
    await _check(services, approval_id, if_match)
    ballot = Ballot(**body.model_dump(), signed_in_at=caller.signed_in_at)
    found = await _store(services).answer(approval_id, ballot, await _afresh(services, caller))
    return _told(response, found, caller)


@router.post("/approvals/{approval_id}/modify", responses={**writing(404, 412, 428), **ETAG})
async def modify_approval(
    request: Request, response: Response, approval_id: UUID, body: Modification, if_match: IfMatch = ""
) -> ApprovalView:
    """Ask for another action instead: this version is void, the new one is checked and classified again, and the caller
    is its requester.
    """
    services, caller = services_of(request), await caller_of(request)
    approval = await _check(services, approval_id, if_match)
    action, requirement, policy_hash = changed_action(services, approval, body.params)
    ballot = Ballot(
        answer="reject",
        digest=body.digest,
        version=body.version,
        reason=body.reason,
        channel="api",
        signed_in_at=caller.signed_in_at,
    )
    found = await _store(services).modify(
        approval_id, ballot, await _afresh(services, caller), action, requirement, policy_hash
    )
    return _told(response, found, caller)


@router.post("/approvals/{approval_id}/escalate", responses={**writing(404, 412, 428), **ETAG})
async def escalate_approval(
    request: Request, response: Response, approval_id: UUID, body: Escalation, if_match: IfMatch = ""
) -> ApprovalView:
    """Hand it to others, under a stricter requirement and with a new deadline."""
    services, caller = services_of(request), await caller_of(request)
    approval = await _check(services, approval_id, if_match)
    found = await _store(services).escalate(
        approval_id, raised(approval.requirement), body.reason, await _afresh(services, caller)
    )
    return _told(response, found, caller)


def etag_of(approval: Approval) -> str:
    """The ETag of an approval: which approval, which revision."""
    return f'"{approval.approval_id.hex[:8]}-{approval.revision}"'


async def _check(services: Services, approval_id: UUID, if_match: str) -> Approval:
    if not if_match:
        raise Refusal(
            428,
            "if_match_required",
            "send If-Match with the ETag of the approval that you read.",
            field="header.if-match",
        )
    approval = await _store(services).get(approval_id)
    given = {word.strip().removeprefix("W/") for word in if_match.split(",")}
    if "*" not in given and etag_of(approval) not in given:
        raise Refusal(
            412,
            "changed",
            f"the approval was changed since: it is {approval.state} now, revision {approval.revision}. Read it again.",
            field="header.if-match",
            allowed=[etag_of(approval)],
        )
    return approval


async def _afresh(services: Services, caller: Caller) -> Any:
    """The caller as they stand right now: their right may have been taken since the request came in."""
    return await services.people.find(caller.principal.name)


def _store(services: Services) -> Approvals:
    if services.approvals is None:
        raise Refusal(503, "no_gate", "this installation has no gate.", headers={"Retry-After": "60"})
    return services.approvals


def _told(response: Response, approval: Approval, caller: Caller) -> ApprovalView:
    response.headers["ETag"] = etag_of(approval)
    return _view(approval, caller)


def _view(approval: Approval, caller: Caller) -> ApprovalView:
    reason = why_not(approval, caller.principal) if approval.state.is_open else f"it is {approval.state} already"
    return ApprovalView(approval=approval, short_digest=approval.short_digest, may_answer=not reason, why_not=reason)
