"""What waits, the nearest deadline first; nothing is answered from a row, and nothing is approved in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tradeloop.domain.approvals import Approval, ApprovalFilter, ApprovalState, Ballot
from tradeloop.domain.people import Principal, Role
from tradeloop.errors import TradeloopError
from tradeloop.gate.ballot import why_not
from tradeloop.web.front import Front, PageRoute, every, form_of, front_of, person_of, plain, seen, shown
from tradeloop.web.question import amount_of, progress, question_of, urgency

router = APIRouter(route_class=PageRoute)
SHOWN: Final = 200
ANSWERED: Final = 10
OPEN: Final = (ApprovalState.PENDING,)
CLOSED: Final = tuple(one for one in ApprovalState if one is not ApprovalState.PENDING)


@dataclass(frozen=True, slots=True)
class Row:
    """One question in the list."""

    approval: Approval
    question: str
    amount: str
    urgency: str
    asked_of: str
    mine: bool
    progress: str


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of one cause."""

    cause: str
    rows: Sequence[Row]
    rejectable: bool


@router.get("/inbox", name="page_inbox")
async def inbox(request: Request) -> Response:
    """The list, with what was answered last beneath."""
    front, me = front_of(request), person_of(request)
    wanted = _wanted(request)
    rows = await rows_of(front, me, wanted)
    answered = await front.approvals.matching(ApprovalFilter(states=CLOSED, order="newest", limit=ANSWERED))
    narrow = {name: value for name, value in wanted.items() if value and name != "group"}
    values = {
        "rows": rows,
        "groups": _groups(rows, me) if wanted["group"] and rows else [],
        "answered": answered,
        "wanted": wanted,
        "known": ",".join(str(row.approval.approval_id)[:8] for row in rows),
        "mine": sum(row.mine for row in rows) if me.has(Role.APPROVER) else None,
        "overdue": sum(row.urgency == "overdue" for row in rows),
        "filtered_words": _filtered(narrow),
        "empty_words": _empty(answered),
    }
    return await shown(request, "inbox.html", values)


@router.get("/inbox/news", name="page_inbox_news")
async def news(request: Request) -> Response:
    """What came since, as a number; what was answered since, in its row. No row moves under the pointer."""
    front, me = front_of(request), person_of(request)
    known = {one for one in request.query_params.get("known", "").split(",") if len(one) == 8}
    wanted = _wanted(request)
    waiting = {str(row.approval.approval_id)[:8] for row in await rows_of(front, me, wanted)}
    gone = [one for short in sorted(known - waiting)[:SHOWN] for one in await front.approvals.find(short)]
    around = await front.surroundings(request)
    query = "&".join(f"{name}={value}" for name, value in request.query_params.items() if name != "known" and value)
    values = {"new": len(waiting - known), "gone": gone, "url": f"/inbox?{query}" if query else "/inbox"}
    return plain(request, "news.html", around, values)


@router.get("/inbox/next", name="page_inbox_next")
async def following(request: Request) -> Response:
    """The next question that this person can answer."""
    front = front_of(request)
    found = await next_of(front, person_of(request), request.query_params.get("after", ""))
    return seen(f"/approvals/{found.approval_id}" if found else "/inbox")


@router.post("/inbox/reject", name="send_reject_all")
async def reject_all(request: Request) -> Response:
    """Reject several of one cause with one reason: each is its own answer, with a result of its own."""
    front, me, form = front_of(request), person_of(request), await form_of(request)
    results = []
    for told in await every(request, "approval"):
        identifier, digest, version = (*told.split(), "", "", "")[:3]
        try:
            ballot = Ballot(
                answer="reject",
                digest=digest,
                version=int(version or 0),
                reason=form.get("reason", "").strip(),
                channel="web",
                seen={"together": True},
            )
            found = await front.approvals.answer(UUID(identifier), ballot, me)
            results.append({"id": found.approval_id, "state": found.state.value, "subject": found.subject, "why": ""})
        except (TradeloopError, ValueError) as problem:
            why = problem.message if isinstance(problem, TradeloopError) else "the reason needs 10 to 500 characters"
            results.append({"id": identifier, "state": "failed", "subject": "", "why": why})
    done = sum(one["state"] == ApprovalState.REJECTED.value for one in results)
    values = {"results": results, "words": f"{done} of {len(results)} rejected."}
    return await shown(request, "rejected.html", values)


async def rows_of(front: Front, me: Principal, wanted: Mapping[str, str]) -> list[Row]:
    """Open questions that fit, as this person sees them."""
    tier = wanted["tier"]
    fitting = ApprovalFilter(
        states=OPEN,
        desk=wanted["desk"],
        tier=int(tier) if tier.isdecimal() and len(tier) == 1 else None,
        text=wanted["q"],
        limit=SHOWN,
    )
    now, people = datetime.now(UTC), await front.services.people.all()
    rows = [_row(one, me, people, now) for one in await front.approvals.matching(fitting)]
    return [row for row in rows if row.mine or not wanted["mine"]]


async def next_of(front: Front, me: Principal, after: str = "") -> Approval | None:
    """The question with the nearest deadline that this person can answer, other than the one they come from."""
    found = await front.approvals.matching(ApprovalFilter(states=OPEN, limit=SHOWN))
    return next((one for one in found if str(one.approval_id) != after and not _obstacle(one, me)), None)


def can_answer(approval: Approval, people: Sequence[Principal]) -> list[str]:
    """Names of those who could answer now."""
    return [one.name for one in people if not _obstacle(approval, one)]


def _obstacle(approval: Approval, person: Principal) -> str:
    if any(vote.principal == person.name for vote in approval.votes):
        return "answered"
    return why_not(approval, person)


def _row(one: Approval, me: Principal, people: Sequence[Principal], now: datetime) -> Row:
    obstacle = _obstacle(one, me)
    others = len([name for name in can_answer(one, people) if name != me.name])
    if not obstacle:
        asked_of = f"you or {others} other{'s' if others > 1 else ''}" if others else "you"
    elif obstacle == "answered":
        asked_of = "not you: you answered"
    elif one.requester == me.name:
        asked_of = "not you: you asked"
    else:
        asked_of = f"{others} other{'s' if others != 1 else ''}" if others else "nobody who is known"
    return Row(one, question_of(one), amount_of(one), urgency(one, now), asked_of, not obstacle, progress(one))


def _groups(rows: Sequence[Row], me: Principal) -> list[Group]:
    by_cause: dict[str, list[Row]] = {}
    for row in rows:
        one = row.approval
        told = one.context.get("cause")
        cause = (
            told if isinstance(told, str) and told else f"{one.desk}, rule {one.requirement.rule}: {one.action.target}"
        )
        by_cause.setdefault(cause, []).append(row)
    may = me.has(Role.APPROVER)
    return [
        Group(cause, found, may and len(found) > 1 and all(row.mine for row in found))
        for cause, found in by_cause.items()
    ]


def _wanted(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "")[:100] for name in ("desk", "tier", "mine", "group", "q")}


def _filtered(narrow: Mapping[str, str]) -> str:
    told = " and ".join(f"{name}={value}" for name, value in narrow.items())
    return f"No question matches {told}." if told else ""


def _empty(answered: Sequence[Approval]) -> str:
    last = next((one.closed_at or one.answered_at for one in answered if one.closed_at or one.answered_at), None)
    return f"Nothing waits. Last answered {last:%H:%M:%SZ}." if last else "Nothing waits, and nobody was asked yet."
