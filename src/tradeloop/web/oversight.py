"""Whether people really decide: figures from approvals and votes (mi-24 6b; FINOS hardening draft; AI Act Art 14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from tradeloop.domain.approvals import Approval, ApprovalState, Vote
from tradeloop.web.question import PHRASES

MANY: Final = 30
"""Answers from which on a share near 100 % says something."""
NEARLY_ALL: Final = 0.97
QUICK_S: Final = 5.0
IN_A_ROW: Final = 3
EVERY: Final = 20
"""Approvals after which a summary is read, whatever their speed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one approver, rule or desk."""

    name: str
    asked: int
    """Questions; of an approver: answers given."""
    approved: int
    rejected: int
    expired: int
    median_s: float | None
    """From opening the page to the answer, where the channel told when it was opened."""
    model_text: int
    """Answers before which the model's words were opened."""
    phrase_only: int
    """Reasons that are nothing but a ready phrase."""
    undone: int
    """Approved and then failed, void or of unknown outcome."""
    answers: int

    @property
    def yes_share(self) -> float | None:
        """Of the answers."""
        return self.approved / self.answers if self.answers else None

    @property
    def is_signal(self) -> bool:
        """Whether nearly all of many answers were yes: a rubber stamp, or a rule that asks for nothing."""
        return self.answers >= MANY and (self.yes_share or 0.0) >= NEARLY_ALL


def by_approver(approvals: Sequence[Approval]) -> list[Figures]:
    """One row a person who answered."""
    names = sorted({vote.principal for one in approvals for vote in one.votes})
    return [_of_person(name, approvals) for name in names]


def by_key(approvals: Sequence[Approval], key: Callable[[Approval], str]) -> list[Figures]:
    """One row a rule, a desk, or whatever `key` tells."""
    groups: dict[str, list[Approval]] = {}
    for one in approvals:
        groups.setdefault(key(one), []).append(one)
    return [_figures(name, group, lambda _: True) for name, group in sorted(groups.items())]


def in_all(approvals: Sequence[Approval]) -> Figures:
    """Everything together."""
    return _figures("all", list(approvals), lambda _: True)


def took_s(vote: Vote) -> float | None:
    """From opening the page to the answer; None where nobody told when it was opened."""
    opened = vote.seen.get("opened_at")
    if not isinstance(opened, str):
        return None
    try:
        at = datetime.fromisoformat(opened)
    except ValueError:
        return None
    seconds = (vote.at - at).total_seconds() if at.tzinfo else -1.0
    return seconds if seconds >= 0 else None


def is_phrase(reason: str) -> bool:
    """Whether a reason is nothing but ready phrases."""
    parts = [part.strip().lower() for part in reason.split(";") if part.strip()]
    return bool(parts) and all(part in PHRASES for part in parts)


def to_be_read(mine: Sequence[tuple[Approval, Vote]]) -> list[Approval]:
    """What a person must read a summary of before the next: the last approvals, where they were quick or many.

    Args:
        mine: the person's approvals with their votes, the newest first.
    """
    yes = [(one, vote) for one, vote in mine if vote.answer == "approve"]
    last = [took_s(vote) for _, vote in yes[:IN_A_ROW]]
    known = [took for took in last if took is not None]
    if len(known) == IN_A_ROW and median(known) < QUICK_S:
        return [one for one, _ in yes[:IN_A_ROW]]
    return [one for one, _ in yes[:EVERY]] if yes and len(yes) % EVERY == 0 else []


def _of_person(name: str, approvals: Sequence[Approval]) -> Figures:
    theirs = [one for one in approvals if any(vote.principal == name for vote in one.votes)]
    return _figures(name, theirs, lambda vote: vote.principal == name)


def _figures(name: str, approvals: Sequence[Approval], counts: Callable[[Vote], bool]) -> Figures:
    votes = [vote for one in approvals for vote in one.votes if counts(vote)]
    times = [took for vote in votes if (took := took_s(vote)) is not None]
    return Figures(
        name=name,
        asked=len(approvals),
        approved=_count(votes, lambda vote: vote.answer == "approve"),
        rejected=_count(votes, lambda vote: vote.answer == "reject"),
        expired=sum(one.state is ApprovalState.EXPIRED for one in approvals),
        median_s=median(times) if times else None,
        model_text=_count(votes, lambda vote: bool(vote.seen.get("model_text_opened"))),
        phrase_only=_count(votes, lambda vote: is_phrase(vote.reason)),
        undone=sum(_is_undone(one) for one in approvals),
        answers=len(votes),
    )


def _is_undone(one: Approval) -> bool:
    after = (ApprovalState.FAILED, ApprovalState.CANCELLED, ApprovalState.OUTCOME_UNKNOWN)
    return bool(one.approvals) and one.state in after


def _count(votes: Iterable[Vote], fits: Callable[[Vote], bool]) -> int:
    return sum(fits(vote) for vote in votes)
