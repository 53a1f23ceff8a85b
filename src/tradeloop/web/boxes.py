"""The box in which a person answers: what it says, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradeloop.domain.approvals import Approval, ApprovalState
from tradeloop.domain.people import Principal
from tradeloop.gate.ballot import FRESH_SIGN_IN, why_not
from tradeloop.web.question import CHANNELS, Change, ended_words, facts_of, is_hidden, progress, through
from tradeloop.web.troubles import Trouble


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed so far, and what the answer needs."""

    opened_at: str
    reason: str = ""
    relied_on: tuple[str, ...] = ()
    last_four: str = ""
    model_text_opened: bool = False
    tick: bool = False
    """Whether facts can be named."""
    need_fact: bool = False
    need_digits: bool = False
    is_fresh: bool = True
    can_change: bool = False
    errors: Mapping[str, str] = field(default_factory=lambda: {"reason": "", "relied_on": "", "last_four": ""})


@dataclass(frozen=True, slots=True)
class Brief:
    """One approval of a summary."""

    approval_id: str
    subject: str
    kind: str
    target: str
    took_s: float | None


@dataclass(frozen=True, slots=True)
class Box:
    """What the box shows."""

    heading: str
    can_answer: bool = False
    lines: tuple[str, ...] = ()
    state: str = ""
    progress: str = ""
    others: bool = False
    problem: Trouble | None = None
    changes: tuple[Change, ...] = ()
    offered: str = ""
    typed: str = ""
    just: bool = False
    """Whether this person has answered this moment."""
    can_answer_names: tuple[str, ...] = ()
    summary: tuple[Brief, ...] = ()


def form_for(
    approval: Approval,
    opened_at: str,
    signed_in_at: datetime | None,
    now: datetime,
    *,
    typed: Mapping[str, str] | None = None,
    relied_on: Sequence[str] = (),
    errors: Mapping[str, str] | None = None,
) -> Form:
    """The form for one answer; `typed` is what came with the last try."""
    given, tier = typed or {}, approval.requirement.tier
    return Form(
        opened_at=opened_at,
        reason=given.get("reason", ""),
        relied_on=tuple(relied_on),
        last_four=given.get("last_four", ""),
        model_text_opened=bool(given.get("model_text_opened")),
        tick=bool(facts_of(approval)) and approval.state.is_open,
        need_fact=tier >= 2,
        need_digits=tier >= 3,
        is_fresh=signed_in_at is not None and now - signed_in_at <= FRESH_SIGN_IN,
        can_change=bool(approval.action.params),
        errors={"reason": "", "relied_on": "", "last_four": ""} | dict(errors or {}),
    )


def box_for(
    approval: Approval,
    me: Principal,
    now: datetime,
    names: Sequence[str],
    problem: Trouble | None = None,
    typed: str = "",
) -> Box:
    """The box as this person sees it now; `names` can answer."""
    if not approval.state.is_open or approval.deadline_at <= now:
        return closed(approval, now, typed)
    mine = next((vote for vote in approval.votes if vote.principal == me.name), None)
    if mine is not None:
        lines = (f"You said {mine.answer}{through(mine)}: {mine.reason}", _missing(approval))
        return Box("Your answer is recorded", lines=lines, state=approval.state.value, progress=progress(approval))
    obstacle = why_not(approval, me)
    others = bool(approval.votes)
    if obstacle:
        told = f"{obstacle[:1].upper()}{obstacle[1:]}"
        return Box(
            "Another person answers", lines=(told,), typed=typed, can_answer_names=tuple(names[:8]), problem=problem
        )
    return Box("Your answer", can_answer=True, progress=progress(approval), others=others, problem=problem)


def recorded(approval: Approval, me: Principal, summary: Sequence[Brief]) -> Box:
    """What this person's answer came to, at once."""
    mine = next((vote for vote in approval.votes if vote.principal == me.name), None)
    said = mine.answer if mine else "answered"
    lines = [f"Recorded: {me.name}, {said}." + (f" {mine.reason}" if mine else "")]
    if approval.state.is_open:
        lines.append(_missing(approval))
    elif approval.state is ApprovalState.APPROVED:
        lines.append("It is released once: the run goes on, and everything is checked again before.")
    elif approval.state is ApprovalState.REJECTED:
        lines.append("Nothing happens: the run ends without this action.")
    return Box(
        "Recorded",
        lines=tuple(lines),
        state=approval.state.value,
        progress=progress(approval),
        just=True,
        summary=tuple(summary),
    )


def closed(approval: Approval, now: datetime, typed: str = "") -> Box:
    """How it ended; the typed text stays, to be copied."""
    if approval.state.is_open:
        at = f"{approval.deadline_at:%H:%M:%SZ}"
        return Box(f"Expired at {at}, rejected", lines=("Nobody answered in time.",), state="expired", typed=typed)
    when = approval.closed_at or approval.answered_at
    at = _at(when, now)
    heading = f"Expired{at}, rejected" if approval.state is ApprovalState.EXPIRED else f"{ended_words(approval)}{at}"
    lines = [f"{vote.principal}: {vote.reason}" for vote in approval.votes]
    if approval.note and approval.note not in heading:
        lines.append(approval.note)
    return Box(heading, lines=tuple(lines), state=approval.state.value, progress=progress(approval), typed=typed)


def history_of(versions: Sequence[Approval], me: Principal) -> list[dict[str, object]]:
    """Every transition of every version, the oldest first; what must not sway a second approver is left out."""
    rows: list[dict[str, object]] = []
    for one in versions:
        who = one.requester or one.agent
        what = f"asked, version {one.version}"
        rows.append({"at": one.asked_at, "what": what, "who": who, "where": one.agent, "words": one.requirement.why})
        for vote in one.votes:
            hidden = is_hidden(one, vote, me)
            rows.append(
                {
                    "at": vote.at,
                    "what": "answered" if hidden else f"{vote.answer}d" if vote.answer == "approve" else "rejected",
                    "who": "another person" if hidden else vote.principal,
                    "where": CHANNELS.get(vote.channel, vote.channel) or "on the page",
                    "words": "shown when you have answered" if hidden else _words(vote.reason, vote.relied_on),
                }
            )
        ended = one.closed_at
        if ended and one.state not in (ApprovalState.REJECTED, ApprovalState.APPROVED):
            rows.append(
                {"at": ended, "what": one.state.value, "who": "tradeloop", "where": "the gate", "words": one.note}
            )
    return sorted(rows, key=lambda row: str(row["at"]))


def _words(reason: str, relied_on: Sequence[str]) -> str:
    return f"{reason} (relied on {', '.join(relied_on)})" if relied_on else reason


def _at(when: datetime | None, now: datetime) -> str:
    if when is None:
        return ""
    return f" at {when:%H:%M:%SZ}" if when.date() == now.date() else f" on {when:%Y-%m-%d %H:%M:%SZ}"


def _missing(approval: Approval) -> str:
    missing = approval.requirement.needs - len(approval.approvals)
    return (
        f"Approved {len(approval.approvals)} of {approval.requirement.needs}: waits for {missing} more, another person."
    )
